#include "runtime/records/tally.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "os/clock.h"
#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

using ledger::RecordType;
namespace key = ledger::key;

records::Decision refused(const std::string& reason, const std::string& model,
                          const std::string& tenant = "") {
  return {std::string(ledger::decision_kind::kAdmission),
          std::string(ledger::decision_outcome::kRefused), reason, model, tenant};
}

// Over the ledger of a gateway that is idle, and whose own tally is therefore empty.
class TallyTest : public ::testing::Test {
 protected:
  void SetUp() override { bench.start(); }
  std::vector<ledger::Record> of_type(RecordType type) {
    bench.finish();
    std::vector<ledger::Record> all = bench.records();
    std::erase_if(all, [type](const ledger::Record& record) { return record.type != type; });
    return all;
  }

  testing::TestBench bench;
  std::shared_ptr<Tally> tally = std::make_shared<Tally>(bench.clock());
};

TEST_F(TallyTest, OneRecordForEachReasonWithItsCountAndTimes) {
  const std::int64_t before = bench.clock().wall_ns();
  for (int i = 0; i < 1000; ++i) tally->refused(ledger::auth_reason::kNoKey);
  tally->refused(ledger::auth_reason::kOrigin);
  tally->flush(bench.ledger());
  tally->flush(bench.ledger());  // nothing since
  const std::int64_t after = bench.clock().wall_ns();
  const auto records = of_type(RecordType::kAuth);
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(*records[0].body.get_text(key::auth::kReason, ""), ledger::auth_reason::kNoKey);
  EXPECT_EQ(*records[0].body.get_uint(key::auth::kCount, ""), 1000U);
  EXPECT_EQ(*records[1].body.get_uint(key::auth::kCount, ""), 1U);
  const std::int64_t first = *records[0].body.get_int(key::auth::kFirstWallNs, "");
  const std::int64_t last = *records[0].body.get_int(key::auth::kLastWallNs, "");
  EXPECT_LE(before, first);
  EXPECT_LE(first, last);
  EXPECT_LE(last, after);
}

TEST_F(TallyTest, DecisionsDifferByModelAndTenant) {
  tally->decided(refused("busy", "a"));
  tally->decided(refused("busy", "b"));
  tally->decided(refused("busy", "b"));
  tally->decided(refused("busy", "", "ward-3"));
  tally->flush(bench.ledger());
  const auto records = of_type(RecordType::kDecision);
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records[0].body.find(key::decision::kModel), nullptr);
  const codec::Map* actor = *records[0].body.get_map(key::kActor, "");
  EXPECT_EQ(*actor->get_text(key::actor::kTenant, ""), "ward-3");
  EXPECT_EQ(actor->find(key::actor::kName), nullptr) << "whose budget it is, not who asked";
  EXPECT_EQ(records[1].body.find(key::kActor), nullptr);
  EXPECT_EQ(*records[2].body.get_text(key::decision::kModel, ""), "b");
  EXPECT_EQ(*records[2].body.get_uint(key::decision::kCount, ""), 2U);
}

TEST_F(TallyTest, ManyDifferentEventsOfOneSecondAreFewRecords) {
  constexpr int kEvents = 5000;
  for (int i = 0; i < kEvents; ++i) {
    tally->decided(refused("busy", "", "tenant-" + std::to_string(i)));
  }
  tally->flush(bench.ledger());
  const auto records = of_type(RecordType::kDecision);
  EXPECT_EQ(records.size(), kTallyEventsMax + 1);
  std::uint64_t counted = 0;
  for (const auto& record : records) counted += *record.body.get_uint(key::decision::kCount, "");
  EXPECT_EQ(counted, static_cast<std::uint64_t>(kEvents)) << "some were forgotten";
}

TEST_F(TallyTest, WhatTheLedgerDoesNotTakeIsKept) {
  bench.finish();  // the ledger is closed
  testing::TestBench other;
  other.start();
  ASSERT_TRUE(other.ledger().close().has_value());
  tally->refused(ledger::auth_reason::kRole);
  for (int i = 0; i < 3; ++i) tally->flush(other.ledger());
  tally->refused(ledger::auth_reason::kRole);
  testing::TestBench third;
  third.start();
  tally->flush(third.ledger());
  third.finish();
  std::uint64_t counted = 0;
  for (const auto& record : third.records()) {
    if (record.type != RecordType::kAuth) continue;
    counted += *record.body.get_uint(key::auth::kCount, "");
  }
  EXPECT_EQ(counted, 2U);
}

TEST_F(TallyTest, CountsFromManyThreads) {
  constexpr int kThreads = 4, kEach = 2000;
  std::atomic<bool> stop{false};
  std::thread flusher([&] {
    while (!stop) tally->flush(bench.ledger());
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < kEach; ++n) tally->refused(ledger::auth_reason::kNoKey);
    });
  }
  for (std::thread& thread : threads) thread.join();
  stop = true;
  flusher.join();
  tally->flush(bench.ledger());
  std::uint64_t counted = 0;
  for (const auto& record : of_type(RecordType::kAuth)) {
    counted += *record.body.get_uint(key::auth::kCount, "");
  }
  EXPECT_EQ(counted, std::uint64_t{kThreads} * kEach);
}

}  // namespace
}  // namespace aioss::runtime
