// Several engines into the engine directory: all or none, and the way back.
#include "cli/engine_update.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "cli/engine_update_fixture.h"

namespace aioss::cli {
namespace {

using testing::HasSubstr;

class EngineUpdates : public EngineUpdateFixture {
 protected:
  static void write(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  static std::string text(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // The second one's place is taken by what cannot be removed as a file is.
  void block(const std::string& name) {
    std::filesystem::create_directories(directory_ + "/" + name + ".so.new/full");
  }
};

TEST_F(EngineUpdates, ComeAndGoBackTogether) {
  ASSERT_TRUE(install_all(files_, directory_, {update("one", "1")}));
  const auto before = install_all(files_, directory_, {update("one", "2"), update("two", "2")});
  ASSERT_TRUE(before) << before.error().message;
  EXPECT_EQ(version("one"), "2");
  EXPECT_EQ(version("two"), "2");
  EXPECT_TRUE(is_installed(files_, directory_, update("one", "2")));
  ASSERT_TRUE(take_back(files_, directory_, *before));
  EXPECT_EQ(version("one"), "1");
  EXPECT_EQ(version("two"), "");  // there was none
  EXPECT_FALSE(files_.info(plugins::plugin_path(directory_, "two")));
}

TEST_F(EngineUpdates, TheSameBytesWithAnotherManifestAreNotInstalled) {
  const EngineUpdate plain = update("one", "1");
  ASSERT_TRUE(install_all(files_, directory_, {plain}));
  EngineUpdate other = plain;
  other.manifest.signature = "signed now";
  EXPECT_FALSE(is_installed(files_, directory_, other));
  ASSERT_TRUE(install_all(files_, directory_, {other}));
  EXPECT_TRUE(is_installed(files_, directory_, other));
  other.manifest.version = "1.1";
  EXPECT_FALSE(is_installed(files_, directory_, other));
  ASSERT_TRUE(go_back(files_, directory_, "one"));
  EXPECT_TRUE(is_installed(files_, directory_, plain));
}

TEST_F(EngineUpdates, WhatFailsLeavesWhatCouldBeGoneBackTo) {
  ASSERT_TRUE(install_all(files_, directory_, {update("one", "0")}));
  ASSERT_TRUE(install_all(files_, directory_, {update("one", "1")}));
  const auto before = install_all(files_, directory_, {update("one", "2")});
  ASSERT_TRUE(before);
  ASSERT_TRUE(take_back(files_, directory_, *before));
  EXPECT_EQ(version("one"), "1");
  block("two");
  ASSERT_FALSE(install_all(files_, directory_, {update("one", "3"), update("two", "3")}));
  ASSERT_TRUE(go_back(files_, directory_, "one"));
  EXPECT_EQ(version("one"), "0");
  const Status again = go_back(files_, directory_, "one");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kConflict);
  EXPECT_THAT(again.error().message, HasSubstr("nothing older to go back to"));
}

TEST_F(EngineUpdates, IfTheFirstUpdateFailsThereIsNothingToGoBackTo) {
  ASSERT_TRUE(install_all(files_, directory_, {update("one", "1")}));
  const auto before = install_all(files_, directory_, {update("one", "2")});
  ASSERT_TRUE(before);
  ASSERT_TRUE(take_back(files_, directory_, *before));
  EXPECT_EQ(go_back(files_, directory_, "one").error().code, Code::kNotFound);
}

// What the update that was cut short has kept is not written over by the one that does it again.
TEST_F(EngineUpdates, WhatWasCutShortLeavesWhatCouldBeGoneBackTo) {
  ASSERT_TRUE(install_all(files_, directory_, {update("one", "0")}));
  ASSERT_TRUE(install_all(files_, directory_, {update("one", "1")}));
  const std::string manifest = text(plugins::manifest_path(directory_, "one"));
  ASSERT_TRUE(install_all(files_, directory_, {update("one", "2")}));
  write(plugins::manifest_path(directory_, "one"), manifest);
  const auto before = install_all(files_, directory_, {update("one", "2")});
  ASSERT_TRUE(before) << before.error().message;
  ASSERT_TRUE(take_back(files_, directory_, *before));
  EXPECT_EQ(version("one"), "1");
  ASSERT_TRUE(go_back(files_, directory_, "one"));
  EXPECT_EQ(version("one"), "0");
}

TEST_F(EngineUpdates, IfOneFailsNoneStays) {
  ASSERT_TRUE(install_all(files_, directory_, {update("one", "1")}));
  block("two");
  const auto failed =
      install_all(files_, directory_, {update("one", "2"), update("new", "2"), update("two", "2")});
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("'two'"));
  EXPECT_EQ(version("one"), "1");
  EXPECT_EQ(version("new"), "");
}

TEST_F(EngineUpdates, WhatWasRemovedInBetweenDoesNotComeBack) {
  ASSERT_TRUE(install_all(files_, directory_, {update("one", "1")}));
  ASSERT_TRUE(install_all(files_, directory_, {update("one", "2")}));  // keeps 1
  ASSERT_TRUE(plugins::remove_engine(files_, directory_, "one"));
  const auto before = install_all(files_, directory_, {update("one", "3")});
  ASSERT_TRUE(before);
  ASSERT_TRUE(take_back(files_, directory_, *before));
  EXPECT_EQ(version("one"), "");
  EXPECT_EQ(go_back(files_, directory_, "one").error().code, Code::kNotFound);
}

// As a power failure leaves it: the file has come, and its manifest has not.
TEST_F(EngineUpdates, WhatWasCutShortIsDoneAgainAndCanBeTakenBack) {
  ASSERT_TRUE(install_all(files_, directory_, {update("one", "1")}));
  const std::string manifest = text(plugins::manifest_path(directory_, "one"));
  ASSERT_TRUE(install_all(files_, directory_, {update("one", "2")}));  // keeps 1
  write(plugins::manifest_path(directory_, "one"), manifest);
  ASSERT_EQ(version("one"), "");
  EXPECT_FALSE(is_installed(files_, directory_, update("one", "2")));
  const auto before = install_all(files_, directory_, {update("one", "2")});
  ASSERT_TRUE(before) << before.error().message;
  EXPECT_EQ(version("one"), "2");
  ASSERT_TRUE(take_back(files_, directory_, *before));
  EXPECT_EQ(version("one"), "1");
}

TEST_F(EngineUpdates, APairThatDoesNotFitIsSaidToBeSoWithTheWayOut) {
  ASSERT_TRUE(install_all(files_, directory_, {update("one", "1")}));
  write(plugins::plugin_path(directory_, "one"), "another");
  EXPECT_FALSE(is_installed(files_, directory_, update("one", "1")));
  const auto failed = install_all(files_, directory_, {update("one", "2")});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Code::kCorrupt);
  for (const char* part : {"is not what its manifest says", "aioss engine remove one",
                           "aioss engine add FILE --force"}) {
    EXPECT_THAT(failed.error().message, HasSubstr(part));
  }
  EXPECT_EQ(text(plugins::plugin_path(directory_, "one")), "another") << "it was touched";
  ASSERT_TRUE(plugins::remove_engine(files_, directory_, "one"));
  EXPECT_TRUE(install_all(files_, directory_, {update("one", "2")}));
  EXPECT_EQ(version("one"), "2");
}

TEST_F(EngineUpdates, AManifestThatIsLeftAloneIsNothingThatWasThere) {
  ASSERT_TRUE(install_all(files_, directory_, {update("one", "1")}));
  ASSERT_TRUE(files_.remove(plugins::plugin_path(directory_, "one")));
  const auto before = install_all(files_, directory_, {update("one", "2")});
  ASSERT_TRUE(before) << before.error().message;
  EXPECT_FALSE(before->front().had_one);
  EXPECT_EQ(version("one"), "2");
}

TEST_F(EngineUpdates, WhatIsKeptIsPutBackAsItWasButNotGoneBackToIfItIsOfAnotherAbi) {
  EngineUpdate old = update("one", "1");
  old.manifest.abi = AIOSS_ENGINE_ABI_VERSION - 1;
  ASSERT_TRUE(install_all(files_, directory_, {old}));
  const auto before = install_all(files_, directory_, {update("one", "2")});
  ASSERT_TRUE(before) << before.error().message;
  const Status back = go_back(files_, directory_, "one");
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().code, Code::kUnsupported);
  EXPECT_THAT(back.error().message, HasSubstr("what is kept of engine 'one'"));
  EXPECT_EQ(version("one"), "2");
  ASSERT_TRUE(take_back(files_, directory_, *before));
  EXPECT_EQ(text(plugins::plugin_path(directory_, "one")), "1");
}

TEST_F(EngineUpdates, ADamagedManifestIsNotWrittenOver) {
  ASSERT_TRUE(install_all(files_, directory_, {update("one", "1")}));
  std::ofstream(plugins::manifest_path(directory_, "one")) << "{";
  const auto failed = install_all(files_, directory_, {update("one", "2")});
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("aioss engine remove one"));
}

}  // namespace
}  // namespace aioss::cli
