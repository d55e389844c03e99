// What a gateway is set to, from the command line and aioss.toml. Values.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/duration.h"
#include "base/result.h"
#include "ipc/messages.h"
#include "plugins/engine_table.h"
#include "runtime/settings/memory_source.h"
#include "runtime/settings/model_settings.h"

namespace aioss::runtime {

// What is kept of prompts and answers: salted commitments, or also their texts, sealed beside the
// ledger (docs/privacy.md).
enum class Privacy : std::uint8_t { kCommit, kSealed };
std::string_view name(Privacy privacy);  // "commit", "sealed"
std::optional<Privacy> privacy_from_name(std::string_view name);

class DeviceTable;  // dry_runs/device_table.h
class Planner;      // dry_runs/planner.h

struct GatewayOptions {
  std::string models_dir;  // every *.gguf in it is a model, named by its file name without .gguf
  std::vector<std::string> model_files;    // also these single files (`aioss run FILE`)
  std::vector<std::string> adapter_files;  // likewise, of adapters (`--lora FILE`)
  bool fake_models = false;                // also *.fake: scripts of the fake engine, for tests
  ModelSettingsMap model_settings = {};    // of single models; they win over NAME.toml
  ParseModelSettings parse_model_settings = {};  // null: NAME.toml is not looked at
  std::string models_allow;   // file of those that may be loaded (catalogue/allow_list.h); "": all
  bool watch_models = false;  // take up what changes in the models directory
  ipc::Profile profile = ipc::Profile::kFast;
  Privacy privacy = Privacy::kCommit;
  std::uint32_t parallel = 0, context_tokens = 0, threads = 0;  // 0: the worker chooses
  std::uint32_t queue_requests_max = 256;
  // Of a worker, for the KV of sequences whose consumers do not read. 0: they keep their streams.
  std::uint64_t spill_bytes = std::uint64_t{1} << 30;
  // Of a model, for states of prompts, so that what begins alike is computed once. 0: none.
  std::uint64_t prefix_bytes = std::uint64_t{1} << 30;
  // Of all models together, sealed beside the ledger, so that they outlive the gateway. 0: none,
  // and what is there is destroyed; nothing: what is there stays, and nothing comes.
  std::optional<std::uint64_t> prefix_disk_bytes;
  bool speculation = true;      // drafts, where they pay and the profile allows them
  std::string kv_type = "f16";  // how keys and values are stored
  // Where layers are, of models that say nothing of it; and the GPUs that there are: null for none.
  std::string device = "auto";
  std::shared_ptr<DeviceTable> devices;
  // Interactive requests may send running batch sequences there, and take their streams.
  bool overcommit = false;
  std::uint32_t prefill_chunk_tokens_max = 0;  // of one engine call; 0: chosen by the worker
  std::string state_dir;                       // caches: hashes of files, dry runs; "": none
  std::string worker_executable = "/proc/self/exe";
  std::chrono::milliseconds load_timeout{600'000};
  std::chrono::milliseconds worker_exit_grace{2000};  // from the end of its socket to SIGKILL
  std::uint32_t workers_max = 16;  // loaded models, however small; over it one has to go
  // Of all models together, on the host; 0: what the system can spare. docs/memory.md.
  std::uint64_t memory_max = 0;
  // Those that workers can be started with; null: those that are linked into the executable.
  std::shared_ptr<plugins::EngineTable> engines;
  // Those of the engine directory, read anew at a rescan; null: there is none. Blocks on the disk.
  std::function<Result<std::vector<plugins::EngineImage>>()> read_engines;
  // What computes models in GGUF that do not say it themselves; and, whatever they say. "": as they
  // are.
  std::string engine, engine_wish;
  // Models are measured on this machine, and computed as is fastest: docs/tuning.md.
  bool tune = false;
  std::shared_ptr<Planner> planner;  // null: what a model needs is guessed from its file's size
  MemorySource memory = {};
  // How long a model stays after its last use, unless a request says otherwise (kForever: until
  // another needs its place); which are never evicted and never expire; which are loaded at the
  // start; which go first, the lower ones (0 if not named).
  std::chrono::seconds keep_alive = kForever;
  // How long a model that goes stays warm: its worker with its weights, and nothing else. 0: none
  // does; nothing: who makes room does, until more of it is needed or its keep_alive is over.
  std::optional<std::chrono::seconds> warm_keep_alive;
  std::vector<std::string> pin, preload;
  std::map<std::string, int, std::less<>> priorities;
  std::chrono::seconds load_wait{300};  // of a request, for its model, unless it says otherwise
  // Records that a tenant may cause a second, and at once after a pause; 0: no bound.
  std::uint32_t record_rate = 50, record_burst = 500;
  // Other effective settings (host, port, …): name and value, for the record of the configuration.
  std::vector<std::pair<std::string, std::string>> configuration;
};

}  // namespace aioss::runtime
