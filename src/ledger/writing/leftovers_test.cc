// What a killed gateway leaves open gets its end at the next opening, once; the program that ran
// last is carried out of the records.
#include "ledger/writing/leftovers.h"

#include <gtest/gtest.h>

#include "ledger/testing/test_support.h"

namespace aioss::ledger {
namespace {

Digest digest(std::uint8_t byte) {
  Digest out;
  out.fill(byte);
  return out;
}

codec::Map engine_start(std::uint8_t binary, std::string_view version) {
  codec::Map body;
  body.set(key::engine_start::kBinarySha3, codec::Value::bytes(digest(binary)))
      .set(key::engine_start::kProductVersion, codec::Value::text(version));
  return body;
}

codec::Map end_of(std::uint64_t begun) {
  codec::Map body;
  body.set(key::kRefIndex, codec::Value::uint(begun))
      .set(key::kOwnFirst, codec::Value::text("shutdown"));
  return body;
}

class LeftoversTest : public testing::Test {
 protected:
  void SetUp() override {
    InitOptions making;
    making.directory = test::kDirectory;
    ASSERT_TRUE(init(fs, clock, random, making).has_value());
    open();
  }
  void open() {
    ledger.reset();  // without a checkpoint, as after a kill
    auto opened = Ledger::open(fs, clock, random, test::open_options());
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    ledger = std::move(*opened);
  }
  std::uint64_t write(RecordType type, codec::Map body) {
    const auto committed = ledger->append_and_wait(type, std::move(body));
    EXPECT_TRUE(committed.has_value());
    return committed ? committed->index : 0;
  }
  std::vector<Record> of_type(RecordType type) {
    std::vector<Record> all;
    EXPECT_TRUE(read_records(fs, test::kDirectory, 0, [&](const Record& record) {
      if (record.type == type) all.push_back(record);
      return true;
    }));
    return all;
  }

  test::MemoryFileSystem fs;
  test::FixedClock clock;
  test::CountingRandom random;
  std::unique_ptr<Ledger> ledger;
};

TEST_F(LeftoversTest, ModelsAndEnginesThatWereNotEndedAreEndedOnce) {
  const auto ended_engine = write(RecordType::kEngineStart, engine_start(1, "1.0.0"));
  const auto ended_load = write(RecordType::kModelLoad, {});
  write(RecordType::kModelUnload, end_of(ended_load));
  write(RecordType::kEngineStop, end_of(ended_engine));
  const auto engine = write(RecordType::kEngineStart, engine_start(1, "1.0.0"));
  const auto load = write(RecordType::kModelLoad, {});
  for (int i = 0; i < 2; ++i) open();
  const auto unloads = of_type(RecordType::kModelUnload);
  const auto stops = of_type(RecordType::kEngineStop);
  ASSERT_EQ(unloads.size(), 2U);
  ASSERT_EQ(stops.size(), 2U);
  EXPECT_EQ(*unloads[1].body.get_uint(key::kRefIndex, ""), load);
  EXPECT_EQ(*unloads[1].body.get_text(key::model_unload::kReason, ""), unload_reason::kCrash);
  EXPECT_EQ(*stops[1].body.get_uint(key::kRefIndex, ""), engine);
  EXPECT_EQ(*stops[1].body.get_text(key::engine_stop::kReason, ""), unload_reason::kCrash);
}

TEST_F(LeftoversTest, TheLastProgramIsThatOfTheLastStartOrUpdate) {
  EXPECT_FALSE(ledger->last_program());
  write(RecordType::kEngineStart, engine_start(1, "1.0.0"));
  EXPECT_FALSE(ledger->last_program()) << "of before this opening";
  open();
  ASSERT_TRUE(ledger->last_program());
  EXPECT_EQ(ledger->last_program()->sha3, digest(1));
  EXPECT_EQ(ledger->last_program()->version, "1.0.0");
  codec::Map update;
  update.set(key::update::kBinaryBefore, codec::Value::bytes(digest(1)))
      .set(key::update::kBinaryNow, codec::Value::bytes(digest(2)))
      .set(key::update::kVersionNow, codec::Value::text("1.1.0"));
  write(RecordType::kUpdate, std::move(update));
  open();
  EXPECT_EQ(ledger->last_program()->sha3, digest(2));
  EXPECT_EQ(ledger->last_program()->version, "1.1.0");
}

TEST(Leftovers, AForgedLedgerCannotMakeItGrow) {
  Leftovers leftovers;
  Record record;
  record.type = RecordType::kModelLoad;
  for (std::size_t i = 0; i < 3 * kOpenLoadsMax; ++i) {
    record.index = i;
    leftovers.see(record);
  }
  EXPECT_EQ(leftovers.endings().size(), kOpenLoadsMax);
  EXPECT_FALSE(leftovers.program());
  record.type = RecordType::kEngineStart;  // without what an engine says of itself
  leftovers.see(record);
  EXPECT_FALSE(leftovers.program());
}

}  // namespace
}  // namespace aioss::ledger
