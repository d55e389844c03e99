// The books balance, whatever comes in whatever order, and nothing is leased beyond the limit.
#include "memory/pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace aioss::memory {
namespace {

const std::string kDevice(kHost);

Lease must(Result<Lease> lease) {
  EXPECT_TRUE(lease.has_value());
  return lease ? std::move(*lease) : Lease();
}

TEST(Pool, LeaseTakesAndGivesBackOnce) {
  Pool pool;
  pool.set_limit(kDevice, 100);
  Lease lease = must(pool.lease(kDevice, "m", Kind::kKv, 60));
  EXPECT_EQ(pool.balance(kDevice).free, 40U);
  Lease moved = std::move(lease);
  EXPECT_EQ(lease.bytes(), 0U);  // NOLINT: what is left of it is said in the header
  lease.release();
  EXPECT_EQ(pool.balance(kDevice).free, 40U) << "the one that was moved from gave it back";
  moved.release();
  moved.release();
  EXPECT_EQ(pool.balance(kDevice).free, 100U);
  EXPECT_EQ(pool.leases(), 0U);
  EXPECT_TRUE(pool.holdings(kDevice).empty());
}

TEST(Pool, NothingIsLeasedBeyondTheLimit) {
  Pool pool;
  pool.set_limit(kDevice, 100);
  Lease first = must(pool.lease(kDevice, "a", Kind::kWeights, 70));
  const auto second = pool.lease(kDevice, "b", Kind::kWeights, 31);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kNoMemory);
  EXPECT_FALSE(first.resize(101));
  EXPECT_EQ(first.bytes(), 70U);
  EXPECT_TRUE(first.resize(100));
  EXPECT_EQ(pool.balance(kDevice).free, 0U);
}

TEST(Pool, AllKindsOrNone) {
  Pool pool;
  pool.set_limit(kDevice, 100);
  Needs needs;
  needs.weights = 60;
  needs.kv = 30;
  needs.overhead = 11;
  needs.prefixes = 1'000;  // is not committed
  EXPECT_FALSE(pool.lease_all(kDevice, "m", committed(needs)));
  EXPECT_EQ(pool.leases(), 0U);
  needs.overhead = 10;
  const auto leases = pool.lease_all(kDevice, "m", committed(needs));
  ASSERT_TRUE(leases);
  EXPECT_EQ(leases->size(), 3U);
  EXPECT_EQ(pool.holding(kDevice, "m")->leased[Kind::kKv], 30U);
  EXPECT_EQ(pool.balance(kDevice).free, 0U);
}

// Numbers of files that nobody vouches for.
TEST(Pool, AbsurdSizesDoNotWrap) {
  Pool pool;
  pool.set_limit(kDevice, 100);
  Needs needs;
  needs.weights = kUnlimited;
  needs.kv = 2;
  EXPECT_EQ(committed(needs).total(), kUnlimited);
  EXPECT_FALSE(pool.lease_all(kDevice, "m", committed(needs)));
  EXPECT_EQ(limit_of({0, kUnlimited, 5, 1}), kUnlimited - 1);
  EXPECT_EQ(limit_of({0, 10, 0, 20}), 0U);
  EXPECT_EQ(limit_of({50, 100, 20, 10}), 50U);
  EXPECT_EQ(limit_of({500, 100, 20, 10}), 110U);
}

TEST(Pool, WhatIsThereAlreadyIsCountedBeyondTheLease) {
  Pool pool;
  pool.set_limit(kDevice, 100);
  Lease base = must(pool.lease(kDevice, "m", Kind::kWeights, 80));
  Lease prefixes = must(pool.lease(kDevice, "m", Kind::kPrefixes, 0));
  prefixes.follow(50);
  EXPECT_EQ(prefixes.bytes(), 20U);
  EXPECT_EQ(prefixes.beyond(), 30U);
  EXPECT_EQ(pool.balance(kDevice).leased, 100U);
  EXPECT_EQ(pool.balance(kDevice).over, 30U);
  base.release();
  prefixes.follow(50);
  EXPECT_EQ(prefixes.bytes(), 50U);
  EXPECT_EQ(pool.balance(kDevice).over, 0U);
  prefixes.follow(10);
  EXPECT_EQ(pool.balance(kDevice).used, 10U);
}

