#include "os/fixed_content.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace aioss::os {
namespace {

TEST(FixedContent, KnowsWhetherAFileIsBeingWritten) {
  std::string path = ::testing::TempDir() + "aioss-writing-XXXXXX";
  Fd writer(::mkstemp(path.data()));
  const Fd reader(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const auto while_open = is_open_for_writing(reader.get());
  if (!while_open) {
    ::unlink(path.c_str());
    GTEST_SKIP() << "this file system has no leases";
  }
  EXPECT_TRUE(*while_open);
  writer.reset();
  EXPECT_EQ(is_open_for_writing(reader.get()), std::optional<bool>(false));
  EXPECT_EQ(is_open_for_writing(reader.get()), std::optional<bool>(false)) << "it was given back";
  EXPECT_FALSE(verity_descriptor(reader.get()));
  ::unlink(path.c_str());
}

TEST(FixedContent, KnowsWhoMayWriteAFile) {
  std::string path = ::testing::TempDir() + "aioss-mode-XXXXXX";
  const Fd file(::mkstemp(path.data()));
  ::unlink(path.c_str());
  EXPECT_FALSE(others_may_write(file.get()));
  for (const mode_t mode : {0644, 0755}) {
    ASSERT_EQ(::fchmod(file.get(), mode), 0);
    EXPECT_FALSE(others_may_write(file.get())) << mode;
  }
  for (const mode_t mode : {0620, 0602}) {
    ASSERT_EQ(::fchmod(file.get(), mode), 0);
    EXPECT_TRUE(others_may_write(file.get())) << mode;
  }
  EXPECT_TRUE(others_may_write(-1));
  if (::geteuid() != 0) return;  // only root gives files away
  ASSERT_EQ(::fchmod(file.get(), 0600), 0);
  ASSERT_EQ(::fchown(file.get(), 1234, 1234), 0);
  EXPECT_TRUE(others_may_write(file.get()));
}

TEST(FixedContent, ASealedCopyIsReadButNeverChanged) {
  auto copy = SealedCopy::create("test");
  ASSERT_TRUE(copy);
  ASSERT_TRUE(copy->append(as_bytes("abc")));
  ASSERT_TRUE(copy->append(as_bytes("def")));
  const auto fd = copy->seal();
  ASSERT_TRUE(fd) << fd.error().message;
  char bytes[8] = {};
  EXPECT_EQ(::read(fd->get(), bytes, sizeof bytes), 6);
  EXPECT_STREQ(bytes, "abcdef");
  EXPECT_LT(::write(fd->get(), "x", 1), 0);
  EXPECT_NE(::ftruncate(fd->get(), 0), 0);
  const std::string path = "/proc/self/fd/" + std::to_string(fd->get());
  const Fd writer(::open(path.c_str(), O_RDWR | O_CLOEXEC));  // who may open it may not write
  EXPECT_LT(::pwrite(writer.get(), "x", 1, 0), 0);
  EXPECT_EQ(::mmap(nullptr, 6, PROT_READ | PROT_WRITE, MAP_SHARED, writer.get(), 0), MAP_FAILED);
  void* shared = ::mmap(nullptr, 6, PROT_READ, MAP_SHARED, fd->get(), 0);  // as an engine maps it
  ASSERT_NE(shared, MAP_FAILED);
  ::munmap(shared, 6);
}

}  // namespace
}  // namespace aioss::os
