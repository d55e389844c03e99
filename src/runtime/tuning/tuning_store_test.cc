#include "runtime/tuning/tuning_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <string>
#include <thread>

#include "codec/hex.h"
#include "crypto/hash.h"
#include "os/clock.h"
#include "runtime/gateway.h"
#include "runtime/planning/planning.h"
#include "runtime/planning/tuning_plan.h"
#include "runtime/testing/held_file_system.h"
#include "runtime/testing/test_bench.h"
#include "runtime/tuning/tuner.h"

namespace aioss::runtime {
namespace {

namespace fs = std::filesystem;

class TuningStoreTest : public ::testing::Test {
 protected:
  TuningStoreTest() {
    std::string pattern = ::testing::TempDir() + "aioss-tunings-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    fs::copy_file(AIOSS_TEST_WORKER, worker());
  }
  ~TuningStoreTest() override { fs::remove_all(folder_); }

  std::string worker() const { return folder_ + "/worker"; }
  std::string file() const { return folder_ + "/state/model-tunings.cbor"; }
  TuningStore store() { return TuningStore(fs_, folder_ + "/state", worker()); }
  std::optional<Tuning> found_later(const TuningKey& key) {
    TuningStore later(fs_, folder_ + "/state", worker());
    later.read();
    return later.find(key);
  }
  void put(const TuningKey& key, const Tuning& tuning) {
    TuningStore now(fs_, folder_ + "/state", worker());
    now.read();
    now.put(key, tuning);
  }
  static TuningKey key(std::int64_t inode = 2) { return {{1, inode, 3, -4}, "profile=fast"}; }
  static Tuning tuning() {
    Tuning out;
    out.model = "m";
    out.wall_ns = 77;
    out.result.streams = 4;
    out.result.in_time = false;
    TuneMeasurement plain{{"llama", {}}, TuneState::kMeasured, "", {}};
    plain.regimes[0] = {100, 100};
    TuneMeasurement other{
        {"ik", {2, 3, 128, ipc::FlashAttention::kOff}}, TuneState::kMeasured, "", {}};
    other.regimes[2] = {50, 100};
    TuneMeasurement bad{{"ik", {}}, TuneState::kUnsafe, "signal 6", {}};
    out.result.measurements = {plain, other, bad};
    out.result.choice = {1, "2.00 times as fast"};
    return out;
  }
  void change(const std::function<void(Bytes&)>& how) {
    std::ifstream in(file(), std::ios::binary);
    Bytes bytes(std::istreambuf_iterator<char>(in), {});
    ASSERT_FALSE(bytes.empty());
    how(bytes);
    std::ofstream out(file(), std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
  }

  testing::HeldFileSystem fs_;
  std::string folder_;
};

TEST_F(TuningStoreTest, WhatWasFoundComesBack) {
  put(key(), tuning());
  const auto found = found_later(key());
  ASSERT_TRUE(found.has_value());
  const Tuning sent = tuning();
  EXPECT_EQ(found->model, sent.model);
  EXPECT_EQ(found->wall_ns, sent.wall_ns);
  EXPECT_EQ(found->result.measurements, sent.result.measurements);
  EXPECT_EQ(found->result.choice.index, 1U);
  EXPECT_EQ(found->result.choice.why, sent.result.choice.why);
  EXPECT_EQ(found->result.streams, 4U);
  EXPECT_FALSE(found->result.in_time);
}

TEST_F(TuningStoreTest, OtherFilesAndConditionsAreOtherKeys) {
  put(key(), tuning());
  EXPECT_FALSE(found_later(key(9)).has_value());
  TuningKey other = key();
  other.conditions = "profile=reproducible";
  EXPECT_FALSE(found_later(other).has_value());
}

TEST_F(TuningStoreTest, AFileThatWasChangedIsForgotten) {
  put(key(), tuning());
  TuningKey changed = key();
  changed.files.back() = 5;
  put(changed, tuning());
  EXPECT_FALSE(found_later(key()).has_value());
  EXPECT_TRUE(found_later(changed).has_value());
}

TEST_F(TuningStoreTest, AnotherExecutableForgetsAll) {
  put(key(), tuning());
  std::ofstream(worker(), std::ios::app) << "x";
  EXPECT_FALSE(found_later(key()).has_value());
}

TEST_F(TuningStoreTest, ADamagedFileIsAnEmptyOne) {
  put(key(), tuning());
  std::size_t size = 0;
  change([&](Bytes& bytes) { size = bytes.size(); });
  for (std::size_t at = 0; at < size; at += 7) {
    change([&](Bytes& bytes) { bytes[at] ^= 0x40; });
    EXPECT_FALSE(found_later(key()).has_value()) << at;
    change([&](Bytes& bytes) { bytes[at] ^= 0x40; });
  }
  EXPECT_TRUE(found_later(key()).has_value());
  change([](Bytes& bytes) { bytes.resize(bytes.size() - 1); });
  EXPECT_FALSE(found_later(key()).has_value());
  put(key(), tuning());  // and is written anew
  EXPECT_TRUE(found_later(key()).has_value());
}

// A choice that was not measured is started by nobody, however whole the file is.
TEST_F(TuningStoreTest, AChoiceThatWasNotMeasuredIsDamage) {
  for (const std::size_t index : {std::size_t{2}, std::size_t{3}}) {
    Tuning odd = tuning();
    odd.result.choice.index = index;
    put(key(), odd);
    EXPECT_FALSE(found_later(key()).has_value()) << index;
  }
}

TEST_F(TuningStoreTest, TheOldestGo) {
  TuningStore now = store();
  now.read();
  for (std::size_t i = 0; i <= kTuningsStoredMax; ++i) {
    now.put(key(100 + static_cast<std::int64_t>(i)), tuning());
  }
  EXPECT_FALSE(found_later(key(100)).has_value());
  EXPECT_TRUE(found_later(key(101)).has_value());
  EXPECT_EQ(now.all().size(), kTuningsStoredMax);
}

TEST_F(TuningStoreTest, TwoProcessesLoseNothingOfEachOther) {
  TuningStore server = store();
  server.read();
  put(key(8), tuning());  // another process
  server.put(key(9), tuning());
  EXPECT_TRUE(found_later(key(8)).has_value());
  EXPECT_TRUE(found_later(key(9)).has_value());
}

// A server that has run for long does not write its old result over that of `aioss tune`.
TEST_F(TuningStoreTest, TheNewerOfTwoResultsIsKept) {
  put(key(), tuning());
  TuningStore server = store();
  server.read();
  Tuning newer = tuning();
  newer.wall_ns = 78;
  newer.result.choice = {0, "newer"};
  put(key(), newer);  // another process
  server.put(key(9), tuning());
  EXPECT_EQ(found_later(key())->result.choice.why, "newer");
  EXPECT_EQ(server.find(key())->result.choice.why, "newer");
  Tuning older = tuning();
  older.wall_ns = 76;
  put(key(), older);  // by order
  server.take_in_newer();
  EXPECT_EQ(server.find(key())->result.choice.why, "newer");
}

TEST_F(TuningStoreTest, ProcessesTakeTurns) {
  put(key(), tuning());
  auto other = fs_.open(file() + ".lock", os::OpenMode::kReadWriteCreate);
  ASSERT_TRUE((*other)->lock_exclusive());
  std::thread writes([&] { put(key(9), tuning()); });
  (*other).reset();
  writes.join();
  EXPECT_TRUE(found_later(key(9)).has_value());
}

TEST_F(TuningStoreTest, WhatIsTakenBackIsNewer) {
  put(key(), tuning());
  TuningStore server = store();
  server.read();
  os::SystemClock clock;
  {
    Tuner tuner({worker(), nullptr}, clock, server);
    tuner.take_back(key(), "it crashed");
    const auto over = [&] { return server.find(key())->result.choice.index == 0; };
    EXPECT_TRUE(testing::comes_true(over));
  }
  EXPECT_EQ(found_later(key())->result.choice.index, 0U);
  EXPECT_GT(found_later(key())->wall_ns, tuning().wall_ns);
}

// It is not what failed.
TEST_F(TuningStoreTest, WhatWasFoundSinceIsNotTakenBack) {
  put(key(), tuning());
  TuningStore server = store();
  server.read();
  Tuning newer = tuning();
  newer.wall_ns = 78;
  put(key(), newer);
  os::SystemClock clock;
  {
    Tuner tuner({worker(), nullptr}, clock, server);
    tuner.take_back(key(), "it crashed");
    EXPECT_TRUE(testing::comes_true([&] { return server.find(key())->wall_ns == 78; }));
  }
  EXPECT_EQ(found_later(key())->result.choice.index, 1U);
}

// Its thread is busy until then.
TEST_F(TuningStoreTest, WhatIsInterruptedBeforeItsTurnIsNotMeasured) {
  put(key(), tuning());
  TuningStore server = store();
  server.read();
  std::ofstream(folder_ + "/m.fake") << "aioss-fake 1\nreply one\ndelay_us_per_call 1000\n";
  const auto catalogue = scan_catalogue(fs_, {folder_, {}, true});
  TuningJob job;
  job.files = *open_model(fs_, catalogue->models.at("m"));
  job.space.engines = {"fake"};
  job.space.flash_attention = true;
  job.open.engine = "fake";
  job.key = key(9);
  job.budget_ns = 1'000'000'000;
  std::promise<Result<TuningResult>> promise;
  os::SystemClock clock;
  fs_.hold_reads(file());
  Tuner tuner({worker(), nullptr}, clock, server);
  tuner.take_back(key(), "it crashed");
  ASSERT_TRUE(fs_.wait_until_read_is_held());
  tuner.tune(std::move(job), [&](Result<TuningResult> found) { promise.set_value(found); });
  tuner.interrupt();
  fs_.release();
  const auto result = promise.get_future().get();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kShuttingDown);
}

TEST_F(TuningStoreTest, WithoutAFolderNothingIsWritten) {
  TuningStore none(fs_, "", worker());
  none.read();
  none.put(key(), tuning());
  EXPECT_TRUE(none.find(key()).has_value());
  EXPECT_FALSE(fs::exists(file()));
}

// ---- what is made of it -------------------------------------------------------------------------

class TuningPlanTest : public TuningStoreTest {
 protected:
  TuningPlanTest() {
    CatalogueEntry entry;
    entry.name = "m";
    entry.engine = "llama";
    os::FileInfo part;
    part.device = 1;
    part.inode = 2;
    part.size = 3;
    entry.parts = {part};
    catalogue_.models["m"] = entry;
    plugins::EngineImage llama, ik, script;
    llama.name = "llama";
    llama.is_linked = true;
    ik.name = "ik";
    ik.sha256 = {7};
    script.name = "fake";
    script.format = plugins::ModelFormat::kScript;
    options_.engines = std::make_shared<plugins::EngineTable>(
        std::vector<plugins::EngineImage>{llama, ik, script});
    options_.tune = true;
    cpu_.logical = 8;
    cpu_.physical = 4;
  }
  CatalogueEntry& entry() { return catalogue_.models.at("m"); }
  TuningSpace space() { return space_of(catalogue_, entry(), options_, cpu_); }
  TuningKey key_now() { return tuning_key_of(catalogue_, entry(), options_); }

