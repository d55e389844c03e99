#include "tests/sim/simulation.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "ledger/reading/verify.h"
#include "tests/sim/client.h"

namespace aioss::sim {
namespace {

// More events than any run needs that comes to an end.
constexpr std::uint64_t kStepsMax = 5'000'000;
// Until every request has ended, whatever goes wrong: the longest time that the server waits for a
// client, for each that never reads, and as much again for all that has to be loaded and repeated.
constexpr std::int64_t kPatience = 900 * kSecond;
constexpr std::int64_t kPatienceForEachClient = 180 * kSecond;
constexpr std::int64_t kStopsWithin = 120 * kSecond;
// A worker that does not stop what was cancelled is killed after a minute.
constexpr std::int64_t kSettlesWithin = 150 * kSecond;

class Simulation final {
 public:
  Simulation(std::uint64_t seed, bool print_trace)
      : scenario_(Scenario::draw(seed)),
        world_(seed, print_trace),
        watch_(world_, scenario_),
        plant_(std::make_unique<Plant>(world_, watch_, scenario_)) {}

  Outcome run();

 private:
  struct Ends {  // in the ledger, of one request
    std::uint32_t requests = 0, results = 0, aborts = 0;
    std::uint64_t request_index = 0, result_index = 0;
  };

  void plan();
  // Runs until `done`. False: an invariant is broken; that it takes longer than this is one.
  template <typename Done>
  bool run_until(const Done& done, std::int64_t within_ns, const std::string& otherwise);
  bool all_ended() const;
  void wait_for_balance();
  void check_disk();
  void check_records(os::FileSystem& disk);
  void check_record(const Client& client, const Ends& ends);

