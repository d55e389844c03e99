#include "os/destroy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace aioss::os {
namespace {

class DestroyTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "aioss-destroy-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    ASSERT_TRUE(replace_file(fs_, path("secret"), Bytes(150'000, 0x5A)));
    same_bytes_ = *fs_.open(path("secret"), OpenMode::kRead);  // whatever its name is by then
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string path(const std::string& name) const { return directory_ + '/' + name; }
  std::size_t bytes_that_survive() const {
    Bytes bytes(150'000);
    EXPECT_EQ(*same_bytes_->read_at(0, bytes), bytes.size());
    return static_cast<std::size_t>(std::count(bytes.begin(), bytes.end(), 0x5A));
  }

  std::string directory_;
  RealFileSystem fs_;
  std::unique_ptr<File> same_bytes_;
};

TEST_F(DestroyTest, OverwritesWhatKeepsItsName) {
  ASSERT_TRUE(overwrite_file(fs_, path("secret")));
  EXPECT_EQ(bytes_that_survive(), 0u);
  EXPECT_EQ(fs_.info(path("secret"))->size, 150'000u);
}

TEST_F(DestroyTest, OverwritesBeforeItRemoves) {
  EXPECT_TRUE(*destroy_file(fs_, path("secret")));
  EXPECT_EQ(bytes_that_survive(), 0u);
  EXPECT_FALSE(fs_.info(path("secret")));
  EXPECT_FALSE(*destroy_file(fs_, path("secret")));
  EXPECT_TRUE(destroy_file_durably(fs_, path("secret")));
}

TEST_F(DestroyTest, OverwritesBeforeAnotherTakesItsName) {
  ASSERT_TRUE(replace_file(fs_, path("next"), as_bytes("next")));
  ASSERT_TRUE(destroy_and_replace(fs_, path("secret"), path("next")));
  EXPECT_EQ(bytes_that_survive(), 0u);
  EXPECT_EQ(as_text(*read_file(fs_, path("secret"), 100)), "next");
  EXPECT_FALSE(fs_.info(path("next")));
}

}  // namespace
}  // namespace aioss::os
