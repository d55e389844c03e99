// Whom an installed engine is trusted from.
#include "cli/engine_setup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "cli/bundle_note.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "os/clock.h"
#include "runtime/catalogue/engine_reload.h"

namespace aioss::cli {
namespace {

using testing::HasSubstr;

constexpr std::string_view kBytes = "what a plugin is made of";
constexpr std::string_view kPublisher = "engines.example";

class EngineSetup : public testing::Test {
 protected:
  EngineSetup() {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
    std::ofstream(root_ + "/built.so", std::ios::binary) << kBytes;
  }
  ~EngineSetup() override { std::filesystem::remove_all(root_); }

  void install(const std::string& name, const std::string& signature = "") {
    plugins::Manifest manifest;
    manifest.name = name;
    manifest.version = "1";
    manifest.sha256 = crypto::sha256(as_bytes(kBytes));
    manifest.signature = signature;
    ASSERT_TRUE(plugins::add_engine(services_.files, root_ + "/engines", manifest,
                                    root_ + "/built.so", true));
  }
  std::string signature(const crypto::SigningKey& key) {
    return *sign_note(signed_engine(crypto::sha256(as_bytes(kBytes))), kPublisher, key);
  }
  // The names of the engines that there are with these flags.
  std::vector<std::string> names(std::vector<std::pair<Key, std::string>> flags = {}) {
    flags.emplace_back(Key::kEnginesDir, root_ + "/engines");
    const auto config = load_config(files_, services_.environment, {flags, ""});
    EXPECT_TRUE(config);
    const auto table = engine_table(services_, *config, false);
    EXPECT_TRUE(table) << table.error().message;
    std::vector<std::string> out;
    if (!table) return out;
    for (const auto& engine : (*table)->all()) out.push_back(engine->name);
    return out;
  }

