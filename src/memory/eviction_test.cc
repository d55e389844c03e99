// Who has to go: by value, never one that stays, no more than must.
#include "memory/eviction.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "base/clock.h"

namespace aioss::memory {
namespace {

Candidate candidate(const std::string& name, std::uint64_t bytes, std::int64_t unused_s,
                    std::int64_t restore_s = 1) {
  Candidate one;
  one.name = name;
  one.bytes = bytes;
  one.unused_ns = unused_s * kNsPerSecond;
  one.restore_ns = restore_s * kNsPerSecond;
  return one;
}

std::vector<std::string> going(const Choice& choice) {
  std::vector<std::string> names;
  for (const Judged& one : choice.judged) {
    if (one.goes) names.push_back(one.candidate.name);
  }
  return names;
}
using Names = std::vector<std::string>;

TEST(Eviction, TheOneUnusedForLongestGoesAmongEquals) {
  const Choice choice =
      choose({candidate("a", 10, 5), candidate("b", 10, 9), candidate("c", 10, 7)}, {10, 0});
  EXPECT_TRUE(choice.enough);
  EXPECT_EQ(going(choice), Names{"b"});
  EXPECT_EQ(choice.bytes, 10U);
}

TEST(Eviction, OneThatIsQuicklyBackGoesFirst) {
  EXPECT_EQ(going(choose({candidate("slow", 10, 9, 60), candidate("quick", 10, 8, 2)}, {10, 0})),
            Names{"quick"});
  EXPECT_EQ(going(choose({candidate("large", 100, 9), candidate("small", 10, 9)}, {5, 0})),
            Names{"large"})
      << "it frees more";
}

TEST(Eviction, LowerPriorityGoesFirstWhateverItsValue) {
  Candidate dear = candidate("dear", 1000, 900);
  dear.priority = 1;
  EXPECT_EQ(going(choose({dear, candidate("cheap", 10, 1)}, {10, 0})), Names{"cheap"});
  EXPECT_EQ(going(choose({dear, candidate("cheap", 10, 1)}, {11, 0})), Names{"dear"})
      << "the other one alone does not do, and with this one it need not go";
}

TEST(Eviction, NobodyGoesIfItIsNotEnough) {
  Candidate busy = candidate("busy", 100, 50);
  busy.stays = Stays::kBusy;
  const Choice choice = choose({busy, candidate("idle", 10, 1)}, {20, 0});
  EXPECT_FALSE(choice.enough);
  EXPECT_TRUE(going(choice).empty());
  EXPECT_EQ(choice.bytes, 0U);
  EXPECT_EQ(choice.judged.size(), 2U);
}

TEST(Eviction, AsManyModelsAsAreWanted) {
  EXPECT_EQ(
      going(choose({candidate("a", 0, 5), candidate("b", 0, 6), candidate("c", 0, 7)}, {0, 2})),
      (Names{"c", "b"}));
  EXPECT_TRUE(choose({}, {0, 0}).enough);
  EXPECT_FALSE(choose({}, {1, 0}).enough);
}

TEST(Eviction, LinesSayWhy) {
  Candidate pinned = candidate("p", 5, 1);
  pinned.stays = Stays::kPinned;
  const Choice choice = choose({candidate("a", 10, 5, 2), pinned, candidate("b", 1, 1)}, {10, 0});
  ASSERT_EQ(choice.judged.size(), 3U);
  EXPECT_EQ(describe(choice.judged[0]),
            "a bytes=10 unused_ms=5000 restore_ms=2000 value=25 priority=0 goes");
  EXPECT_TRUE(describe(choice.judged[1]).ends_with(" kept"));
  EXPECT_TRUE(describe(choice.judged[2]).ends_with(" pinned"));
}

TEST(Eviction, HoldsForAnyCandidates) {
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::vector<Candidate> candidates;
    std::uint64_t possible = 0;
    const auto count = static_cast<unsigned>(random() % 7);
    for (unsigned c = 0; c < count; ++c) {
      Candidate one = candidate(std::to_string(c), random() % 50, random() % 9, random() % 5);
      one.priority = static_cast<int>(random() % 3);
      one.stays = random() % 3 == 0 ? Stays::kBusy : Stays::kNo;
      if (one.stays == Stays::kNo) possible += one.bytes;
      candidates.push_back(one);
    }
    const Wanted wanted{random() % 120, 0};
    const Choice choice = choose(candidates, wanted);
    ASSERT_EQ(choice.enough, possible >= wanted.bytes);
    ASSERT_EQ(choice.judged.size(), candidates.size());
    std::uint64_t freed = 0;
    for (const Judged& one : choice.judged) {
      if (!one.goes) continue;
      ASSERT_EQ(one.candidate.stays, Stays::kNo);
      freed += one.candidate.bytes;
    }
    ASSERT_EQ(freed, choice.bytes);
    if (choice.enough) {
      ASSERT_GE(freed, wanted.bytes);
    }
    for (const Judged& one : choice.judged) {
      if (!one.goes) continue;
      ASSERT_LT(freed - one.candidate.bytes, wanted.bytes) << "one too many";
    }
  }
}

}  // namespace
}  // namespace aioss::memory
