#include "os/links.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace aioss::os {
namespace {

class LinksTest : public ::testing::Test {
 protected:
  LinksTest() {
    std::string pattern = ::testing::TempDir() + "aioss-links-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~LinksTest() override { std::filesystem::remove_all(directory_); }
  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  void add(const std::string& name) { std::ofstream(path(name)) << name; }
  std::string content(const std::string& name) {
    std::ifstream file(path(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string directory_;
};

TEST_F(LinksTest, ANewNameNeverTakesThePlaceOfAnother) {
  add("a");
  add("b");
  EXPECT_EQ(rename_new(path("a"), path("b")).error().code, Code::kConflict);
  EXPECT_EQ(content("b"), "b");
  EXPECT_TRUE(rename_new(path("a"), path("c")));
  EXPECT_EQ(content("c"), "a");
  EXPECT_TRUE(rename_over(path("c"), path("b")));
  EXPECT_EQ(content("b"), "a");
  EXPECT_EQ(rename_new(path("none"), path("d")).error().code, Code::kNotFound);
}

TEST_F(LinksTest, LinksAreMadeOnceAndFollowed) {
  add("a");
  ASSERT_TRUE(make_symbolic_link(path("a"), path("link")));
  EXPECT_EQ(make_symbolic_link(path("a"), path("link")).error().code, Code::kConflict);
  EXPECT_EQ(*resolved_path(path("link")), *resolved_path(path("a")));
  EXPECT_FALSE(resolved_path(path("none")));
}

}  // namespace
}  // namespace aioss::os
