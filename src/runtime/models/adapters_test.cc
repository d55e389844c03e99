// Adapters of loaded models: fetched for the first request, gone when memory is wanted, there again
// in the next worker, and in the ledger. Real processes, the fake engine.
#include "runtime/models/adapters.h"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "codec/hex.h"
#include "crypto/hash.h"
#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

using ledger::RecordType;
using testing::Answered;
using testing::read_all;
using testing::read_some_text;
namespace key = ledger::key;

class AdaptersTest : public ::testing::Test {
 protected:
  void add_adapter(const std::string& name, const std::string& lines) {
    std::ofstream(bench.model_path(name + ".lora.fake")) << "aioss-fake-lora 1\n" << lines;
  }
  Digest digest_of(const std::string& name) const {
    std::ifstream file(bench.model_path(name + ".lora.fake"), std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    return crypto::sha256(as_bytes(text));
  }
  std::shared_ptr<Stream> submit(const std::string& prompt, std::vector<AdapterWish> adapters) {
    GenerateCall call = bench.call("m", prompt);
    call.adapters = std::move(adapters);
    auto stream = bench.gateway().submit(std::move(call));
    EXPECT_TRUE(stream) << (stream ? "" : stream.error().message);
    return stream ? *stream : nullptr;
  }
  Answered ask(const std::string& prompt, std::vector<AdapterWish> adapters) {
    const auto stream = submit(prompt, std::move(adapters));
    return stream ? read_all(*stream) : Answered{};
  }
  std::vector<codec::Map> bodies(RecordType type) {
    std::vector<codec::Map> all;
    for (const ledger::Record& record : bench.records()) {
      if (record.type == type) all.push_back(record.body);
    }
    return all;
  }

  // Leased for adapters, of all models.
  std::uint64_t adapter_bytes() {
    std::uint64_t bytes = 0;
    for (const MemoryOfDevice& device : bench.gateway().memory().devices) {
      for (const MemoryOfModel& model : device.models) {
        bytes += model.holding.leased[memory::Kind::kAdapters];
      }
    }
    return bytes;
  }

  testing::TestBench bench;
};

TEST_F(AdaptersTest, TheFirstRequestHasThemLoaded) {
  bench.add_model("m", "reply hello\n");
  add_adapter("pirate", "say Arr.\n");
  add_adapter("polite", "say Please.\n");
  bench.start();
  EXPECT_EQ(bench.gateway().models().front().adapters,
            (std::vector<std::string>{"pirate", "polite"}));
  EXPECT_EQ(ask("x", {{"pirate", 1.0F}}).text.at(0), "Arr. hello");
  EXPECT_EQ(bench.ask("m", "x").text.at(0), "hello");
  EXPECT_EQ(ask("x", {{"polite", 0.5F}, {"pirate", 1.0F}}).text.at(0), "Please.*0.5 Arr. hello");
  EXPECT_EQ(ask("x", {{"pirate", 1.0F}}).text.at(0), "Arr. hello");
  EXPECT_EQ(bench.worker_pids().size(), 1U);
  bench.expect_good_ledger_and_loads();

  const auto loads = bodies(RecordType::kModelLoad);
  ASSERT_EQ(loads.size(), 3U);
  EXPECT_EQ(loads[0].find(key::model_load::kAdapterOf), nullptr);
  EXPECT_EQ(*loads[1].find(key::model_load::kName)->if_text(), "pirate");
  const Digest pirate = digest_of("pirate");
  EXPECT_EQ(*loads[1].find(key::model_load::kSha256)->if_bytes(),
            Bytes(pirate.begin(), pirate.end()));
  const auto requests = bodies(RecordType::kInferRequest);
  ASSERT_EQ(requests.size(), 4U);
  EXPECT_EQ(requests[1].find(key::infer_request::kAdapters), nullptr);
  const auto& used = *requests[2].find(key::infer_request::kAdapters)->if_array();
  ASSERT_EQ(used.size(), 2U);
  EXPECT_EQ(*used[1].if_map()->find(key::adapter::kSha256)->if_bytes(),
            Bytes(pirate.begin(), pirate.end()));
  EXPECT_EQ(*used[0].if_map()->find(key::adapter::kName)->if_text(), "polite");
}

TEST_F(AdaptersTest, OneThatThereIsNotIsRefusedAtTheDoor) {
  bench.add_model("m", "reply hello\n");
  bench.start();
  GenerateCall call = bench.call("m", "x");
  call.adapters = {{"pirate", 1.0F}};
  const auto refused = bench.gateway().submit(std::move(call));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kNotFound);
}

