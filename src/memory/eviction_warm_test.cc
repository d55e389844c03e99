// Who is parked and who is ended.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "base/clock.h"
#include "memory/eviction.h"

namespace aioss::memory {
namespace {

// One that runs and may be parked: of its 100 bytes `session` are freed so.
Candidate hot(const std::string& name, std::int64_t unused_s, std::uint64_t session = 20) {
  Candidate one;
  one.name = name;
  one.bytes = 100;
  one.unused_ns = unused_s * kNsPerSecond;
  one.restore_ns = 2 * kNsPerSecond;
  one.parked_bytes = session;
  one.wake_ns = kNsPerSecond / 20;
  return one;
}

Candidate warm(const std::string& name, std::int64_t unused_s) {
  Candidate one = hot(name, unused_s, 0);
  one.bytes = 80;
  one.is_parked = true;
  return one;
}

// "a parks", "b goes", in the order of names.
std::vector<std::string> fates(const Choice& choice) {
  std::vector<std::string> out;
  for (const Judged& one : choice.judged) {
    EXPECT_FALSE(one.goes && one.parks);
    if (one.goes) out.push_back(one.candidate.name + " goes");
    if (one.parks) out.push_back(one.candidate.name + " parks");
  }
  std::sort(out.begin(), out.end());
  return out;
}
using Fates = std::vector<std::string>;

TEST(EvictionWarm, ParkingIsEnoughWhereLittleIsMissing) {
  const Choice choice = choose({hot("a", 5), hot("b", 9)}, {20, 0});
  EXPECT_TRUE(choice.enough);
  EXPECT_EQ(fates(choice), Fates{"b parks"});
  EXPECT_EQ(choice.bytes, 20U);
  EXPECT_EQ(fates(choose({hot("a", 5), hot("b", 9)}, {21, 0})), (Fates{"a parks", "b parks"}));
}

TEST(EvictionWarm, OneThatIsParkedEndsBeforeOneThatRuns) {
  const Choice choice = choose({hot("a", 900), warm("w", 1)}, {80, 0});
  EXPECT_EQ(fates(choice), Fates{"w goes"}) << "parking the other is not enough, and not needed";
  EXPECT_EQ(fates(choose({hot("a", 900), warm("w", 1)}, {100, 0})), (Fates{"a parks", "w goes"}));
  EXPECT_EQ(fates(choose({hot("a", 900), warm("w", 1)}, {101, 0})), (Fates{"a goes", "w goes"}));
}

TEST(EvictionWarm, OneEndsAndNobodyIsParkedForNothing) {
  EXPECT_EQ(fates(choose({hot("a", 5), hot("b", 9), hot("c", 7)}, {100, 0})), Fates{"b goes"});
  EXPECT_EQ(fates(choose({hot("a", 5), hot("b", 9), hot("c", 7)}, {110, 0})),
            (Fates{"b goes", "c parks"}));
}

TEST(EvictionWarm, WhatComesBackSoonIsParkedFirst) {
  Candidate slow = hot("slow", 9);
  slow.wake_ns = 10 * kNsPerSecond;
  EXPECT_EQ(fates(choose({slow, hot("quick", 8)}, {20, 0})), Fates{"quick parks"});
}

TEST(EvictionWarm, PlacesForWorkersComeFromEndsOnly) {
  EXPECT_EQ(fates(choose({hot("a", 9), hot("b", 5)}, {0, 1})), Fates{"a goes"});
  EXPECT_EQ(fates(choose({hot("a", 9), warm("w", 5)}, {0, 1})), Fates{"w goes"});
}

TEST(EvictionWarm, PriorityComesFirst) {
  Candidate dear = warm("dear", 900);
  dear.priority = 1;
  EXPECT_EQ(fates(choose({dear, hot("a", 1)}, {15, 0})), Fates{"a parks"});
  EXPECT_EQ(fates(choose({dear, hot("a", 1)}, {80, 0})), Fates{"a goes"});
}

TEST(EvictionWarm, WhoStaysIsNeitherParkedNorEnded) {
  Candidate busy = hot("busy", 50);
  busy.stays = Stays::kBusy;
  EXPECT_FALSE(choose({busy}, {1, 0}).enough);
  EXPECT_TRUE(fates(choose({busy, hot("a", 1)}, {500, 0})).empty());
}

TEST(EvictionWarm, LinesSayHow) {
  const Choice choice = choose({hot("a", 5), warm("w", 1)}, {90, 0});
  ASSERT_EQ(choice.judged.size(), 2U);
  EXPECT_EQ(describe(choice.judged[0]),
            "w bytes=80 unused_ms=1000 restore_ms=2000 value=40 priority=0 warm goes");
  EXPECT_EQ(describe(choice.judged[1]),
            "a bytes=100 unused_ms=5000 restore_ms=2000 value=250 priority=0 parked_bytes=20 "
            "wake_ms=50 parks");
}

TEST(EvictionWarm, HoldsForAnyCandidates) {
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::vector<Candidate> candidates;
    std::uint64_t possible = 0;
    const auto count = static_cast<unsigned>(random() % 6);
    for (unsigned c = 0; c < count; ++c) {
      const std::string name = std::to_string(c);
      Candidate one = random() % 3 == 0 ? warm(name, random() % 9) : hot(name, random() % 9);
      if (!one.is_parked) one.parked_bytes = random() % 100;
      one.priority = static_cast<int>(random() % 2);
      one.stays = random() % 3 == 0 ? Stays::kBusy : Stays::kNo;
      if (one.stays == Stays::kNo) possible += one.bytes;
      candidates.push_back(one);
    }
    const Wanted wanted{random() % 400, 0};
    const Choice choice = choose(candidates, wanted);
    ASSERT_EQ(choice.enough, possible >= wanted.bytes);
    std::uint64_t freed = 0;
    for (const Judged& one : choice.judged) {
      ASSERT_FALSE(one.goes && one.parks);
      ASSERT_TRUE(one.candidate.stays == Stays::kNo || !(one.goes || one.parks));
      ASSERT_FALSE(one.parks && one.candidate.is_parked);
      freed += one.goes ? one.candidate.bytes : one.parks ? one.candidate.parked_bytes : 0;
    }
    ASSERT_EQ(freed, choice.bytes);
    ASSERT_TRUE(!choice.enough || freed >= wanted.bytes);
    for (const Judged& one : choice.judged) {
      const Candidate& of = one.candidate;
      if (one.goes || one.parks) {
        ASSERT_LT(freed - (one.goes ? of.bytes : of.parked_bytes), wanted.bytes) << "one too many";
      }
      if (one.goes && !of.is_parked && of.parked_bytes > 0) {
        ASSERT_LT(freed - of.bytes + of.parked_bytes, wanted.bytes) << "parking it would have done";
      }
    }
  }
}

}  // namespace
}  // namespace aioss::memory
