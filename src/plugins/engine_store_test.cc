#include "plugins/engine_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "codec/hex.h"
#include "crypto/hash.h"
#include "plugins/plugin_file.h"

namespace aioss::plugins {
namespace {

using testing::HasSubstr;

constexpr std::string_view kBytes =
    "\x7F"
    "ELF and the rest of a plugin";

class EngineStore : public testing::Test {
 protected:
  EngineStore() {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
    write(root_ + "/built.so", kBytes);
  }
  ~EngineStore() override { std::filesystem::remove_all(root_); }

  static void write(const std::string& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  static std::string text(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static Manifest manifest(const std::string& name) {
    Manifest out;
    out.name = name;
    out.version = "1.2";
    out.sha256 = crypto::sha256(as_bytes(kBytes));
    return out;
  }
  Status add(const std::string& name, bool replace = false) {
    return add_engine(fs_, directory_, manifest(name), root_ + "/built.so", replace);
  }
  Error refusal(const std::string& name, const Trust& trust = {}) {
    auto image = read_engine(fs_, directory_, name, trust);
    EXPECT_FALSE(image.has_value());
    return image ? Error{Code::kInternal, ""} : std::move(image).error();
  }

  os::RealFileSystem fs_;
  const std::string root_ = testing::TempDir() + "engine_store_" + std::to_string(::getpid());
  const std::string directory_ = root_ + "/engines";
};

TEST_F(EngineStore, WhatWasAddedIsReadAsItWas) {
  ASSERT_TRUE(add("second"));
  ASSERT_TRUE(add("first"));
  const InstalledEngines found = read_engines(fs_, directory_, {});
  ASSERT_EQ(found.engines.size(), 2U);
  EXPECT_TRUE(found.left_out.empty());
  const EngineImage& engine = found.engines.front();
  EXPECT_EQ(engine.name, "first");
  EXPECT_EQ(engine.version, "1.2");
  EXPECT_FALSE(engine.is_linked);
  EXPECT_EQ(engine.sha256, crypto::sha256(as_bytes(kBytes)));
  EXPECT_EQ(engine.origin, directory_ + "/first.so");
}

TEST_F(EngineStore, TheBytesThatWereHashedAreKeptWhateverBecomesOfTheFile) {
  ASSERT_TRUE(add("one"));
  const auto engine = read_engine(fs_, directory_, "one", {});
  ASSERT_TRUE(engine) << engine.error().message;
  write(directory_ + "/one.so", "something else");
  std::string now(kBytes.size() + 8, '\0');
  const ssize_t got = ::pread(engine->file->get(), now.data(), now.size(), 0);
  ASSERT_EQ(got, static_cast<ssize_t>(kBytes.size()));
  EXPECT_EQ(now.substr(0, kBytes.size()), kBytes);
  EXPECT_LT(::write(engine->file->get(), "x", 1), 0) << "it can be written to";
}

TEST_F(EngineStore, AChangedFileIsRefusedAndTheOthersGoOn) {
  ASSERT_TRUE(add("bad"));
  ASSERT_TRUE(add("good"));
  write(directory_ + "/bad.so", "something else");
  const InstalledEngines found = read_engines(fs_, directory_, {});
  ASSERT_EQ(found.engines.size(), 1U);
  EXPECT_EQ(found.engines.front().name, "good");
  ASSERT_EQ(found.left_out.size(), 1U);
  EXPECT_EQ(found.left_out.front().name, "bad");
  EXPECT_EQ(found.left_out.front().why.code, Code::kCorrupt);
  EXPECT_THAT(found.left_out.front().why.message, HasSubstr("is not the file that was installed"));
}

TEST_F(EngineStore, WhatIsNotTrustedIsLeftOutWithTheReason) {
  ASSERT_TRUE(add("one"));
  const Trust trust = [](const Manifest& manifest, const std::string& file) -> Status {
    return Error{Code::kForbidden, manifest.name + " as " + file + " is not in the list"};
  };
  const Error why = refusal("one", trust);
  EXPECT_EQ(why.code, Code::kForbidden);
  EXPECT_EQ(why.message, "one as one.so is not in the list");
}

TEST_F(EngineStore, AFileWithoutItsManifestIsNoEngine) {
  ASSERT_TRUE(add("one"));
  std::filesystem::copy_file(directory_ + "/one.so", directory_ + "/two.so");
  EXPECT_THAT(refusal("two").message, HasSubstr("aioss engine add"));
  std::filesystem::copy_file(directory_ + "/one.json", directory_ + "/two.json");
  EXPECT_THAT(refusal("two").message, HasSubstr("its manifest is of 'one'"));
}

TEST_F(EngineStore, AnEngineOfAnotherAbiIsLeftOutAndTheOthersGoOn) {
  ASSERT_TRUE(add("good"));
  const auto install = [&](const std::string& name, std::uint32_t abi) {
    Manifest other = manifest(name);
    other.abi = abi;
    EXPECT_TRUE(add_engine(fs_, directory_, other, root_ + "/built.so", false));
    return refusal(name);
  };
  const std::string ours = "speaks version " + std::to_string(AIOSS_ENGINE_ABI_VERSION);
  const Error older = install("older", AIOSS_ENGINE_ABI_VERSION - 1);
  EXPECT_EQ(older.code, Code::kUnsupported);
  EXPECT_THAT(older.message,
              HasSubstr("ABI version " + std::to_string(AIOSS_ENGINE_ABI_VERSION - 1)));
  EXPECT_THAT(older.message, HasSubstr(ours + "; add the engine built for this program"));
  const Error newer = install("newer", AIOSS_ENGINE_ABI_VERSION + 1);
  EXPECT_EQ(newer.code, Code::kUnsupported);
  EXPECT_THAT(newer.message,
              HasSubstr("ABI version " + std::to_string(AIOSS_ENGINE_ABI_VERSION + 1)));
  EXPECT_THAT(newer.message, HasSubstr(ours + "; update aioss, or add the engine"));
  const InstalledEngines found = read_engines(fs_, directory_, {});
  EXPECT_EQ(found.engines.size(), 1U);
  EXPECT_EQ(found.left_out.size(), 2U);
}

// As a power failure leaves it, between the two renames.
TEST_F(EngineStore, APairThatDoesNotFitIsReplacedOrRemovedLikeAnyOther) {
  for (const bool is_removed : {false, true}) {
    ASSERT_TRUE(add("one", true));
    write(directory_ + "/one.so", "the file that came");
    EXPECT_THAT(refusal("one").message, HasSubstr("aioss engine add FILE --force"));
    if (is_removed) {
      ASSERT_TRUE(remove_engine(fs_, directory_, "one"));
    }
    ASSERT_TRUE(add("one", !is_removed));
    EXPECT_TRUE(read_engine(fs_, directory_, "one", {}));
  }
}

TEST_F(EngineStore, NothingIsReplacedUnasked) {
  ASSERT_TRUE(add("one"));
  const Status again = add("one");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kConflict);
  EXPECT_TRUE(add("one", true));
}

TEST_F(EngineStore, AFileThatChangesWhileItIsCopiedIsNotInstalled) {
  write(root_ + "/built.so", "not what was looked at");
  const Status added = add("one");
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, Code::kConflict);
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
}

TEST_F(EngineStore, WhatIsRemovedIsGone) {
  ASSERT_TRUE(add("one"));
  ASSERT_TRUE(remove_engine(fs_, directory_, "one"));
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
  EXPECT_EQ(remove_engine(fs_, directory_, "one").error().code, Code::kNotFound);
  EXPECT_EQ(remove_engine(fs_, directory_, "../one").error().code, Code::kUsage);
}

TEST_F(EngineStore, AFolderThatIsNotThereIsEmpty) {
  const InstalledEngines found = read_engines(fs_, root_ + "/none", {});
  EXPECT_TRUE(found.engines.empty() && found.left_out.empty());
}

TEST_F(EngineStore, AManifestIsReadAsItWasWritten) {
  Manifest wanted = manifest("one");
  wanted.signature = "aioss/engine/v1\n…\n";
  const auto read = parse_manifest(format_manifest(wanted));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, wanted);
}

TEST_F(EngineStore, DamagedManifestsAreRefused) {
  const std::string good = format_manifest(manifest("one"));
  ASSERT_TRUE(parse_manifest(good));
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return parse_manifest(text.replace(at, from.size(), to));
  };
  EXPECT_FALSE(with("one", "One"));
  EXPECT_FALSE(with("\"abi\":1", "\"abi\":-1"));
  EXPECT_FALSE(with("\"abi\":1", "\"abi\":4294967296"));
  EXPECT_FALSE(with("\"abi\":1", "\"abi\":1,\"more\":1"));
  EXPECT_FALSE(with("gguf", "GGUF"));
  EXPECT_FALSE(with("[\"gguf\"]", "[]"));
  EXPECT_FALSE(with("1.2", std::string(300, '1')));
  EXPECT_FALSE(with(codec::to_hex(manifest("one").sha256), "00"));
  for (const char* text : {"", "[]", "null", "{", "{}"}) EXPECT_FALSE(parse_manifest(text)) << text;
}

}  // namespace
}  // namespace aioss::plugins