TEST_F(AdaptersTest, OneThatCannotBeLoadedHarmsNobody) {
  bench.add_model("m", "reply hello\ndelay_us_per_call 2000\n");
  add_adapter("torn", "fail corrupt\n");
  add_adapter("foreign", "fail unsupported\n");
  bench.start();
  const auto beside = bench.submit("m", "[[long 300]]");
  Answered begun;
  ASSERT_TRUE(read_some_text(*beside, begun));
  const std::vector<int> workers = bench.worker_pids();
  for (const auto& [name, code] :
       {std::pair{"torn", Code::kModelCorrupt}, std::pair{"foreign", Code::kUnsupported}}) {
    for (int i = 0; i < 2; ++i) {
      const Answered answered = ask("x", {{name, 1.0F}});
      ASSERT_TRUE(answered.failed) << name;
      EXPECT_EQ(answered.failed->error.code, code) << answered.failed->error.message;
      EXPECT_NE(answered.failed->error.message.find(name), std::string::npos);
    }
  }
  EXPECT_TRUE(read_all(*beside).done);
  EXPECT_EQ(bench.worker_pids(), workers);
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bodies(RecordType::kModelLoad).size(), 1U);
}

// The worker goes; the stream beside it goes on with the next one, and the adapter is not tried
// again at once.
TEST_F(AdaptersTest, OneThatEndsItsWorkerIsToBlame) {
  bench.add_model("m", "reply hello\ndelay_us_per_call 2000\n");
  add_adapter("bomb", "fail crash\n");
  bench.start();
  const std::string whole = bench.ask("m", "[[long 400]]").text.at(0);
  const auto beside = bench.submit("m", "[[long 400]]");
  Answered begun;
  ASSERT_TRUE(read_some_text(*beside, begun));
  const Answered answered = ask("x", {{"bomb", 1.0F}});
  ASSERT_TRUE(answered.failed);
  const Answered rest = read_all(*beside);
  ASSERT_TRUE(rest.done) << rest.code();
  EXPECT_EQ(begun.text.at(0) + rest.text.at(0), whole);
  EXPECT_TRUE(ask("x", {{"bomb", 1.0F}}).failed);
  EXPECT_EQ(bench.ask("m", "x").text.at(0), "hello");
  bench.expect_good_ledger_and_loads();
}

TEST_F(AdaptersTest, AnswersGoOnUnderThemInTheNextWorker) {
  bench.add_model("m", "reply hello\ndelay_us_per_call 2000\n");
  add_adapter("pirate", "say Arr.\n");
  bench.start();
  const std::string whole = ask("[[long 400]]", {{"pirate", 1.0F}}).text.at(0);
  EXPECT_EQ(whole.substr(0, 5), "Arr. ");
  const auto stream = submit("[[long 400]]", {{"pirate", 1.0F}});
  Answered begun;
  ASSERT_TRUE(read_some_text(*stream, begun));
  ASSERT_EQ(bench.kill_workers(), 1);
  const Answered rest = read_all(*stream);
  ASSERT_TRUE(rest.done) << rest.failed->error.message;
  EXPECT_EQ(begun.text.at(0) + rest.text.at(0), whole);
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bodies(RecordType::kModelLoad).size(), 4U);  // both, in both workers
}

// What was begun with other bytes is not gone on with.
TEST_F(AdaptersTest, AnAnswerDoesNotGoOnUnderAnotherFile) {
  bench.add_model("m", "reply hello\ndelay_us_per_call 2000\n");
  add_adapter("pirate", "say Arr.\n");
  bench.start();
  const auto stream = submit("[[long 2000]]", {{"pirate", 1.0F}});
  Answered begun;
  ASSERT_TRUE(read_some_text(*stream, begun));
  add_adapter("pirate", "say Avast ye.\n");
  Principal by;
  ASSERT_TRUE(bench.gateway().rescan(by));
  ASSERT_EQ(bench.kill_workers(), 1);
  const Answered rest = read_all(*stream);
  ASSERT_TRUE(rest.failed);
  EXPECT_EQ(rest.failed->error.code, Code::kWorkerDied);
  EXPECT_EQ(ask("x", {{"pirate", 1.0F}}).text.at(0), "Avast ye. hello");
  bench.expect_good_ledger_and_loads();
}

