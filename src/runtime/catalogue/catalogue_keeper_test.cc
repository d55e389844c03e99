#include "runtime/catalogue/catalogue_keeper.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/strings.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "ledger/format/record.h"
#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

using ledger::RecordType;
using std::chrono::milliseconds;
using testing::Answered;
using testing::read_all;
namespace key = ledger::key;
using Lines = std::vector<std::string>;

// ---- settle() -----------------------------------------------------------------------------------

Catalogue with(std::initializer_list<std::pair<const char*, std::uint64_t>> models) {
  Catalogue catalogue;
  for (const auto& [name, size] : models) {
    CatalogueEntry entry;
    entry.name = name;
    os::FileInfo part;
    part.size = size;
    entry.parts.push_back(part);
    catalogue.models.emplace(name, entry);
    catalogue.aliases.emplace(std::string("alias-") + name, name);
  }
  return catalogue;
}

bool yes(const CatalogueEntry&) {
  return true;
}

std::uint64_t size_of(const Settled& settled, const std::string& name) {
  return settled.catalogue.models.at(name).parts.at(0).size;
}

TEST(Settle, ANewFileWaitsForASecondLookThatFindsItTheSame) {
  const Settled first = settle(with({}), with({}), with({{"m", 1}}), yes);
  EXPECT_FALSE(first.all);
  EXPECT_TRUE(first.catalogue.models.empty());
  EXPECT_TRUE(first.catalogue.aliases.empty());
  EXPECT_FALSE(settle(with({}), with({{"m", 1}}), with({{"m", 2}}), yes).all) << "it grows";
  const Settled whole = settle(with({}), with({{"m", 2}}), with({{"m", 2}}), yes);
  EXPECT_TRUE(whole.all);
  EXPECT_EQ(size_of(whole, "m"), 2U);
  EXPECT_EQ(whole.catalogue.aliases.size(), 1U);
}

TEST(Settle, AFileThatIsBeingWrittenStaysAsItIsKnown) {
  const auto no = [](const CatalogueEntry&) { return false; };
  const Settled settled = settle(with({{"m", 1}}), with({{"m", 2}}), with({{"m", 2}}), no);
  EXPECT_FALSE(settled.all);
  EXPECT_EQ(size_of(settled, "m"), 1U);
}

TEST(Settle, AdaptersWaitForASecondLookToo) {
  const auto adapters = [](std::uint64_t size) {
    Catalogue catalogue;
    AdapterEntry entry;
    entry.name = "a";
    entry.file.size = size;
    if (size > 0) catalogue.adapters.emplace("a", entry);
    return catalogue;
  };
  const auto no = [](const CatalogueEntry&) { return false; };
  const Settled first = settle(adapters(0), adapters(0), adapters(1), yes);
  EXPECT_FALSE(first.all);
  EXPECT_TRUE(first.catalogue.adapters.empty());
  const Settled second = settle(adapters(0), adapters(1), adapters(1), yes);
  EXPECT_TRUE(second.all);
  EXPECT_EQ(second.catalogue.adapters.size(), 1U);
  const Settled written = settle(adapters(1), adapters(2), adapters(2), no);
  EXPECT_FALSE(written.all);
  EXPECT_EQ(written.catalogue.adapters.at("a").file.size, 1U);
}

TEST(Settle, WhatIsGoneIsGoneAtOnce) {
  const Settled settled = settle(with({{"m", 1}, {"n", 1}}), with({}), with({{"n", 1}}), yes);
  EXPECT_TRUE(settled.all);
  EXPECT_EQ(settled.catalogue.models.size(), 1U);
}

// ---- a gateway that watches ---------------------------------------------------------------------

