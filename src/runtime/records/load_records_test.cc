// The order of the records of engines and models, and that each load has its end.
#include "runtime/records/load_records.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

using ledger::RecordType;
namespace key = ledger::key;

class LoadRecordsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    bench.start();
    ready.engine.name = "fake";
    ready.engine.version = "1";
    ready.engine.build_id = "build";
    records.emplace(
        bench.ledger(), ipc::Profile::kFast,
        [this](std::function<void()> what) {
          std::lock_guard lock(mutex);
          posted.push_back(std::move(what));
          changed.notify_all();
        },
        LoadRecords::Told{[this] { ++advanced; }, [this](const Error&) { ++failed; },
                          [this](std::uint64_t life, const auto& record) {
                            loaded.emplace_back(life, record.has_value());
                          },
                          [] {}});
  }
  void record(std::uint64_t life) {
    records->record({life, model, ready, hash, 5, "none", engine_sha256});
  }
  // Waits for the ledger's word of one record, and hands it on.
  void turn() {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return !posted.empty(); }));
    const auto what = std::move(posted.front());
    posted.pop_front();
    lock.unlock();
    what();
  }
  void load(std::uint64_t life) {
    record(life);
    turn();
  }

  testing::TestBench bench;
  const std::string model = "m";
  ipc::Ready ready;
  ModelHash hash;
  Digest engine_sha256{};
  std::optional<LoadRecords> records;
  int advanced = 0, failed = 0;
  std::vector<std::pair<std::uint64_t, bool>> loaded;

 private:
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> posted;  // guarded by mutex
};

TEST_F(LoadRecordsTest, NothingBeforeItIsKnownWhatTheProgramIs) {
  EXPECT_FALSE(records->takes(1));
  record(1);
  EXPECT_TRUE(records->all_settled());
  records->program_is(Digest{7});
  EXPECT_TRUE(records->takes(1));
}

TEST_F(LoadRecordsTest, AnEngineStartsOnceAndEachLoadHasItsEnd) {
  records->program_is(Digest{7});
  load(1);  // ENGINE_START
  EXPECT_EQ(advanced, 1);
  EXPECT_TRUE(loaded.empty());
  load(1);  // MODEL_LOAD
  EXPECT_FALSE(records->takes(1)) << "it has been recorded";
  load(2);
  EXPECT_EQ(loaded, (std::vector<std::pair<std::uint64_t, bool>>{{1, true}, {2, true}}));
  records->ended(1, "by_order");
  records->ended(2, "");
  EXPECT_FALSE(records->all_settled());
  turn();
  turn();
  EXPECT_TRUE(records->all_settled());
  EXPECT_EQ(records->engine_records().size(), 1U);
  bench.finish();
  EXPECT_EQ(bench.count(RecordType::kEngineStart), 1U);
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 2U);
  EXPECT_EQ(bench.texts(RecordType::kModelUnload, key::model_unload::kReason),
            (std::vector<std::string>{"by_order", "load_failed"}));
}

TEST_F(LoadRecordsTest, APluginIsRecordedWithItsFileAndAnotherFileIsAnotherEngine) {
  records->program_is(Digest{7});
  engine_sha256 = Digest{1};
  load(1);
  load(1);
  engine_sha256 = Digest{2};
  load(2);
  load(2);
  bench.finish();
  std::vector<Bytes> files;
  for (const ledger::Record& record : bench.records()) {
    if (record.type != RecordType::kEngineStart) continue;
    files.push_back(*record.body.get_bytes(key::engine_start::kFileSha256, ""));
  }
  ASSERT_EQ(files.size(), 2U);
  EXPECT_EQ(files[0].front(), 1);
  EXPECT_EQ(files[1].front(), 2);
}

TEST_F(LoadRecordsTest, ALifeThatEndsBeforeItsLoadIsDurable) {
  records->program_is(Digest{7});
  load(1);
  record(1);
  records->ended(1, "expired");  // the ledger's word is still to come
  turn();
  EXPECT_TRUE(loaded.empty()) << "nobody is there to be told";
  turn();
  EXPECT_TRUE(records->all_settled());
  bench.finish();
  EXPECT_EQ(bench.texts(RecordType::kModelUnload, key::model_unload::kReason),
            std::vector<std::string>{"expired"});
}

TEST_F(LoadRecordsTest, WhatTheLedgerDoesNotTakeIsTriedWithTheNextLoad) {
  records->program_is(Digest{7});
  bench.disk().fail();
  load(1);
  EXPECT_EQ(failed, 1);
  EXPECT_TRUE(records->takes(1));
  EXPECT_TRUE(records->engine_records().empty());
}

TEST_F(LoadRecordsTest, ALifeThatWasNeverRecordedHasNoEnd) {
  records->program_is(Digest{7});
  records->ended(1, "by_order");
  EXPECT_TRUE(records->all_settled());
}

}  // namespace
}  // namespace aioss::runtime