TEST_F(AdaptersTest, AFileThatIsReplacedIsTakenForTheNextRequest) {
  bench.add_model("m", "reply hello\n");
  add_adapter("pirate", "say Arr.\n");
  bench.start();
  EXPECT_EQ(ask("x", {{"pirate", 1.0F}}).text.at(0), "Arr. hello");
  add_adapter("pirate", "say Avast ye.\n");
  Principal by;
  ASSERT_TRUE(bench.gateway().rescan(by));
  EXPECT_EQ(ask("x", {{"pirate", 1.0F}}).text.at(0), "Avast ye. hello");
  std::filesystem::remove(bench.model_path("pirate.lora.fake"));
  ASSERT_TRUE(bench.gateway().rescan(by));
  GenerateCall call = bench.call("m", "x");
  call.adapters = {{"pirate", 1.0F}};
  EXPECT_FALSE(bench.gateway().submit(std::move(call)));
  bench.expect_good_ledger_and_loads();
}

// Unused ones go, the least used first; the model stays.
TEST_F(AdaptersTest, TheyMakeRoomForEachOther) {
  constexpr std::uint64_t kMiB = 1 << 20;
  bench.add_model("m", "reply hello\nmemory weights=1048576 kv=0\n");
  for (const char* name : {"a", "b", "c", "d"}) {
    add_adapter(name, "say " + std::string(name) + "\nbytes " + std::to_string(40 * kMiB) + "\n");
  }
  bench.options.memory_max = 100 * kMiB;
  bench.options.prefix_bytes = 0;
  bench.options.spill_bytes = 0;
  bench.start();
  EXPECT_EQ(ask("x", {{"a", 1.0F}}).text.at(0), "a hello");
  EXPECT_EQ(ask("x", {{"b", 1.0F}}).text.at(0), "b hello");
  const std::vector<int> workers = bench.worker_pids();
  for (int round = 0; round < 3; ++round) {
    for (const char* name : {"a", "b", "c", "d"}) {
      EXPECT_EQ(ask("x", {{name, 1.0F}}).text.at(0), std::string(name) + " hello");
    }
  }
  EXPECT_EQ(bench.worker_pids(), workers);
  bench.expect_good_ledger_and_loads();
  EXPECT_GE(bodies(RecordType::kModelLoad).size(), 6U);  // they came again and again
}

// A disk that hangs holds up what comes from it, for a minute, and nothing else.
TEST_F(AdaptersTest, OneWhoseDiskHangsIsGivenUp) {
  bench.add_model("m", "reply hello\n");
  add_adapter("pirate", "say Arr.\n");
  bench.start();
  EXPECT_EQ(bench.ask("m", "x").text.at(0), "hello");
  bench.files().hold_reads(bench.model_path("pirate.lora.fake"));
  const auto stream = submit("x", {{"pirate", 1.0F}});
  ASSERT_TRUE(bench.files().wait_until_read_is_held());
  EXPECT_EQ(bench.ask("m", "x").text.at(0), "hello");
  bench.clock().advance(std::chrono::seconds(61));
  const Answered given_up = read_all(*stream);
  ASSERT_TRUE(given_up.failed);
  EXPECT_EQ(given_up.failed->error.code, Code::kIo) << given_up.failed->error.message;
  EXPECT_TRUE(testing::comes_true([&] { return adapter_bytes() > 0; }))
      << "it is in memory still, and so in the books";
  bench.files().release();
  EXPECT_TRUE(testing::comes_true([&] { return adapter_bytes() == 0; }));
  bench.clock().advance(std::chrono::minutes(10));  // it is not tried again at once
  EXPECT_EQ(ask("x", {{"pirate", 1.0F}}).text.at(0), "Arr. hello");
  bench.expect_good_ledger_and_loads();
}

// What is being copied for a worker that ends stays in the books until it is let go.
TEST_F(AdaptersTest, AWorkerMayEndWhileOneIsCopied) {
  bench.add_model("m", "reply hello\n");
  add_adapter("pirate", "say Arr.\n");
  bench.start();
  EXPECT_EQ(bench.ask("m", "x").text.at(0), "hello");
  bench.files().hold_reads(bench.model_path("pirate.lora.fake"));
  const auto stream = submit("x", {{"pirate", 1.0F}});
  ASSERT_TRUE(bench.files().wait_until_read_is_held());
  ASSERT_TRUE(testing::comes_true([&] { return adapter_bytes() > 0; }));
  const std::uint64_t once = adapter_bytes();
  ASSERT_EQ(bench.kill_workers(), 1);
  EXPECT_TRUE(testing::comes_true([&] { return adapter_bytes() == 2 * once; }))
      << "that of the worker that ended, and that of the next one";
  bench.files().release();
  EXPECT_EQ(read_all(*stream).text.at(0), "Arr. hello");
  bench.expect_good_ledger_and_loads();
}

}  // namespace
}  // namespace aioss::runtime