  const Scenario scenario_;
  World world_;
  Watch watch_;
  std::unique_ptr<Plant> plant_;
  std::vector<std::shared_ptr<Client>> clients_;
  bool is_ending_ = false;
  std::string root_;
};

void Simulation::plan() {
  world_.note(scenario_.describe());
  for (const ClientPlan& plan : scenario_.clients) {
    auto client = std::make_shared<Client>(Client::Parts{world_, watch_, *plant_, scenario_}, plan);
    clients_.push_back(client);
    world_.after(plan.arrives_ns, [this, client] {
      if (!is_ending_) client->arrive();
    });
  }
  for (const TroublePlan& trouble : scenario_.troubles) {
    world_.after(trouble.at_ns, [this, &trouble] {
      if (!is_ending_) plant_->trouble(trouble);
    });
  }
  if (scenario_.ending == Ending::kDrained) return;
  world_.after(scenario_.ends_ns, [this] {
    is_ending_ = true;
    scenario_.ending == Ending::kShutDown ? plant_->abort_all() : plant_->kill_disk();
  });
}

template <typename Done>
bool Simulation::run_until(const Done& done, std::int64_t within_ns, const std::string& otherwise) {
  const std::int64_t deadline = world_.now() + within_ns;
  while (!done()) {
    if (!world_.step()) return false;
    plant_->settle();
    if (world_.now() > deadline || world_.steps() > kStepsMax) {
      world_.violated(otherwise);
      return false;
    }
  }
  return !world_.violation();
}

bool Simulation::all_ended() const {
  if (scenario_.ending != Ending::kDrained && !is_ending_) return false;
  const bool over = std::all_of(clients_.begin(), clients_.end(), [&](const auto& client) {
    return client->is_over() || (is_ending_ && !client->was_admitted());
  });
  return over && plant_->streams() == 0;
}

// What was cancelled may be with a worker for a moment still, and a worker says what it has once a
// second.
void Simulation::wait_for_balance() {
  const std::int64_t deadline = world_.now() + kSettlesWithin;
  for (;;) {
    const std::string left = plant_->imbalance();
    if (left.empty()) return;
    if (world_.now() > deadline) return world_.violated("balance: " + left + " are left");
    const std::int64_t next_look = world_.now() + 100 * kMilli;
    while (world_.now() < next_look) {
      if (!world_.step()) return;
      plant_->settle();
    }
  }
}

Outcome Simulation::run() {
  plan();
  const auto patience =
      kPatience + kPatienceForEachClient * static_cast<std::int64_t>(clients_.size());
  if (run_until([this] { return all_ended(); }, patience, "starvation: a request does not end")) {
    wait_for_balance();
  }
  plant_->begin_stopping();
  if (run_until([this] { return plant_->has_stopped(); }, kStopsWithin, "it does not stop")) {
    plant_->close();
    check_disk();
  }
  Outcome outcome;
  outcome.violation = world_.violation();
  outcome.steps = world_.steps();
  outcome.virtual_ns = world_.now();
  for (const auto& client : clients_) {
    outcome.requests += client->was_admitted() ? 1 : 0;
    outcome.done += client->done() ? 1 : 0;
    outcome.failed += client->failed() ? 1 : 0;
  }
  outcome.ledger_root = root_;
  outcome.digest = world_.digest();
  return outcome;
}

// ---- the ledger ---------------------------------------------------------------------------------

// The disk as the next start finds it; after a power cut that is what it did not forget.
void Simulation::check_disk() {
  const bool died = plant_->has_died();
  Dice dice(scenario_.seed, 4);
  os::PowerCut cut;
  cut.keep = died && dice.percent(50) ? os::PowerCut::Keep::kSubset : os::PowerCut::Keep::kPrefix;
  cut.seed = dice.next();
  const auto disk = plant_->after_power_cut(cut);
  if (died) {
    SeededRandom random(scenario_.seed + 1);
    ledger::OpenOptions open;
    open.directory = kLedger;
    open.boot_id.emplace();
    open.drive = Drive::kByHand;
    auto opened = ledger::Ledger::open(*disk, world_, random, open);
    if (!opened)
      return world_.violated("the ledger cannot be opened again: " + opened.error().message);
    if (!(*opened)->close())
      return world_.violated("the ledger cannot be closed after it was opened again");
  }
  const auto report = ledger::verify(*disk, {kLedger, plant_->verifier_key()});
  root_ = report.root_hex;
  if (report.verdict != ledger::Verdict::kOk) {
    return world_.violated("the ledger does not verify: " + report.finding);
  }
  if (report.dangling_requests != 0 && !plant_->request_records_may_lack()) {
    return world_.violated("the ledger has requests without an end");
  }
  check_records(*disk);
}

void Simulation::check_records(os::FileSystem& disk) {
  std::map<std::string, Ends> all;
  const Status read = ledger::read_records(disk, kLedger, 0, [&](const ledger::Record& record) {
    const auto id = record.body.get_text(ledger::key::kRequestId, "request");
    if (!id) return true;
    Ends& ends = all[*id];
    if (record.type == ledger::RecordType::kInferRequest) {
      ++ends.requests;
      ends.request_index = record.index;
    } else if (record.type == ledger::RecordType::kInferResult) {
      ++ends.results;
      ends.result_index = record.index;
    } else if (record.type == ledger::RecordType::kInferAbort) {
      ++ends.aborts;
    }
    return true;
  });
  if (!read) return world_.violated("the ledger cannot be read: " + read.error().message);
  for (const auto& client : clients_) {
    if (client->was_admitted()) check_record(*client, all["req_" + std::to_string(client->id())]);
  }
}

void Simulation::check_record(const Client& client, const Ends& ends) {
  const auto wrong = [&](const std::string& what) {
    world_.violated("ledger: request " + std::to_string(client.id()) + " " + what);
  };
  // Nothing was shown of what is not durable.
  if (client.started() && ends.request_index != client.started()->request_record) {
    wrong("was shown, and its record is lost");
  }
  if (client.done() && ends.result_index != client.done()->result_record) {
    wrong("was answered, and its result is lost");
  }
  if (ends.requests > 1) wrong("stands there twice");
  const std::uint32_t count = ends.results + ends.aborts;
  if (count > 1) wrong("has " + std::to_string(count) + " ends");
  // Short of space the ledger takes no request, and one that it does not take is not ended either.
  const bool was_refused = ends.requests == 0 && scenario_.has(Trouble::kLowSpace);
  if (count == 0 && !was_refused && !plant_->request_records_may_lack()) wrong("has no end");
}

}  // namespace

Outcome simulate(std::uint64_t seed, bool print_trace) {
  Simulation simulation(seed, print_trace);
  return simulation.run();
}

}  // namespace aioss::sim
