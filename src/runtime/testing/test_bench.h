// What most tests of the runtime need: a ledger and a models directory in a temporary folder, a
// gateway over them with the test worker, and the whole answer of a stream as one value.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "crypto/random.h"
#include "ledger/custody/custody.h"
#include "ledger/reading/verify.h"
#include "ledger/writing/ledger.h"
#include "os/clock.h"
#include "runtime/gateway.h"
#include "runtime/testing/held_file_system.h"
#include "runtime/testing/script_planner.h"

namespace aioss::runtime::testing {

inline constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

struct Answered {
  std::vector<StreamEvent> events;
  std::vector<std::string> text;  // of each choice
  std::optional<StreamStarted> started;
  std::optional<StreamDone> done;
  std::optional<StreamFailed> failed;
  std::size_t choice_ends = 0;

  bool ended() const { return done || failed; }
  std::string code() const { return failed ? std::string(info(failed->error.code).name) : ""; }
};

// Reads until the end; gives up after `seconds` without one.
Answered read_all(Stream& stream, int seconds = 20);
// Reads until an event with text; false if none came.
bool read_some_text(Stream& stream, Answered& into);

// The real one, and what a test adds to it.
class AdvancedClock final : public Clock {
 public:
  std::int64_t wall_ns() const override { return real_.wall_ns() + ahead_ns_.load(); }
  std::int64_t monotonic_ns() const override { return real_.monotonic_ns() + ahead_ns_.load(); }
  void advance(std::chrono::nanoseconds by) { ahead_ns_ += by.count(); }

 private:
  os::SystemClock real_;
  std::atomic<std::int64_t> ahead_ns_{0};
};

// Looks again and again for so long; what a condition is about may be shown a second late.
bool comes_true(const std::function<bool()>& condition, int seconds = 20);

class TestBench final {
 public:
  TestBench();
  ~TestBench();

  std::string model_path(const std::string& name) const;
  void add_model(const std::string& name, const std::string& script);
  void add_bad_model(const std::string& name, const std::string& rule);
  // The options of the next start(): with the fake engine and the test worker, a planner that
  // believes what scripts say, on a machine that has memory enough and is under no pressure.
  GatewayOptions options;
  ScriptPlanner& planner() { return *planner_; }
  std::uint64_t reserve_bytes = 0;  // of the ledger
  void start();
  Gateway& gateway() { return *gateway_; }
  ledger::Ledger& ledger() { return *ledger_; }
  ledger::Custody& custody() { return *custody_; }
  MetricRegistry& metrics() { return metrics_; }
  HeldFileSystem& disk() { return disk_; }    // the ledger's
  HeldFileSystem& files() { return files_; }  // models and state
  AdvancedClock& clock() { return clock_; }

  GenerateCall call(const std::string& model, const std::string& prompt) const;
  std::shared_ptr<Stream> submit(const std::string& model, const std::string& prompt);
  Answered ask(const std::string& model, const std::string& prompt);
  ModelEntry entry(const std::string& model);  // without a name: there is none
  bool wait_for_state(const std::string& model, const std::string& state);
  // The end of a request is noted just after its client sees it.
  bool comes_to_be_idle(const std::string& model);
  // The worker processes of this program.
  std::vector<int> worker_pids() const;
  // Those that have ended are waited for by the gateway a moment after it has noticed.
  bool wait_for_no_workers() const;
  // SIGKILL to each; how many there were.
  int kill_workers() const;

  // Ends the gateway and closes the ledger.
  void finish();
  // finish(), and then: it verifies, every request and every engine has its end.
  void expect_good_ledger();
  void expect_good_ledger_and_loads();  // every load has its end, too
  ledger::VerifyReport verify();
  std::vector<ledger::Record> records();
  std::size_t count(ledger::RecordType type);
  // What the records of a type say under one key, in order.
  std::vector<std::string> texts(ledger::RecordType type, std::uint64_t key);
  // Why models were unloaded, sorted: that is written as the processes end, in whatever order.
  std::vector<std::string> unload_reasons();
  const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
  HeldFileSystem disk_;
  HeldFileSystem files_;
  AdvancedClock clock_;
  crypto::SystemRandom random_;
  MetricRegistry metrics_;
  std::string verifier_key_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<ledger::Custody> custody_;
  std::unique_ptr<Gateway> gateway_;
  const std::shared_ptr<ScriptPlanner> planner_ = std::make_shared<ScriptPlanner>();
};

}  // namespace aioss::runtime::testing