TEST(Pool, WhatIsMeasuredCountsIfItIsMore) {
  Pool pool;
  pool.set_limit(kDevice, 100);
  Lease lease = must(pool.lease(kDevice, "m", Kind::kWeights, 50));
  EXPECT_FALSE(pool.holding(kDevice, "m")->difference());
  pool.measured(kDevice, "m", 30);
  EXPECT_EQ(pool.balance(kDevice).used, 50U) << "the rest of it is still to come";
  EXPECT_EQ(pool.holding(kDevice, "m")->difference(), -20);
  pool.measured(kDevice, "m", 70);
  EXPECT_EQ(pool.balance(kDevice).free, 30U);
  EXPECT_EQ(pool.holding(kDevice, "m")->difference(), 20);
  EXPECT_FALSE(pool.lease(kDevice, "n", Kind::kWeights, 31));
  lease.release();
  EXPECT_EQ(pool.balance(kDevice).used, 0U) << "it is forgotten with the last lease";
  pool.measured(kDevice, "m", 70);
  EXPECT_EQ(pool.balance(kDevice).used, 0U);
}

TEST(Pool, LimitThatSinksTakesNothingAway) {
  Pool pool;
  pool.set_limit(kDevice, 100);
  const Lease lease = must(pool.lease(kDevice, "m", Kind::kWeights, 80));
  pool.set_limit(kDevice, 50);
  EXPECT_EQ(pool.balance(kDevice).over, 30U);
  EXPECT_EQ(pool.balance(kDevice).free, 0U);
  EXPECT_TRUE(pool.lease(kDevice, "n", Kind::kKv, 0));
  EXPECT_FALSE(pool.lease(kDevice, "n", Kind::kKv, 1));
}

TEST(Pool, DevicesHaveBooksOfTheirOwn) {
  Pool pool;
  pool.set_limit(kDevice, 10);
  pool.set_limit("CUDA0", 100);
  const Lease lease = must(pool.lease("CUDA0", "m", Kind::kWeights, 90));
  EXPECT_EQ(pool.balance(kDevice).free, 10U);
  EXPECT_EQ(pool.balance("CUDA0").free, 10U);
  EXPECT_EQ(pool.devices().size(), 2U);
}

// ---- any order ----------------------------------------------------------------------------------

// A book that is kept twice: by the pool, and here by addition.
class Chance {
 public:
  explicit Chance(unsigned seed) : random_(seed) { pool_.set_limit(kDevice, limit_); }

