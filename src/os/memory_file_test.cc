#include "os/memory_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

namespace aioss::os {
namespace {

std::string content_of(int fd) {
  std::string text(64, '\0');
  const ssize_t count = ::pread(fd, text.data(), text.size(), 0);
  text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return text;
}

TEST(MemoryFile, WhatIsWrittenIsReadByTheOtherSide) {
  auto file = MemoryFile::create("test");
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(content_of(file->reader()), "");
  ASSERT_TRUE(file->resize(8).has_value());
  ASSERT_TRUE(file->write_at(0, as_bytes("first")).has_value());
  ASSERT_TRUE(file->write_at(5, as_bytes("one")).has_value());
  EXPECT_EQ(content_of(file->reader()), "firstone");
  ASSERT_TRUE(file->resize(0).has_value());
  EXPECT_EQ(content_of(file->reader()), "");
}

TEST(MemoryFile, TheOtherSideCannotWrite) {
  auto file = MemoryFile::create("test");
  ASSERT_TRUE(file.has_value());
  ASSERT_TRUE(file->resize(4).has_value());
  EXPECT_LT(::pwrite(file->reader(), "x", 1, 0), 0);
  EXPECT_NE(::ftruncate(file->reader(), 0), 0);
}

}  // namespace
}  // namespace aioss::os
