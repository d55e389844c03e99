#include "os/directory_watch.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace aioss::os {
namespace {

using Woken = DirectoryWatch::Woken;
using std::chrono::milliseconds;
constexpr milliseconds kLong{20'000};  // what is waited for comes at once

class DirectoryWatchTest : public ::testing::Test {
 protected:
  DirectoryWatchTest() {
    std::string pattern = ::testing::TempDir() + "aioss-watch-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    watch_ = *DirectoryWatch::create(directory_);
  }
  ~DirectoryWatchTest() override { std::filesystem::remove_all(directory_); }
  std::string directory_;
  std::unique_ptr<DirectoryWatch> watch_;
};

TEST_F(DirectoryWatchTest, TellsThatFilesComeGoAndAreRenamed) {
  ASSERT_TRUE(watch_->is_told());
  EXPECT_EQ(watch_->wait_for(milliseconds(0)), Woken::kTimeout);
  std::ofstream(directory_ + "/a") << "x";
  EXPECT_EQ(watch_->wait_for(kLong), Woken::kChanged);
  while (watch_->wait_for(milliseconds(0)) == Woken::kChanged) continue;
  std::filesystem::rename(directory_ + "/a", directory_ + "/b");
  EXPECT_EQ(watch_->wait_for(kLong), Woken::kChanged);
  while (watch_->wait_for(milliseconds(0)) == Woken::kChanged) continue;
  std::filesystem::remove(directory_ + "/b");
  EXPECT_EQ(watch_->wait_for(kLong), Woken::kChanged);
}

TEST_F(DirectoryWatchTest, WatchesTheNextDirectoryOfTheName) {
  std::filesystem::remove_all(directory_);
  EXPECT_EQ(watch_->wait_for(kLong), Woken::kChanged);
  EXPECT_FALSE(watch_->is_told());
  EXPECT_EQ(watch_->wait_for(milliseconds(0)), Woken::kTimeout) << "polling goes on";
  std::filesystem::create_directory(directory_);
  EXPECT_EQ(watch_->wait_for(milliseconds(0)), Woken::kTimeout);
  EXPECT_TRUE(watch_->is_told());
  std::ofstream(directory_ + "/a") << "x";
  EXPECT_EQ(watch_->wait_for(kLong), Woken::kChanged);
}

TEST_F(DirectoryWatchTest, CanBeStopped) {
  std::thread other([&] { watch_->stop(); });
  Woken woken = watch_->wait_for(kLong);
  other.join();
  EXPECT_EQ(woken, Woken::kStopped);
  EXPECT_EQ(watch_->wait_for(kLong), Woken::kStopped) << "for good";
}

}  // namespace
}  // namespace aioss::os
