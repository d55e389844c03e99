#include "os/testing/fault_file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace aioss::os {
namespace {

using testing::HasSubstr;

class FaultTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "aioss-fault-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string path(const std::string& name) const { return directory_ + '/' + name; }
  std::string content_of(const std::string& name) {
    const auto bytes = read_file(fs_, path(name), 1 << 20);
    return bytes ? std::string(as_text(*bytes)) : "error: " + bytes.error().message;
  }

  std::string directory_;
  RealFileSystem fs_;
};

TEST_F(FaultTest, FaultsHitTheCallTheyAreMeantFor) {
  FaultFileSystem faulty(fs_);
  faulty.arm(FaultPoint::kWrite, {.call = 2, .error_number = EIO});
  faulty.arm(FaultPoint::kSync, {.call = 2, .error_number = EIO, .for_ever = true});
  auto file = faulty.open(path("a"), OpenMode::kCreateNew);
  ASSERT_TRUE(file);
  EXPECT_TRUE((*file)->write_at(0, as_bytes("1")));
  EXPECT_THAT((*file)->write_at(1, as_bytes("2")).error().message, HasSubstr("Input/output"));
  EXPECT_TRUE((*file)->write_at(1, as_bytes("3")));
  EXPECT_TRUE((*file)->sync_data());
  EXPECT_FALSE((*file)->sync_all());
  EXPECT_FALSE((*file)->sync_data());
  faulty.disarm();
  EXPECT_TRUE((*file)->sync_data());
  EXPECT_EQ(content_of("a"), "13");
  EXPECT_EQ(faulty.calls(FaultPoint::kSync), 4u);

  // A torn write: some bytes reach the file, and the call fails.
  faulty.arm(FaultPoint::kWrite, {.error_number = ENOSPC, .short_bytes = 3});
  EXPECT_FALSE((*file)->write_at(2, as_bytes("456789")));
  EXPECT_EQ(content_of("a"), "13456");
}

TEST_F(FaultTest, FaultyAnswersAboutTheDisk) {
  FaultFileSystem faulty(fs_);
  faulty.set_bytes_available(7);
  faulty.set_type_name("nfs");
  EXPECT_EQ(*faulty.bytes_available(directory_), 7u);
  EXPECT_EQ(*faulty.type_name(directory_), "nfs");
  faulty.set_bytes_available(std::nullopt);
  EXPECT_GT(*faulty.bytes_available(directory_), 7u);
  for (const FaultPoint point : {FaultPoint::kRemove, FaultPoint::kMakeDirectories,
                                 FaultPoint::kSyncDirectory, FaultPoint::kRename}) {
    faulty.arm(point, {.error_number = EROFS});
  }
  EXPECT_FALSE(faulty.remove(path("a")));
  EXPECT_FALSE(faulty.make_directories(path("d")));
  EXPECT_FALSE(faulty.sync_directory(directory_));
  EXPECT_FALSE(faulty.rename(path("a"), path("b")));
}

}  // namespace
}  // namespace aioss::os
