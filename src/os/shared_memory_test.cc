#include "os/shared_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace aioss::os {
namespace {

constexpr std::uint64_t kBytes = 1 << 20;

std::uint64_t pages_in_use(const Fd& fd) {
  struct stat info = {};
  EXPECT_EQ(::fstat(fd.get(), &info), 0);
  return static_cast<std::uint64_t>(info.st_blocks) * 512;
}

TEST(SharedMemory, WhatOneMappingWritesTheNextOneFinds) {
  Result<Fd> fd = create_shared_memory("test", kBytes);
  ASSERT_TRUE(fd) << fd.error().message;
  EXPECT_EQ(pages_in_use(*fd), 0U) << "memory that nobody has written to";
  {
    Result<SharedMapping> first = SharedMapping::map(fd->get());
    ASSERT_TRUE(first) << first.error().message;
    ASSERT_EQ(first->bytes().size(), kBytes);
    first->bytes()[12345] = 7;
  }
  const Result<SharedMapping> second = SharedMapping::map(fd->get());
  ASSERT_TRUE(second);
  EXPECT_EQ(second->bytes()[12345], 7);
}

TEST(SharedMemory, NobodyCanTakeItAway) {
  const Result<Fd> fd = create_shared_memory("test", kBytes);
  ASSERT_TRUE(fd);
  EXPECT_NE(::ftruncate(fd->get(), 0), 0) << "a reader would be killed by SIGBUS";
}

TEST(SharedMemory, WhatIsDiscardedIsZeroAndGone) {
  const Result<Fd> fd = create_shared_memory("test", kBytes);
  ASSERT_TRUE(fd);
  Result<SharedMapping> mapping = SharedMapping::map(fd->get());
  ASSERT_TRUE(mapping);
  const std::span<std::uint8_t> bytes = mapping->bytes();
  std::fill(bytes.begin(), bytes.end(), std::uint8_t{9});
  const std::uint64_t full = pages_in_use(*fd);
  mapping->discard(100, 500'000);
  // Before anybody looks: a page that is read is there again.
  EXPECT_LT(pages_in_use(*fd), full - 450'000) << "the memory is given back";
  EXPECT_EQ(bytes[99], 9);
  EXPECT_TRUE(std::all_of(bytes.begin() + 100, bytes.begin() + 500'100,
                          [](std::uint8_t byte) { return byte == 0; }));
  EXPECT_EQ(bytes[500'100], 9);
  mapping->discard(600'000, 10);  // inside one page
  EXPECT_EQ(bytes[599'999], 9);
  EXPECT_EQ(bytes[600'009], 0);
  EXPECT_EQ(bytes[600'010], 9);
}

TEST(SharedMemory, PagesThatExistAreCounted) {
  const auto memory = create_shared_memory("pages", 1 << 20);
  ASSERT_TRUE(memory);
  EXPECT_EQ(allocated_bytes(memory->get()), 0U);
  auto mapping = SharedMapping::map(memory->get());
  ASSERT_TRUE(mapping);
  std::fill_n(mapping->bytes().begin(), 200'000, std::uint8_t{1});
  EXPECT_GE(allocated_bytes(memory->get()), 200'000U);
  EXPECT_LE(allocated_bytes(memory->get()), std::uint64_t{1} << 20);
  mapping->discard(0, 1 << 20);
  EXPECT_EQ(allocated_bytes(memory->get()), 0U);
  EXPECT_EQ(allocated_bytes(-1), 0U);
}

TEST(SharedMemory, OtherDescriptorsAreRefused) {
  const Fd loose(::memfd_create("loose", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(loose.get(), 4096), 0);
  const Result<SharedMapping> mapping = SharedMapping::map(loose.get());
  ASSERT_FALSE(mapping) << "its size may shrink under the reader";
  EXPECT_EQ(mapping.error().code, Code::kInvalidArgument);
  EXPECT_FALSE(SharedMapping::map(-1));
}

}  // namespace
}  // namespace aioss::os
