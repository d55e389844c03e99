// A clock that is set: seen by the watch, and in the ledger before the next record.
#include "ledger/writing/clock_watch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "base/clock.h"
#include "ledger/testing/test_support.h"

namespace aioss::ledger {
namespace {

class SetClock final : public Clock {
 public:
  std::int64_t wall_ns() const override { return wall_.load(); }
  std::int64_t monotonic_ns() const override { return monotonic_.load(); }
  void pass(std::int64_t ns) {
    wall_ += ns;
    monotonic_ += ns;
  }
  void set_by(std::int64_t ns) { wall_ += ns; }

 private:
  std::atomic<std::int64_t> wall_{1'750'000'000'000'000'000};
  std::atomic<std::int64_t> monotonic_{5 * kNsPerSecond};
};

TEST(ClockWatch, TimeThatPassesIsNoJump) {
  SetClock clock;
  ClockWatch watch(clock);
  EXPECT_FALSE(watch.look());
  clock.pass(400LL * 24 * 3600 * kNsPerSecond);
  EXPECT_FALSE(watch.look());
}

TEST(ClockWatch, SeesBothDirectionsFromTheNamedBoundOn) {
  for (const std::int64_t sign : {1, -1}) {
    SetClock clock;
    ClockWatch watch(clock);
    clock.pass(kNsPerSecond);
    clock.set_by(sign * kClockJumpNs);
    EXPECT_FALSE(watch.look()) << "at the bound";
    clock.pass(kNsPerSecond);
    const std::int64_t expected = clock.wall_ns();
    clock.set_by(sign * (kClockJumpNs + 1));
    const auto jump = watch.look();
    ASSERT_TRUE(jump);
    EXPECT_EQ(jump->jump_ns, sign * (kClockJumpNs + 1));
    EXPECT_EQ(jump->expected_wall_ns, expected);
    EXPECT_FALSE(watch.look()) << "once";
  }
}

TEST(ClockWatch, AnOpeningMayNotBeBehindTheLastRecord) {
  SetClock clock;
  const std::int64_t now = clock.wall_ns();
  EXPECT_FALSE(behind_last_record(clock, now));
  EXPECT_FALSE(behind_last_record(clock, now - 1));
  const auto jump = behind_last_record(clock, now + 7);
  ASSERT_TRUE(jump);
  EXPECT_EQ(jump->jump_ns, -7);
  EXPECT_EQ(jump->expected_wall_ns, now + 7);
}

TEST(ClockWatch, ABodyHoldsATimeBefore1970AsZero) {
  const codec::Map body = clock_body({-5 * kNsPerSecond, -1}, clock_source::kRunning);
  EXPECT_EQ(*body.get_int(key::clock::kJumpNs, ""), -5 * kNsPerSecond);
  EXPECT_EQ(*body.get_uint(key::clock::kExpectedWallNs, ""), 0U);
}

class ClockRecordTest : public testing::Test {
 protected:
  void SetUp() override {
    InitOptions making;
    making.directory = test::kDirectory;
    making.origin = test::kOrigin;
    const auto identity = init(fs, clock, random, making);
    ASSERT_TRUE(identity.has_value());
    verifier_key = identity->verifier_key;
    open();
  }
  void open() {
    auto opened = Ledger::open(fs, clock, random, test::open_options());
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    ledger = std::move(*opened);
  }
  std::uint64_t write() {
    const auto committed = ledger->append_and_wait(RecordType::kInferRequest, test::request_body());
    EXPECT_TRUE(committed.has_value());
    return committed ? committed->index : 0;
  }
  std::vector<Record> records() {
    std::vector<Record> all;
    EXPECT_TRUE(read_records(fs, test::kDirectory, 0, [&](const Record& record) {
      all.push_back(record);
      return true;
    }));
    return all;
  }
  std::vector<Record> clock_records() {
    std::vector<Record> all = records();
    std::erase_if(all, [](const Record& record) { return record.type != RecordType::kClock; });
    return all;
  }

  test::MemoryFileSystem fs;
  SetClock clock;
  test::CountingRandom random;
  std::string verifier_key;
  std::unique_ptr<Ledger> ledger;
};

TEST_F(ClockRecordTest, AJumpIsRecordedBeforeTheNextRecordAndOnce) {
  write();
  clock.pass(3600 * kNsPerSecond);
  write();
  EXPECT_TRUE(clock_records().empty());
  for (const std::int64_t jump : {-90 * kNsPerSecond, 3600 * kNsPerSecond}) {
    clock.set_by(jump);
    const std::uint64_t index = write();
    write();
    const Record record = records()[index - 1];
    ASSERT_EQ(record.type, RecordType::kClock);
    EXPECT_EQ(*record.body.get_int(key::clock::kJumpNs, ""), jump);
    EXPECT_EQ(*record.body.get_int(key::clock::kExpectedWallNs, ""), clock.wall_ns() - jump);
    EXPECT_EQ(*record.body.get_text(key::clock::kSource, ""), clock_source::kRunning);
  }
  EXPECT_EQ(clock_records().size(), 2U);
  ASSERT_TRUE(ledger->close().has_value());
  EXPECT_EQ(test::verify_ledger(fs, verifier_key).verdict, Verdict::kOk);
}

TEST_F(ClockRecordTest, AClockBehindTheLastRecordIsRecordedAtTheOpening) {
  write();
  ASSERT_TRUE(ledger->close().has_value());
  clock.pass(10 * kNsPerSecond);
  const std::int64_t last = clock.wall_ns();
  open();  // ends the request that was left open
  ASSERT_TRUE(ledger->close().has_value());
  EXPECT_TRUE(clock_records().empty()) << "it went on";
  clock.set_by(-60 * kNsPerSecond);
  open();
  const auto found = clock_records();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(*found[0].body.get_text(key::clock::kSource, ""), clock_source::kOpening);
  EXPECT_EQ(*found[0].body.get_int(key::clock::kJumpNs, ""), clock.wall_ns() - last);
  EXPECT_EQ(*found[0].body.get_int(key::clock::kExpectedWallNs, ""), last);
  write();
  EXPECT_EQ(clock_records().size(), 1U) << "what the opening said is not said again";
}

}  // namespace
}  // namespace aioss::ledger