  Catalogue catalogue_;
  GatewayOptions options_;
  os::CpuBudget cpu_;
};

TEST_F(TuningPlanTest, AllThatMayBeChosenIsTried) {
  const TuningSpace all = space();
  EXPECT_EQ(all.engines, (std::vector<std::string>{"llama", "ik"}));
  EXPECT_EQ(all.threads, (std::vector<std::uint32_t>{8, 2}));
  EXPECT_TRUE(all.flash_attention);
  EXPECT_FALSE(all.micro_batches.empty());
  EXPECT_FALSE(all.keeps_bits);
}

TEST_F(TuningPlanTest, WhatAnOperatorHasSetIsNotTried) {
  entry().settings.engine = "ik";
  entry().settings.threads = 3;
  TuningSpace fixed = space();
  EXPECT_EQ(fixed.engines, std::vector<std::string>{"ik"});
  EXPECT_EQ(fixed.fixed.threads, 3U);
  EXPECT_TRUE(fixed.threads.empty());
  entry().settings = {};
  options_.engine = "ik";
  options_.threads = 2;
  fixed = space();
  EXPECT_EQ(fixed.engines, std::vector<std::string>{"ik"});
  EXPECT_EQ(fixed.fixed.threads, 2U);
}

TEST_F(TuningPlanTest, WhereBitsCountOnlyThreadsAreTried) {
  options_.profile = ipc::Profile::kReproducible;
  const TuningSpace exact = space();
  EXPECT_EQ(exact.engines, std::vector<std::string>{"llama"});
  EXPECT_FALSE(exact.flash_attention);
  EXPECT_TRUE(exact.micro_batches.empty());
  EXPECT_TRUE(exact.keeps_bits);
  EXPECT_FALSE(exact.threads.empty());
}

// They are made for one engine.
TEST_F(TuningPlanTest, AModelWithAdaptersKeepsItsEngine) {
  AdapterEntry adapter;
  adapter.name = "a";
  adapter.engine = "llama";
  catalogue_.adapters["a"] = adapter;
  EXPECT_EQ(space().engines, std::vector<std::string>{"llama"});
}

TEST_F(TuningPlanTest, ConditionsNameAllThatMatters) {
  const TuningKey before = key_now();
  EXPECT_EQ(before.conditions,
            "profile=fast parallel=0 ctx=0 kv_type=f16 prefill_chunk=0 speculation=on threads=0 "
            "engines=" +
                codec::to_hex(
                    crypto::sha256(as_bytes("llama:linked\nik:07" + std::string(62, '0') + "\n"))));
  entry().settings.parallel = 4;
  EXPECT_NE(key_now(), before);
  entry().settings = {};
  plugins::EngineImage newer;
  newer.name = "ik";
  newer.sha256 = {8};
  options_.engines->put(newer);
  EXPECT_NE(key_now(), before);
  options_.engines->remove("ik");
  EXPECT_NE(key_now(), before);
}

// As many engines as a table takes.
TEST_F(TuningPlanTest, ConditionsOfManyEnginesCanBeKept) {
  for (std::size_t i = 0; i < 64; ++i) {
    plugins::EngineImage one;
    one.name = std::string(40, 'e') + std::to_string(i);
    options_.engines->put(one);
  }
  put(key_now(), tuning());
  EXPECT_TRUE(found_later(key_now()).has_value());
}

TEST_F(TuningPlanTest, WhatWasChosenIsWhatIsStarted) {
  TuningStore now = store();
  now.put(key_now(), tuning());
  apply_tunings(now, options_, catalogue_);
  const PlanWanted wanted = wanted_of(entry(), options_);
  EXPECT_EQ(wanted.engine, "ik");
  EXPECT_EQ(wanted.threads, 2U);
  EXPECT_EQ(wanted.threads_batch, 3U);
  EXPECT_EQ(wanted.micro_batch_tokens_max, 128U);
  EXPECT_EQ(wanted.flash_attention, ipc::FlashAttention::kOff);
}

TEST_F(TuningPlanTest, TheDefaultIsNoSetting) {
  TuningStore now = store();
  Tuning kept = tuning();
  kept.result.choice.index = 0;
  now.put(key_now(), kept);
  apply_tunings(now, options_, catalogue_);
  EXPECT_FALSE(entry().settings.tuned.has_value());
}

TEST_F(TuningPlanTest, AnOperatorGoesBeforeWhatWasMeasured) {
  TuningStore now = store();
  now.put(key_now(), tuning());
  apply_tunings(now, options_, catalogue_);
  entry().settings.engine = "llama";  // by an order, while it runs
  const PlanWanted wanted = wanted_of(entry(), options_);
  EXPECT_EQ(wanted.engine, "llama");
  EXPECT_EQ(wanted.flash_attention, ipc::FlashAttention::kEngine);
  options_.tune = false;
  entry().settings = {};
  apply_tunings(now, options_, catalogue_);
  EXPECT_EQ(wanted_of(entry(), options_).engine, "llama");
}

}  // namespace
}  // namespace aioss::runtime
