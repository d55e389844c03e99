// For tests: a tree of files as the kernel shows them, to be put before every path.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace aioss::os {

class TreeTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "aioss-tree-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text << '\n';
  }
  std::string root_;
};

}  // namespace aioss::os