  const std::string root_ = testing::TempDir() + "engine_setup_" + std::to_string(::getpid());
  os::RealFileSystem files_;
  os::SystemClock clock_;
  crypto::SystemRandom random_;
  Console console_{stdout, stderr, {}};
  Services services_{files_,
                     clock_,
                     random_,
                     console_,
                     [](std::string_view) { return std::optional<std::string>(); },
                     [] {
                       return std::vector<EngineVersion>{{"llama", "1", "", "", ""},
                                                         {"fake", "1", "", "", ""}};
                     }};
  const std::unique_ptr<crypto::SigningKey> key_ =
      *crypto::SigningKey::from_seed(Bytes(32, std::uint8_t{1}));
  const std::string vkey_ =
      ledger::format_verifier_key({std::string(kPublisher), key_->public_key()});
};

TEST_F(EngineSetup, TheBinarysEnginesAreThereWithoutAnyOthers) {
  EXPECT_THAT(names(), testing::ElementsAre("llama"));
}

TEST_F(EngineSetup, AnInstalledOneIsAddedUnlessItTakesANameThatThereIs) {
  install("mine");
  install("llama");
  install("fake");
  EXPECT_THAT(names(), testing::ElementsAre("llama", "mine"));
}

TEST_F(EngineSetup, WhatTheBinaryCarriesIsNotReplacedByAnInstalledOne) {
  static const std::string carried = "the engine that is carried";
  services_.embedded = [] {
    return std::vector<EmbeddedEngine>{{"ik", "1", "", as_bytes(carried)}};
  };
  install("ik");
  install("mine");
  const auto config =
      load_config(files_, services_.environment, {{{Key::kEnginesDir, root_ + "/engines"}}, ""});
  ASSERT_TRUE(config);
  const auto table = engine_table(services_, *config, false);
  ASSERT_TRUE(table);
  ASSERT_TRUE((*table)->find("ik"));
  EXPECT_EQ((*table)->find("ik")->sha256, crypto::sha256(as_bytes(carried)));
  // What a rescan finds is the same: nothing changes, whether the installed one is there or not.
  const auto installed = installed_engines(services_, *config, **table);
  ASSERT_TRUE(installed);
  ASSERT_EQ(installed->size(), 1u);
  EXPECT_EQ(installed->front().name, "mine");
  EXPECT_TRUE(runtime::engine_changes(**table, *installed).details.empty());
  EXPECT_THAT(check_not_own(services_, "ik").error().message, HasSubstr("another name"));
  EXPECT_FALSE(check_not_own(services_, "llama"));
  EXPECT_TRUE(check_not_own(services_, "mine"));
}

TEST_F(EngineSetup, WhoAsksForAnEngineThatIsLeftOutIsToldSo) {
  plugins::Manifest old;
  old.name = "old";
  old.version = "1";
  old.abi = AIOSS_ENGINE_ABI_VERSION - 1;
  old.sha256 = crypto::sha256(as_bytes(kBytes));
  const std::string directory = root_ + "/engines";
  ASSERT_TRUE(plugins::add_engine(files_, directory, old, root_ + "/built.so", true));
  install("changed");
  std::ofstream(directory + "/changed.so", std::ios::binary) << "something else";
  const auto config =
      load_config(files_, services_.environment, {{{Key::kEnginesDir, directory}}, ""});
  ASSERT_TRUE(config);
  const auto table = engine_table(services_, *config, false);
  ASSERT_TRUE(table);
  const auto refusal = [&](const char* name) {
    const auto found = (*table)->get(name);
    EXPECT_FALSE(found) << name;
    return found ? std::string() : found.error().message;
  };
  EXPECT_THAT(refusal("old"), HasSubstr("left out"));
  EXPECT_THAT(refusal("old"),
              HasSubstr("ABI version " + std::to_string(AIOSS_ENGINE_ABI_VERSION - 1)));
  EXPECT_THAT(refusal("changed"), HasSubstr("'aioss engine list' says why"));
  EXPECT_THAT(refusal("changed"), testing::Not(HasSubstr(root_))) << "a path of the machine";
  EXPECT_THAT(refusal("none"), HasSubstr("there is no engine"));
  // As it is once a rescan finds nothing of it.
  ASSERT_TRUE(plugins::remove_engine(files_, directory, "old"));
  ASSERT_TRUE(installed_engines(services_, *config, **table));
  EXPECT_THAT(refusal("old"), HasSubstr("there is no engine"));
}

TEST_F(EngineSetup, BeforeANameIsKnownHashAndSignatureAreLookedAt) {
  plugins::Manifest manifest;
  manifest.sha256 = crypto::sha256(as_bytes(kBytes));
  std::ofstream(root_ + "/allow") << codec::to_hex(manifest.sha256) << "  listed.so\n";
  const auto trust = [&](Key key, const std::string& value) {
    const auto config = load_config(files_, services_.environment, {{{key, value}}, ""});
    return (*engine_trust(services_, *config))(manifest, "");
  };
  EXPECT_TRUE(trust(Key::kEnginesAllow, root_ + "/allow"));
  EXPECT_FALSE(trust(Key::kEnginesKey, vkey_));
  manifest.signature = signature(*key_);
  EXPECT_TRUE(trust(Key::kEnginesKey, vkey_));
  manifest.sha256[0] ^= 1;
  EXPECT_FALSE(trust(Key::kEnginesAllow, root_ + "/allow"));
  EXPECT_FALSE(trust(Key::kEnginesKey, vkey_));
}

TEST_F(EngineSetup, WithAKeyOnlyWhatItSignedIsAdded) {
  install("unsigned");
  install("signed", signature(*key_));
  const auto other = *crypto::SigningKey::from_seed(Bytes(32, std::uint8_t{2}));
  install("other", signature(*other));
  install("garbage", "no note at all");
  EXPECT_THAT(names({{Key::kEnginesKey, vkey_}}), testing::ElementsAre("llama", "signed"));
}

TEST_F(EngineSetup, WithAListOnlyWhatItHoldsIsAdded) {
  install("listed");
  install("other");
  std::ofstream(root_ + "/allow") << codec::to_hex(crypto::sha256(as_bytes(kBytes)))
                                  << "  listed.so\n";
  EXPECT_THAT(names({{Key::kEnginesAllow, root_ + "/allow"}}),
              testing::ElementsAre("listed", "llama"));
}

TEST_F(EngineSetup, AListOrKeyThatCannotBeReadIsAnError) {
  for (const auto& [key, value] : std::vector<std::pair<Key, std::string>>{
           {Key::kEnginesAllow, root_ + "/none"}, {Key::kEnginesKey, "nonsense"}}) {
    const auto config = load_config(files_, services_.environment, {{{key, value}}, ""});
    ASSERT_TRUE(config);
    EXPECT_FALSE(engine_trust(services_, *config).has_value()) << value;
  }
}

}  // namespace
}  // namespace aioss::cli
