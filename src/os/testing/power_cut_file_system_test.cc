#include "os/testing/power_cut_file_system.h"

#include <gtest/gtest.h>

#include <set>

namespace aioss::os {
namespace {

using Keep = PowerCut::Keep;

class PowerCutTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(disk_.make_directories("d").has_value());
    ASSERT_TRUE(disk_.sync_directory("d/..").has_value());
  }

  std::unique_ptr<File> create(const std::string& path) {
    auto file = disk_.open(path, OpenMode::kCreateNew);
    EXPECT_TRUE(file.has_value());
    return std::move(*file);
  }

  static std::string content(FileSystem& fs, const std::string& path) {
    const auto bytes = read_file(fs, path, 1 << 20);
    return bytes ? std::string(as_text(*bytes))
                 : "<" + std::string(info(bytes.error().code).name) + ">";
  }
  std::string left(const std::string& path, Keep keep = Keep::kNothing, std::uint64_t seed = 0) {
    return content(*disk_.after_power_cut({keep, seed}), path);
  }

  PowerCutFileSystem disk_;
};

TEST_F(PowerCutTest, BytesNeedASyncOfTheFileAndNamesOneOfTheDirectory) {
  const auto file = create("d/f");
  ASSERT_TRUE(file->write_at(0, as_bytes("one")).has_value());
  ASSERT_TRUE(file->sync_data().has_value());
  EXPECT_EQ(left("d/f"), "<not_found>");
  ASSERT_TRUE(disk_.sync_directory("d").has_value());
  EXPECT_EQ(left("d/f"), "one");
  ASSERT_TRUE(file->write_at(3, as_bytes("two")).has_value());
  EXPECT_EQ(content(disk_, "d/f"), "onetwo");
  EXPECT_EQ(left("d/f"), "one");
  ASSERT_TRUE(file->truncate(2).has_value());
  ASSERT_TRUE(file->sync_all().has_value());
  EXPECT_EQ(left("d/f"), "on");
}

TEST_F(PowerCutTest, ARenameAndARemovalWaitForTheDirectory) {
  ASSERT_TRUE(replace_file(disk_, "d/f", as_bytes("old")).has_value());
  ASSERT_TRUE(create("d/g")->write_at(0, as_bytes("new")).has_value());
  ASSERT_TRUE(disk_.sync_directory("d").has_value());
  ASSERT_TRUE(disk_.rename("d/g", "d/f").has_value());
  EXPECT_EQ(content(disk_, "d/f"), "new");
  EXPECT_EQ(left("d/f"), "old");
  EXPECT_EQ(left("d/g"), "");  // its bytes were never synced
  ASSERT_TRUE(disk_.sync_directory("d").has_value());
  EXPECT_EQ(left("d/f"), "");
  EXPECT_EQ(left("d/g"), "<not_found>");
  ASSERT_TRUE(disk_.remove("d/f").has_value());
  EXPECT_EQ(left("d/f"), "");
  ASSERT_TRUE(disk_.sync_directory("d").has_value());
  EXPECT_EQ(left("d/f"), "<not_found>");
}

TEST_F(PowerCutTest, WhatIsInADirectoryWithoutADurableNameIsLost) {
  ASSERT_TRUE(disk_.make_directories("d/e").has_value());
  ASSERT_TRUE(replace_file(disk_, "d/e/f", as_bytes("x")).has_value());
  EXPECT_EQ(left("d/e/f"), "<not_found>");
  ASSERT_TRUE(disk_.sync_directory("d").has_value());
  EXPECT_EQ(left("d/e/f"), "x");
}