class WatchTest : public ::testing::Test {
 protected:
  WatchTest() { bench.options.watch_models = true; }
  bool wait_until(const std::function<bool()>& condition) {
    for (int i = 0; i < 2000 && !condition(); ++i) std::this_thread::sleep_for(milliseconds(10));
    return condition();
  }
  bool has(const std::string& name) { return !names(name).empty(); }
  Lines names(const std::string& name) {
    Lines found;
    for (const ModelEntry& entry : bench.gateway().models()) {
      if (entry.name == name) found.push_back(entry.name);
    }
    return found;
  }
  // Of the watch's records.
  Lines details() {
    Lines all;
    for (const ledger::Record& record : bench.records()) {
      if (record.type != RecordType::kAdminAction) continue;
      const codec::Map& actor = **record.body.get_map(key::kActor, "");
      EXPECT_EQ(*actor.get_text(key::actor::kSource, ""), "watch");
      for (const codec::Value& line : **record.body.get_array(key::admin_action::kDetails, "")) {
        all.push_back(*line.if_text());
      }
    }
    return all;
  }
  testing::TestBench bench;
};

TEST_F(WatchTest, FilesThatComeChangeAndGoAreTakenUpAndRecorded) {
  bench.start();
  bench.add_model("m", "reply one\n");
  ASSERT_TRUE(wait_until([&] { return has("m"); }));
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "one");
  std::ofstream(bench.model_path("m.new")) << "aioss-fake 1\nreply two\n";
  std::filesystem::rename(bench.model_path("m.new"), bench.model_path("m.fake"));
  EXPECT_TRUE(wait_until([&] { return bench.ask("m", "q").text.at(0) == "two"; }));
  std::filesystem::remove(bench.model_path("m.fake"));
  ASSERT_TRUE(wait_until([&] { return !has("m"); }));
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(details(), (Lines{"appeared m", "changed m", "vanished m"}));
}

TEST_F(WatchTest, AFileUnderWayIsNoModelYet) {
  bench.start();
  std::ofstream writer(bench.model_path("half.fake"));
  writer << "aioss-fake 1\n" << std::flush;
  bench.add_model("whole", "reply hello\n");
  ASSERT_TRUE(wait_until([&] { return has("whole"); }));
  EXPECT_FALSE(has("half"));
  writer << "reply late\n";
  writer.close();
  ASSERT_TRUE(wait_until([&] { return has("half"); }));
  EXPECT_EQ(bench.ask("half", "q").text.at(0), "late");
  bench.expect_good_ledger_and_loads();
}

// ---- only files of the list ---------------------------------------------------------------------

class AllowTest : public WatchTest {
 protected:
  AllowTest() {
    bench.options.watch_models = false;
    bench.options.models_allow = bench.directory() + "/allow";
    allow("");
  }
  static std::string line(const std::string& name, const std::string& script) {
    return codec::to_hex(crypto::sha256(as_bytes("aioss-fake 1\n" + script))) + "  " + name +
           ".fake\n";
  }
  void allow(const std::string& lines) { std::ofstream(bench.options.models_allow) << lines; }
  std::size_t refused() {
    std::size_t count = 0;
    for (const ledger::Record& record : bench.records()) {
      if (record.type != RecordType::kDecision) continue;
      count += *record.body.get_text(key::decision::kKind, "") == "load" &&
                       *record.body.get_text(key::decision::kOutcome, "") == "refused" &&
                       *record.body.get_text(key::decision::kReason, "") == "forbidden"
                   ? 1
                   : 0;
    }
    return count;
  }
};

TEST_F(AllowTest, AListedFileIsServedFromASealedCopy) {
  bench.add_model("m", "reply one\n");
  allow(line("m", "reply one\n"));
  bench.start();
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "one");
  // Written to after it was hashed: what the worker reads stays as it was.
  bench.add_model("m", "reply two\n");
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "one");
  bench.expect_good_ledger_and_loads();
  std::vector<std::uint64_t> sources;
  for (const ledger::Record& record : bench.records()) {
    if (record.type != RecordType::kModelLoad) continue;
    sources.push_back(*record.body.get_uint(key::model_load::kHashSource, "source"));
  }
  EXPECT_EQ(sources, std::vector<std::uint64_t>{2});
}

