#include "os/own_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace aioss::os {
namespace {

const std::size_t kPage = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));

class OwnPages : public testing::Test {
 protected:
  OwnPages() {
    void* const mapped =
        ::mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped != MAP_FAILED) all_ = {static_cast<std::uint8_t*>(mapped), kPages * kPage};
  }
  ~OwnPages() override { ::munmap(all_.data(), all_.size()); }
  void SetUp() override { ASSERT_FALSE(all_.empty()); }

  std::size_t resident() const {
    std::vector<unsigned char> there(kPages);
    EXPECT_EQ(::mincore(all_.data(), all_.size(), there.data()), 0);
    return static_cast<std::size_t>(
        std::count_if(there.begin(), there.end(), [](unsigned char c) { return (c & 1) != 0; }));
  }

  static constexpr std::size_t kPages = 64;
  std::span<std::uint8_t> all_;
};

TEST_F(OwnPages, ZeroesWhatIsNamedAndNothingElse) {
  const std::size_t sizes[] = {0, 1, kPage - 1, kPage, kPage + 1, 3 * kPage - 5, 40 * kPage + 7};
  for (const std::size_t begin : {std::size_t{0}, std::size_t{1}, kPage - 1, kPage}) {
    for (const std::size_t size : sizes) {
      std::fill(all_.begin(), all_.end(), std::uint8_t{7});
      zero_lazily(all_.subspan(begin, size));
      const auto zeros = static_cast<std::size_t>(std::count(all_.begin(), all_.end(), 0));
      EXPECT_EQ(zeros, size) << begin;
      const auto named = all_.subspan(begin, size);
      EXPECT_TRUE(std::all_of(named.begin(), named.end(), [](auto byte) { return byte == 0; }))
          << begin << " " << size;
    }
  }
}

TEST_F(OwnPages, WhatIsZeroedTakesNoMemoryUntilItIsTouched) {
  zero_lazily(all_);
  EXPECT_EQ(resident(), 0U);
  std::fill(all_.begin(), all_.end(), std::uint8_t{1});
  EXPECT_EQ(resident(), kPages);
  zero_lazily(all_);
  EXPECT_EQ(resident(), 0U);
  all_[5 * kPage] = 1;
  EXPECT_EQ(resident(), 1U);
}

// The kernel gives nothing of locked memory back.
TEST_F(OwnPages, LockedMemoryIsZeroedByWriting) {
  std::fill(all_.begin(), all_.end(), std::uint8_t{7});
  const auto locked = all_.first(4 * kPage);
  if (::mlock(locked.data(), locked.size()) != 0) GTEST_SKIP() << "this user may lock no memory";
  zero_lazily(locked);
  EXPECT_EQ(static_cast<std::size_t>(std::count(all_.begin(), all_.end(), 0)), locked.size());
}

}  // namespace
}  // namespace aioss::os
