// The gateway without its wire: catalogue, workers, streams and records. `serve` puts HTTP on it,
// `run` a terminal. It makes no call into an engine: models are parsed and run in worker processes
// only. Thread-safe unless said otherwise.
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

#include "base/clock.h"
#include "base/duration.h"
#include "base/metrics.h"
#include "base/result.h"
#include "crypto/random.h"
#include "ipc/messages.h"
#include "ledger/custody/custody.h"
#include "ledger/writing/ledger.h"
#include "os/file.h"
#include "plugins/engine_table.h"
#include "runtime/adapter_wish.h"
#include "runtime/memory_report.h"
#include "runtime/memory_source.h"
#include "runtime/model_load.h"
#include "runtime/model_order.h"
#include "runtime/model_settings.h"
#include "runtime/plan_answer.h"
#include "runtime/principal.h"
#include "runtime/review.h"
#include "runtime/stream.h"

namespace aioss::runtime {

// What is kept of prompts and answers: salted commitments, or also their texts, sealed beside the
// ledger (docs/privacy.md).
enum class Privacy : std::uint8_t { kCommit, kSealed };
std::string_view name(Privacy privacy);  // "commit", "sealed"
std::optional<Privacy> privacy_from_name(std::string_view name);

class Planner;            // planner.h
struct CatalogueOptions;  // catalogue.h

struct GatewayOptions {
  std::string models_dir;  // every *.gguf in it is a model, named by its file name without .gguf
  std::vector<std::string> model_files;    // also these single files (`aioss run FILE`)
  std::vector<std::string> adapter_files;  // likewise, of adapters (`--lora FILE`)
  bool fake_models = false;                // also *.fake: scripts of the fake engine, for tests
  ModelSettingsMap model_settings = {};    // of single models; they win over NAME.toml
  ParseModelSettings parse_model_settings = {};  // null: NAME.toml is not looked at
  std::string models_allow;   // file of those that may be loaded (runtime/allow_list.h); "": all
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
  std::string kv_type = "f16";  // how keys and values are stored; others in profile fast only
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
  // What computes models in GGUF that do not say it themselves; and, whatever they say. "": as they
  // are.
  std::string engine, engine_wish;
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

// Of the catalogue that a gateway with these options has.
CatalogueOptions catalogue_options(const GatewayOptions& options);

struct ModelEntry {  // of the catalogue
  std::string name;
  std::string engine;  // "llama" or "fake": what its file is for
  std::uint64_t file_bytes = 0;
  std::int64_t modified_unix_s = 0;
  std::string state;  // "cold", "loading", "ready", "warm", "failed"
  float load_fraction = 0;
  std::optional<Error> last_error;
  std::optional<ipc::Ready> facts;  // while ready
  std::string sha256;               // hex, "" until computed
  Residence residence;
  std::vector<std::string> aliases = {};
  std::vector<std::string> adapters = {};  // that may be asked for with it
};

struct GenerateCall {
  Principal principal;
  std::string model;
  ipc::Submit request;  // id is set by the gateway; a seed of 0 with !seed_given is replaced
  bool seed_given = false;
  std::string endpoint;    // "/v1/chat/completions", "cli", for the record
  bool streaming = false;  // for the record
  // How long its model stays after it, and how long it waits for its model; the setting if absent.
  std::optional<std::chrono::seconds> keep_alive = {}, load_wait = {};
  std::uint64_t canary_of = 0;  // load whose worker is tried with it (runtime/canary.h); 0: none
  std::vector<AdapterWish> adapters = {};  // all different; at most ipc::kAdaptersMax
};

// One effective setting that changes while the gateway runs.
struct ConfigurationChange {
  std::string name, value;  // the value is committed to, never written
  std::string reason;       // for people: "key file reloaded"
  // What it means for people, as an ADMIN_ACTION beside it: a name in ledger::admin_action_name and
  // what it did, one thing a line. Without details there is none.
  std::string action = {};
  std::vector<std::string> details = {};
};

// Of Principal::source: a signal to the process, or the watch over the models directory, neither of
// which a tenant's budget bounds.
inline constexpr std::string_view kSignalSource = "signal", kWatchSource = "watch";

struct GatewayHealth {
  bool ok = false;
  std::string reason;
  ledger::Health ledger;
  std::uint32_t workers = 0, running = 0, queued = 0;
  std::vector<std::string> confinement;  // per worker
  std::vector<std::string> notices;      // files in the models directory left out, and why
  std::vector<ModelLoad> loads;          // see Gateway::queue()
};

class Gateway {
 public:
  // The references outlive the gateway. Scans the models directory. Writes the effective
  // configuration (CONFIG_CHANGE) before it returns; ENGINE_START follows with the first worker of
  // each engine.
  static Result<std::unique_ptr<Gateway>> create(const GatewayOptions& options, os::FileSystem& fs,
                                                 const Clock& clock, crypto::Random& random,
                                                 ledger::Ledger& ledger, ledger::Custody& custody,
                                                 MetricRegistry& metrics);
  virtual ~Gateway() = default;