TEST_F(AllowTest, UnknownAndChangedFilesAreRefusedAndThatIsRecorded) {
  bench.add_model("unknown", "reply one\n");
  bench.add_model("changed", "reply two\n");
  allow(line("changed", "reply one\n"));
  bench.start();
  for (const char* name : {"unknown", "changed"}) {
    const Answered answered = bench.ask(name, "q");
    ASSERT_EQ(answered.code(), "forbidden") << name;
    EXPECT_EQ(answered.failed->error.message.find(bench.directory()), std::string::npos);
  }
  EXPECT_TRUE(bench.worker_pids().empty());
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(refused(), 2U);
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 0U);
}

TEST_F(AllowTest, AnotherListHoldsFromTheNextLookOn) {
  bench.add_model("m", "reply one\n");
  bench.start();
  EXPECT_EQ(bench.ask("m", "q").code(), "forbidden");
  allow(line("m", "reply one\n"));
  ASSERT_TRUE(bench.gateway().rescan(Principal()));
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "one");
  allow("nonsense\n");
  EXPECT_FALSE(bench.gateway().rescan(Principal()));
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "one") << "the list before is in effect";
  bench.expect_good_ledger_and_loads();
}

TEST_F(AllowTest, StopsWhileAFileIsSealed) {
  bench.add_model("m", "reply one\n");
  allow(line("m", "reply one\n"));
  bench.start();
  bench.files().hold_reads(bench.model_path("m.fake"));
  const auto stream = bench.submit("m", "q");
  ASSERT_TRUE(bench.files().wait_until_read_is_held());
  std::thread other([&] {
    std::this_thread::sleep_for(milliseconds(100));
    bench.files().release();
  });
  bench.gateway().shut_down(milliseconds(0));
  other.join();
  EXPECT_TRUE(bench.gateway().left_behind());
  EXPECT_EQ(read_all(*stream).code(), "shutting_down");
  bench.expect_good_ledger_and_loads();
}

// ---- settings and aliases -----------------------------------------------------------------------

TEST_F(WatchTest, AliasesAndSettingsOfAModel) {
  bench.options.watch_models = false;
  ModelSettings own;
  own.parallel = 3;
  own.context_tokens = 256;
  own.aliases = {"chat"};
  bench.options.model_settings.emplace("m", own);
  bench.add_model("m", "reply hello\n");
  bench.add_model("n", "reply hello\n");
  bench.start();
  EXPECT_EQ(bench.gateway().resolve("chat"), "m");
  EXPECT_EQ(bench.gateway().resolve("n"), "n");
  const auto loaded = bench.gateway().load("chat", nullptr);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->name, "m");
  EXPECT_EQ(loaded->aliases, Lines{"chat"});
  EXPECT_EQ(loaded->facts->streams, 3U);
  EXPECT_EQ(loaded->facts->cells_per_stream, 256U);
  EXPECT_EQ(bench.gateway().load("n", nullptr)->facts->streams, 2U) << "the server's own";
  EXPECT_EQ(bench.ask("chat", "q").text.at(0), "hello");
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.texts(RecordType::kModelLoad, key::model_load::kName), (Lines{"m", "n"}));
}

TEST_F(WatchTest, OtherSettingsHoldFromTheNextRequestOn) {
  bench.options.watch_models = false;
  bench.options.parse_model_settings = [](std::string_view text, const std::string&) {
    ModelSettings settings;
    settings.context_tokens = static_cast<std::uint32_t>(parse_u64(text).value_or(0));
    return Result<ModelSettings>(settings);
  };
  bench.add_model("m", "reply hello\n");
  const auto set = [&](const char* context) {
    std::ofstream(bench.options.models_dir + "/m.toml") << context;
  };
  set("256");
  bench.start();
  EXPECT_EQ(bench.gateway().load("m", nullptr)->facts->cells_per_stream, 256U);
  set("512");
  ASSERT_TRUE(bench.gateway().rescan(Principal()));
  const auto cells = [&]() -> std::uint32_t {
    const auto loaded = bench.gateway().load("m", nullptr);
    return loaded && loaded->facts ? loaded->facts->cells_per_stream : 0;
  };
  EXPECT_TRUE(wait_until([&] { return cells() == 512; }));
  bench.expect_good_ledger_and_loads();
}

}  // namespace
}  // namespace aioss::runtime
