// The worker process: one model, one engine, one batch scheduler, behind a socket and a sandbox.
// Called by app/main for the hidden command `aioss worker`; nothing else of the binary runs in that
// process.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "aioss/engine.h"
#include "base/clock.h"
#include "base/result.h"
#include "engine/engine.h"
#include "engine/text.h"
#include "os/sandbox.h"

namespace aioss::worker {

// Exit codes of a worker process, so that the gateway can say what happened.
enum class WorkerExit : int {
  kOk = 0,             // the socket closed, or Shutdown
  kInternal = 70,      // a bug or exhausted memory
  kProtocol = 76,      // the gateway did not speak as expected
  kConfinement = 77,   // the sandbox could not be entered; no model byte was read
  kLoadFailed = 78,    // LoadFailed said why
  kEngineFailed = 79,  // the engine broke; who was at fault for certain was told so
};

// One engine that this binary can run, wired in app/: the table, and how to get the text side of a
// model (for llama: from the loaded model itself, so that the vocabulary is held once).
struct EngineChoice {
  std::string name;
  const aioss_engine* engine = nullptr;
  std::function<Result<std::unique_ptr<engine::TextModel>>(engine::Model& model,
                                                           const std::vector<int>& fds)>
      open_text;
  bool needs_gguf = true;  // run our GGUF checks before the engine sees the file
  bool holds_text = true;  // the text is the model's own, and in its plan; a plugin's is beside it
};

struct WorkerOptions {
  int socket_fd = 3;
  std::vector<int> model_fds;  // inherited, read-only
  int prefix_fd = -1;          // inherited: shared memory for states of prefixes; -1: none
  int adapter_fd = -1;         // inherited: memory where adapters are found; -1: there are none
  std::string engine_name;     // of that plugin, for run_devices; others are told later
  int engine_fd = -1;          // inherited: a plugin, instead of `engines`; -1: there is none
  // To open the plugin: its constructors and identity. Loaders of drivers take seconds at worst.
  std::chrono::seconds plugin_start_max{20};
  std::vector<EngineChoice> engines;
  os::SandboxFor device = os::SandboxFor::kCpu;  // what the sandbox leaves room for
  // What a model's text is read with where a plugin computes.
  std::function<Result<std::unique_ptr<engine::TextModel>>(const std::vector<int>& fds)>
      open_vocabulary;
};

// Hello → (stage one) → Configure → (its plugin is opened) → (stage two) → load → Ready → serve
// until the socket closes; or, any number of times, Park → Parked → Wake → Ready → serve, with the
// same model. Returns the process's exit code. Single-threaded when called.
int run_worker(const WorkerOptions& options, const Clock& clock);

// `aioss worker --inspect`: confines itself, reads the GGUF header of fds[0] with our own strict
// reader and writes one JSON object and a newline to `out_fd`: what the file says, or
// {"error":{"code","message"}}. Returns an ExitCode.
int run_inspect(int model_fd, int out_fd);

// `aioss worker --plan`: confines itself, reads one ipc::PlanAsk from the socket, makes a dry run
// and writes one ipc::PlanReport. Nothing of the model's size is allocated. Returns an exit code as
// run_worker does.
int run_plan(const WorkerOptions& options);

// `aioss worker --tune`: confines itself and answers each ipc::TuneAsk with an ipc::TuneReport,
// until the socket closes or none comes for a minute. Returns an exit code as run_worker does.
int run_tune(const WorkerOptions& options, const Clock& clock);
// `aioss worker --devices`: confines itself to stage one, asks each of its engines for its devices
// and writes one ipc::DevicesReport to the socket. Ends the process.
int run_devices(const WorkerOptions& options);

}  // namespace aioss::worker