  // Never blocks. Unknown model or adapter: kNotFound. Ledger shut: kLedgerUnavailable. Too many
  // requests, of all or of this tenant: kBusy. A prompt over its tenant's limit: kTooLarge. A field
  // out of the bounds of ipc/limits.h: kInvalidArgument. Everything later (load failures, refusals
  // of the worker) comes as StreamFailed. Starts the model's worker if none runs. A refusal is
  // counted for the ledger (DECISION).
  virtual Result<std::shared_ptr<Stream>> submit(GenerateCall call) = 0;

  virtual std::vector<ModelEntry> models() const = 0;
  // The model that an alias names; any other text as it is. submit() and load() take either.
  virtual std::string resolve(const std::string& name) const { return name; }
  // Reads the models directory again; blocks on the disk. A model whose file is gone takes no new
  // request, and its worker is stopped once idle. ADMIN_ACTION says who asked, and which names came
  // and went; if it cannot be written, the list stays as it is.
  virtual Status rescan(const Principal& by) = 0;
  // Starts the worker now and waits; `progress` gets 0…1. Blocks.
  virtual Result<ModelEntry> load(const std::string& model,
                                  const std::function<void(float)>& progress) = 0;
  // What an operator wants of a model. Blocks until ADMIN_ACTION is durable and the order is taken;
  // not until what it began is done: the entry says how far that is. kConflict: the model is pinned
  // and would have to go.
  virtual Result<ModelEntry> order(const ModelOrder& order) {
    return Error{Code::kUnsupported, "this gateway takes no order '" + order.model + "'"};
  }
  virtual GatewayHealth health() const = 0;
  // What each model has to do, with the tenants' names. Never blocks.
  virtual std::vector<ModelLoad> queue() const { return {}; }
  // What a model would take, by a dry run; nothing is loaded. Blocks on a process.
  virtual Result<PlanAnswer> plan(const PlanCall&) {
    return Error{Code::kUnsupported, "this gateway plans nothing"};
  }
  // The books of memory, about a second old at most. Never blocks.
  virtual MemoryReport memory() const { return {}; }
  // Those that models can be computed with. Never blocks.
  virtual std::vector<std::shared_ptr<const plugins::EngineImage>> engines() const { return {}; }
  // Writes CONFIG_CHANGE with the commitment to the configuration as it is with this change, and
  // the index of the one before, then ADMIN_ACTION if there are details. Requests submitted from
  // then on name it. Blocks until both are durable; on an error the change must not take effect.
  virtual Status change_configuration(const ConfigurationChange& change) = 0;
  // Takes one record from the budget of the caller's tenant, for what is done beside the gateway:
  // submit(), rescan() and review() take theirs. kBusy if it is spent. Never blocks.
  virtual Status spend(const Principal& by) = 0;
  // Blocks on the disk until HUMAN_REVIEW is durable; see review.h.
  virtual Result<Reviewed> review(const ReviewCall& call) = 0;
  // What is counted, and recorded once a second for each reason. Never blocks. A caller who was
  // turned away at the door: a name in ledger::auth_reason (AUTH). A request of a known caller that
  // was not taken before it came here (DECISION).
  virtual void note_stranger(std::string_view auth_reason) = 0;
  virtual void note_refusal(Code code) = 0;
  // Asks the model's worker to try what must be refused (tests, and `--prove` later). Blocks.
  virtual Result<ipc::ProbeReport> probe(const std::string& model) = 0;
  // Nothing that was asked so far stays in the workers' memory for prefixes: somebody was
  // erased. Blocks until the workers are told, who do it within a graph step.
  virtual Status forget_prefixes() { return ok(); }
  // For orders of operators and for receipts; null in gateways of tests that have none.
  virtual ledger::Custody* custody() { return nullptr; }
  // Ends streams with kShuttingDown, stops workers, writes MODEL_UNLOAD and ENGINE_STOP. The ledger
  // is closed by its owner, after.
  virtual void shut_down(std::chrono::milliseconds drain) = 0;
  // After shut_down(): the workers, requests and records it could not bring to an orderly end, in
  // one line; ok if there are none.
  virtual Status left_behind() const = 0;
};

}  // namespace aioss::runtime
