// Everything at once against models that share too little memory: requests, clients that leave,
// operators' orders, a machine whose memory comes and goes, and somebody who looks at the books all
// the time. Made for the thread sanitizer: --gtest_filter='EvictionRaces.*'. Bounded by requests.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "os/environment.h"
#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

using std::chrono::milliseconds;
using testing::Answered;
using testing::read_all;

constexpr std::uint64_t kGibibyte = std::uint64_t{1} << 30;
constexpr std::uint64_t kMost = 10 * kGibibyte;  // two of the models, mostly
constexpr std::array<std::uint64_t, 5> kSizes = {3 * kGibibyte, 4 * kGibibyte, 5 * kGibibyte,
                                                 6 * kGibibyte, 7 * kGibibyte};
constexpr int kClients = 4;

std::string name_of(std::size_t model) {
  return std::string(1, static_cast<char>('a' + model));
}

// A machine that somebody else uses, too: sometimes little is left of it, sometimes all waits.
struct Machine {
  std::atomic<std::uint64_t> available{64 * kGibibyte};
  std::atomic<unsigned> stalled_percent{0};
};

class Dice {
 public:
  explicit Dice(unsigned seed) : random_(seed) {}
  std::uint64_t below(std::uint64_t end) { return random_() % end; }
  bool one_in(std::uint64_t count) { return below(count) == 0; }
  std::string model() { return name_of(below(kSizes.size())); }

 private:
  std::mt19937_64 random_;
};

class EvictionRaces : public ::testing::Test {
 protected:
  EvictionRaces() {
    for (std::size_t i = 0; i < kSizes.size(); ++i) {
      bench.add_model(name_of(i), "reply from " + name_of(i) + "\ndelay_us_per_call 200\nload_ms " +
                                      std::to_string(5 * i) + "\nweight_bytes " +
                                      std::to_string(kSizes[i]) + "\n");
    }
    bench.options.memory_max = kMost;
    bench.options.prefix_bytes = std::uint64_t{4} << 20;
    bench.options.spill_bytes = std::uint64_t{4} << 20;
    bench.options.workers_max = 3;
    bench.options.record_rate = 0;
    bench.options.memory.state = [this]() -> Result<os::MemoryState> {
      return os::MemoryState{64 * kGibibyte, machine.available, std::nullopt, std::nullopt};
    };
    bench.options.memory.pressure = [this] {
      os::Pressure pressure;
      pressure.known = true;
      pressure.some_percent = pressure.full_percent = machine.stalled_percent;
      return pressure;
    };
  }

  // What an answer may be, with all that goes on: whole, or refused for one of these reasons.
  static bool is_expected(const Answered& answered) {
    const std::string code = answered.code();
    return answered.done || code == "no_memory" || code == "busy" || code == "shutting_down" ||
           code == "cancelled" || code == "model_loading";
  }

  void ask(Dice& dice) {
    const bool is_long = dice.one_in(3);
    GenerateCall call = bench.call(dice.model(), is_long ? "[[long 400]]" : "q");
    if (dice.one_in(8)) call.keep_alive = std::chrono::seconds(0);
    if (dice.one_in(8)) call.load_wait = std::chrono::seconds(0);
    const auto stream = bench.gateway().submit(std::move(call));
    if (!stream) {
      EXPECT_EQ(stream.error().code, Code::kBusy) << stream.error().message;
      return;
    }
    if (dice.one_in(6)) (*stream)->cancel();
    const Answered answered = read_all(**stream, 120);
    EXPECT_TRUE(is_expected(answered))
        << answered.code() << ": " << (answered.failed ? answered.failed->error.message : "");
    if (answered.done) ++done;
  }

  void order(Dice& dice) {
    constexpr std::array kWhat = {ModelOrder::What::kLoad, ModelOrder::What::kUnload,
                                  ModelOrder::What::kPin, ModelOrder::What::kUnpin,
                                  ModelOrder::What::kUnpin};
    ModelOrder order;
    order.what = kWhat[dice.below(kWhat.size())];
    order.model = dice.model();
    order.force = dice.one_in(3);
    order.by.role = Role::kOperator;
    (void)bench.gateway().order(order);
  }

  void change_machine(Dice& dice) {
    machine.available = dice.one_in(4) ? 2 * kGibibyte : 64 * kGibibyte;
    machine.stalled_percent = dice.one_in(6) ? 50 : 0;
  }

  void look() {
    for (const MemoryOfDevice& device : bench.gateway().memory().devices) {
      if (device.name == memory::kHost) {
        EXPECT_LE(device.balance.leased, kMost);
      }
    }
    EXPECT_EQ(bench.gateway().models().size(), kSizes.size());
    (void)bench.gateway().queue();
    (void)bench.gateway().health();
  }

  // Until nobody asks any more.
  std::thread beside(unsigned seed, void (EvictionRaces::*act)(Dice&), milliseconds apart) {
    return std::thread([this, seed, act, apart] {
      Dice dice(seed);
      while (!stop) {
        (this->*act)(dice);
        std::this_thread::sleep_for(apart);
      }
    });
  }
  void look_on(Dice&) { look(); }

  void run(unsigned seed, int requests) {
    std::vector<std::thread> others;
    others.push_back(beside(seed, &EvictionRaces::order, milliseconds(20)));
    others.push_back(beside(seed + 1, &EvictionRaces::change_machine, milliseconds(50)));
    others.push_back(beside(seed + 2, &EvictionRaces::look_on, milliseconds(1)));
    std::vector<std::thread> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.emplace_back([this, seed, i, requests] {
        Dice dice(seed * 100 + static_cast<unsigned>(i));
        for (int n = 0; n < requests; ++n) ask(dice);
      });
    }
    for (std::thread& client : clients) client.join();
    stop = true;
    for (std::thread& other : others) other.join();
  }

  // Everybody goes, and every byte comes back.
  void unload_all() {
    machine.available = 64 * kGibibyte;
    machine.stalled_percent = 0;
    for (std::size_t i = 0; i < kSizes.size(); ++i) {
      ModelOrder order;
      order.what = ModelOrder::What::kUnload;
      order.model = name_of(i);
      order.force = true;
      order.by.role = Role::kOperator;
      EXPECT_TRUE(bench.gateway().order(order)) << order.model;
    }
  }
  // States of prompts are kept for the next worker; nothing else is.
  bool is_empty() {
    for (const MemoryOfDevice& device : bench.gateway().memory().devices) {
      for (const MemoryOfModel& model : device.models) {
        if (model.holding.leased.total() > model.holding.leased[memory::Kind::kPrefixes]) {
          return false;
        }
      }
    }
    return true;
  }

  Machine machine;  // before the bench, whose gateway asks it
  testing::TestBench bench;
  std::atomic<bool> stop{false};
  std::atomic<int> done{0};
};

TEST_F(EvictionRaces, EveryRequestEndsAndEveryByteComesBack) {
  bench.start();
  run(7, os::environment("AIOSS_LONG") ? 1'000 : 40);
  EXPECT_GT(done, kClients);
  unload_all();
  ASSERT_TRUE(bench.wait_for_no_workers());
  for (int i = 0; i < 2'000 && !is_empty(); ++i) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_TRUE(is_empty());
  bench.expect_good_ledger_and_loads();
}

}  // namespace
}  // namespace aioss::runtime