  void step() {
    Model& model = models_[below(models_.size())];
    switch (below(8)) {
      case 0:
        load(model);
        break;
      case 1:  // unload, or the load fails
        model.leases.clear();
        break;
      case 2:
        kill(model);
        break;
      case 3:
        follow(model, model.prefixes, Kind::kPrefixes);
        break;
      case 4:
        follow(model, model.spilled, Kind::kSpilled);
        break;
      case 5:
        pool_.measured(kDevice, model.name, below(3) == 0 ? 0 : below(400));
        break;
      case 6:
        limit_ = 200 + below(1'000);
        pool_.set_limit(kDevice, limit_);
        break;
      default:
        if (!model.leases.empty()) resize(model.leases[below(model.leases.size())]);
    }
    check();
  }
  void end() {
    for (Model& model : models_) kill(model);
    EXPECT_EQ(pool_.leases(), 0U);
    EXPECT_EQ(pool_.balance(kDevice).used, 0U);
  }

 private:
  struct Model {
    std::string name;
    std::vector<Lease> leases;
    Lease prefixes, spilled;
  };
  std::uint64_t below(std::uint64_t end) { return random_() % end; }

  void load(Model& model) {
    Needs needs;
    needs.weights = below(300);
    needs.kv = below(100);
    needs.compute = below(20);
    needs.output = below(5);
    const std::uint64_t free = pool_.balance(kDevice).free;
    auto leases = pool_.lease_all(kDevice, model.name, committed(needs));
    ASSERT_EQ(leases.has_value(), needs.committed() <= free);
    if (!leases) return;
    for (Lease& lease : *leases) model.leases.push_back(std::move(lease));
    within_limit();
  }
  void kill(Model& model) {
    model.leases.clear();
    model.prefixes.release();
    model.spilled = Lease();
  }
  void follow(const Model& model, Lease& lease, Kind kind) {
    if (lease.bytes() + lease.beyond() == 0) {
      auto taken = pool_.lease(kDevice, model.name, kind, 0);
      ASSERT_TRUE(taken.has_value());
      lease = std::move(*taken);
    }
    const std::uint64_t before = lease.bytes();
    lease.follow(below(200));
    if (lease.bytes() > before) {
      ASSERT_LE(pool_.balance(kDevice).leased, limit_);
    }
  }
  void resize(Lease& lease) {
    const std::uint64_t before = lease.bytes(), wanted = below(300);
    const std::uint64_t free = pool_.balance(kDevice).free;
    const bool done = lease.resize(wanted).has_value();
    ASSERT_EQ(done, wanted <= before || wanted - before <= free);
    ASSERT_EQ(lease.bytes(), done ? wanted : before);
    if (wanted > before && done) within_limit();
  }
  void within_limit() {
    const Balance balance = pool_.balance(kDevice);
    ASSERT_LE(balance.used, balance.limit);
    ASSERT_LE(balance.leased, limit_);
  }
  void check() {
    std::uint64_t leased = 0, used = 0;
    for (const Model& model : models_) {
      std::uint64_t own = model.prefixes.bytes() + model.spilled.bytes();
      for (const Lease& lease : model.leases) own += lease.bytes();
      leased += own;
      const auto holding = pool_.holding(kDevice, model.name);
      if (!holding) {
        ASSERT_EQ(own, 0U);
        continue;
      }
      ASSERT_EQ(holding->leased.total(), own);
      used += std::max(own + model.prefixes.beyond() + model.spilled.beyond(),
                       holding->measured.value_or(0));
    }
    const Balance balance = pool_.balance(kDevice);
    ASSERT_EQ(balance.leased, leased);
    ASSERT_EQ(balance.used, used);
    ASSERT_EQ(balance.free, limit_ > used ? limit_ - used : 0);
    ASSERT_EQ(balance.over, used > limit_ ? used - limit_ : 0);
  }

  std::mt19937_64 random_;
  std::uint64_t limit_ = 1'000;
  Pool pool_;
  std::array<Model, 5> models_{Model{"a", {}, {}, {}}, Model{"b", {}, {}, {}},
                               Model{"c", {}, {}, {}}, Model{"d", {}, {}, {}},
                               Model{"e", {}, {}, {}}};
};

void play(unsigned seed, int steps) {
  Chance chance(seed);
  for (int i = 0; i < steps; ++i) {
    chance.step();
    if (::testing::Test::HasFatalFailure()) FAIL() << "seed " << seed << ", step " << i;
  }
  chance.end();
}

TEST(Pool, BalancesInEveryOrder) {
  for (unsigned seed = 0; seed < 10; ++seed) {
    play(seed, 10'000);
    if (HasFatalFailure()) return;
  }
}

// As many lives of a pool, each to its end: what long ones do not meet is how they begin and end.
TEST(Pool, BalancesInAHundredThousandShortLives) {
  for (unsigned seed = 0; seed < 100'000; ++seed) {
    play(seed, 16);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace aioss::memory
