// The gateway without its wire: catalogue, workers, streams and records. `serve` puts HTTP on it,
// `run` a terminal. It makes no call into an engine: models are parsed and run in worker processes
// only. Thread-safe unless said otherwise.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "crypto/random.h"
#include "ipc/messages.h"
#include "ledger/custody/custody.h"
#include "ledger/writing/ledger.h"
#include "os/file.h"
#include "plugins/engine_table.h"
#include "runtime/calls/engine_order.h"
#include "runtime/calls/generate_call.h"
#include "runtime/calls/memory_report.h"
#include "runtime/calls/model_entry.h"
#include "runtime/calls/model_load.h"
#include "runtime/calls/model_order.h"
#include "runtime/calls/principal.h"
#include "runtime/calls/stream.h"
#include "runtime/planning/plan_answer.h"
#include "runtime/records/review.h"
#include "runtime/settings/gateway_options.h"

namespace aioss::runtime {

// One effective setting that changes while the gateway runs.
struct ConfigurationChange {
  std::string name, value;  // the value is committed to, never written
  std::string reason;       // for people: "key file reloaded"
  // What it means for people, as an ADMIN_ACTION beside it: a name in ledger::admin_action_name and
  // what it did, one thing a line. Without details there is none.
  std::string action = {};
  std::vector<std::string> details = {};
};

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
  // The same, of the engine that it is computed with. kNotFound: there is no such engine.
  virtual Result<ModelEntry> order_engine(const EngineOrder& order) {
    return Error{Code::kUnsupported, "this gateway switches no engines of '" + order.model + "'"};
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
  // Blocks on the disk until HUMAN_REVIEW is durable; see records/review.h.
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
