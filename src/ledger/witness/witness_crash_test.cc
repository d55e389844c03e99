// A witness whose disk fails and whose power goes out, at every operation and at random, while an
// owner with two stories tries to have both cosigned. Whatever happens, the cosignatures that have
// left it agree. A failure names the seed or the operation, which reproduce it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "ledger/witness/witness_fixture.h"
#include "os/testing/fault_file_system.h"
#include "os/testing/power_cut_file_system.h"

namespace aioss::ledger {
namespace {

using os::Fault;
using os::FaultFileSystem;
using os::FaultPoint;
using os::PowerCut;
using os::PowerCutFileSystem;
using test::FixedClock;
using test::kWitnessFolder;
using test::kWitnessName;
using test::LeafLedger;
using Keep = PowerCut::Keep;

constexpr const char* kCrashOrigin = "example.test/a";
constexpr std::uint64_t kCommon = 2;  // records before the stories part
constexpr std::uint64_t kLargest = 40;
constexpr std::array kKeeps{Keep::kNothing, Keep::kPrefix, Keep::kSubset};

LeafLedger story(char teller) {
  LeafLedger ledger(kCrashOrigin);
  ledger.grow_to(kCommon);
  ledger.tell(teller);
  ledger.grow_to(kLargest);
  return ledger;
}

std::unique_ptr<PowerCutFileSystem> new_witness(const VerifierKey& trusted) {
  auto disk = std::make_unique<PowerCutFileSystem>();
  FixedClock clock;
  test::CountingRandom random;
  EXPECT_TRUE(Witness::init(*disk, random, kWitnessFolder, kWitnessName).has_value());
  EXPECT_TRUE((*Witness::open(*disk, clock, kWitnessFolder))->trust(trusted).has_value());
  return disk->after_power_cut({});
}

// The size that leaves the witness, if it signs.
std::uint64_t try_sign(os::FileSystem& disk, LeafLedger& ledger, std::uint64_t old_size,
                       std::uint64_t size) {
  FixedClock clock;
  const auto witness = Witness::open(disk, clock, kWitnessFolder);
  if (!witness) return 0;
  return (*witness)->sign(ledger.request_text(old_size, size)) ? size : 0;
}

std::uint64_t size_on(os::FileSystem& disk) {
  const auto origins = read_witnessed(disk, kWitnessFolder);
  EXPECT_TRUE(origins.has_value()) << origins.error().message;
  return origins && !origins->empty() ? origins->front().size : 0;
}

// Signs the first story at a few sizes; the largest that was signed.
std::uint64_t live(PowerCutFileSystem& disk, LeafLedger& ledger) {
  std::uint64_t signed_size = 0;
  for (const std::uint64_t size : {5, 6, 16, 25}) {
    const std::uint64_t now = try_sign(disk, ledger, signed_size, size);
    if (now == 0) return signed_size;
    signed_size = now;
  }
  return signed_size;
}

TEST(WitnessCrash, PowerCutAtEveryOperation) {
  LeafLedger first = story('a');
  LeafLedger second = story('b');
  const auto start = new_witness(first.key());
  const auto whole = start->after_power_cut({});
  ASSERT_EQ(live(*whole, first), 25U);
  const std::uint64_t operations = whole->operations();
  const std::uint64_t seeds = test::long_form() ? 40 : 6;
  std::uint64_t cuts = 0;
  for (std::uint64_t stop = 0; stop <= operations; ++stop) {
    const auto disk = start->after_power_cut({});
    disk->stop_after(stop);
    const std::uint64_t signed_size = live(*disk, first);
    for (const Keep keep : kKeeps) {
      for (std::uint64_t seed = 0; seed < (keep == Keep::kNothing ? 1 : seeds); ++seed, ++cuts) {
        SCOPED_TRACE("stop " + std::to_string(stop) + " keep " +
                     std::to_string(static_cast<int>(keep)) + " seed " + std::to_string(seed));
        const auto rebooted = disk->after_power_cut({keep, seed});
        const std::uint64_t known = size_on(*rebooted);
        EXPECT_GE(known, signed_size);  // ahead of its answers, never behind
        for (const std::uint64_t old_size : {std::uint64_t{0}, signed_size, known}) {
          if (known == 0) break;
          EXPECT_EQ(try_sign(*rebooted, second, old_size, kLargest), 0U);
          EXPECT_EQ(try_sign(*rebooted, second, old_size, std::max(known, old_size)), 0U);
        }
        EXPECT_EQ(try_sign(*rebooted, first, known, kLargest), kLargest);
      }
    }
  }
  std::printf("%llu operations, %llu power cuts\n", static_cast<unsigned long long>(operations),
              static_cast<unsigned long long>(cuts));
}

// What has left a witness. `sizes[0]` of the first story, `sizes[1]` of the second.
struct Left {
  std::uint64_t sizes[2] = {0, 0};
  bool agrees() const { return sizes[0] <= kCommon || sizes[1] <= kCommon; }
};

Fault random_fault(std::mt19937_64& random) {
  Fault fault;
  fault.call = 1 + random() % 3;
  fault.error_number = random() % 2 == 0 ? EIO : ENOSPC;
  fault.for_ever = random() % 4 == 0;
  return fault;
}

// One life: the owner asks for either story, from where the witness says it is, and the disk fails.
void ask_at_random(os::FileSystem& disk, LeafLedger stories[], std::mt19937_64& random,
                   Left& left) {
  FaultFileSystem failing(disk);
  for (int i = 0; i < 6; ++i) {
    if (random() % 2 == 0) {
      failing.arm(static_cast<FaultPoint>(random() % os::kFaultPointCount), random_fault(random));
    }
    const std::uint64_t known = size_on(disk);
    const std::uint64_t size = std::min(known + random() % 6, kLargest);
    const std::size_t which = random() % 2;
    const std::uint64_t now = try_sign(failing, stories[which], random() % 5 == 0 ? 0 : known,
                                       std::max<std::uint64_t>(size, 1));
    left.sizes[which] = std::max(left.sizes[which], now);
    failing.disarm();
  }
}

TEST(WitnessCrash, FaultsAndPowerCutsAtRandom) {
  const std::uint64_t runs = test::long_form() ? 5'000 : 60;
  std::uint64_t signed_runs = 0;
  LeafLedger stories[] = {story('a'), story('b')};
  const auto start = new_witness(stories[0].key());
  for (std::uint64_t seed = 0; seed < runs; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    auto disk = start->after_power_cut({});
    Left left;
    for (int life = 0; life < 4 && left.agrees(); ++life) {
      ask_at_random(*disk, stories, random, left);
      disk = disk->after_power_cut({kKeeps[random() % kKeeps.size()], random()});
      EXPECT_GE(size_on(*disk), std::max(left.sizes[0], left.sizes[1]));
    }
    ASSERT_TRUE(left.agrees());
    signed_runs += left.sizes[0] + left.sizes[1] > 0 ? 1 : 0;
  }
  EXPECT_GT(signed_runs, runs / 2);
  std::printf("%llu runs, %llu of them with cosignatures\n", static_cast<unsigned long long>(runs),
              static_cast<unsigned long long>(signed_runs));
}

}  // namespace
}  // namespace aioss::ledger