TEST_F(PowerCutTest, AFailedSyncLosesItsWritesForLaterSyncsToo) {
  const auto file = create("d/f");
  ASSERT_TRUE(disk_.sync_directory("d").has_value());
  ASSERT_TRUE(file->write_at(0, as_bytes("lost")).has_value());
  disk_.fail_sync(1);
  EXPECT_FALSE(file->sync_data().has_value());
  ASSERT_TRUE(file->write_at(4, as_bytes("kept")).has_value());
  ASSERT_TRUE(file->sync_data().has_value());
  EXPECT_EQ(content(disk_, "d/f"), "lostkept");
  EXPECT_EQ(left("d/f"), std::string(4, '\0') + "kept");
  ASSERT_TRUE(file->write_at(0, as_bytes("lost")).has_value());  // the same bytes again
  ASSERT_TRUE(file->sync_data().has_value());
  EXPECT_EQ(left("d/f"), "lostkept");
}

TEST_F(PowerCutTest, ASyncThatLiesKeepsNothingUntilTheNext) {
  const auto file = create("d/f");
  ASSERT_TRUE(disk_.sync_directory("d").has_value());
  disk_.lie_on_sync(1);
  ASSERT_TRUE(file->write_at(0, as_bytes("one")).has_value());
  EXPECT_TRUE(file->sync_all().has_value());
  EXPECT_EQ(content(disk_, "d/f"), "one");
  EXPECT_EQ(left("d/f"), "");
  EXPECT_TRUE(file->sync_all().has_value());
  EXPECT_EQ(left("d/f"), "one");
}

TEST_F(PowerCutTest, APrefixIsTornAnywhereAndNothingElse) {
  const auto file = create("d/f");
  ASSERT_TRUE(disk_.sync_directory("d").has_value());
  ASSERT_TRUE(file->write_at(0, as_bytes("abc")).has_value());
  ASSERT_TRUE(file->write_at(3, as_bytes("def")).has_value());
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 200; ++seed) seen.insert(left("d/f", Keep::kPrefix, seed));
  EXPECT_EQ(seen, (std::set<std::string>{"", "a", "ab", "abc", "abcd", "abcde", "abcdef"}));
}

TEST_F(PowerCutTest, ASubsetIsOfWholeSectorsAndOfLengths) {
  const auto file = create("d/f");
  ASSERT_TRUE(disk_.sync_directory("d").has_value());
  ASSERT_TRUE(file->write_at(0, Bytes(1'024, 'x')).has_value());
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 200; ++seed) seen.insert(left("d/f", Keep::kSubset, seed));
  const std::string x(512, 'x'), zero(512, '\0');
  EXPECT_EQ(seen, (std::set<std::string>{"", x, zero + x, x + x, zero + zero, x + zero}));
}

TEST_F(PowerCutTest, WithoutPowerNothingChanges) {
  const auto file = create("d/f");
  const std::uint64_t before = disk_.operations();
  disk_.stop_after(1);
  EXPECT_TRUE(file->write_at(0, as_bytes("a")).has_value());
  EXPECT_FALSE(file->write_at(1, as_bytes("b")).has_value());
  EXPECT_FALSE(file->sync_data().has_value());
  EXPECT_FALSE(disk_.rename("d/f", "d/g").has_value());
  EXPECT_FALSE(disk_.open("d/h", OpenMode::kCreateNew).has_value());
  EXPECT_FALSE(disk_.sync_directory("d").has_value());
  EXPECT_EQ(content(disk_, "d/f"), "a");
  EXPECT_EQ(disk_.operations(), before + 1);
}

TEST_F(PowerCutTest, KeepsLocksAndPermissionsAsADiskDoes) {
  const auto file = create("d/f");
  ASSERT_TRUE(file->lock_exclusive().has_value());
  auto other = disk_.open("d/f", OpenMode::kReadWrite);
  ASSERT_TRUE(other.has_value());
  EXPECT_EQ((*other)->lock_exclusive().error().code, Code::kConflict);
  ASSERT_TRUE(disk_.set_permissions("d/f", 0440).has_value());
  EXPECT_FALSE(disk_.open("d/f", OpenMode::kReadWrite).has_value());
  EXPECT_TRUE(disk_.open("d/f", OpenMode::kRead).has_value());
  for (const char* const directory : {"d", "d/"}) {
    EXPECT_FALSE(disk_.set_permissions(directory, 0440).has_value()) << directory;
  }
}

}  // namespace
}  // namespace aioss::os
