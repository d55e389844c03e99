#include "engines/llama/buffers.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace aioss::engines::llama {
namespace {

struct Freer {
  void operator()(ggml_backend_buffer_t buffer) const { ggml_backend_buffer_free(buffer); }
};
using Buffer = std::unique_ptr<ggml_backend_buffer, Freer>;

constexpr std::size_t kBytes = std::size_t{64} << 20;  // more than malloc ever keeps for itself

std::span<std::uint8_t> bytes_of(const Buffer& buffer) {
  return {static_cast<std::uint8_t*>(ggml_backend_buffer_get_base(buffer.get())),
          ggml_backend_buffer_get_size(buffer.get())};
}

std::size_t resident(std::span<std::uint8_t> bytes) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const std::uintptr_t begin = reinterpret_cast<std::uintptr_t>(bytes.data()) / page * page;
  std::vector<unsigned char> there(bytes.size() / page);
  EXPECT_EQ(::mincore(reinterpret_cast<void*>(begin), there.size() * page, there.data()), 0);
  const auto count = std::count_if(there.begin(), there.end(), [](auto c) { return (c & 1) != 0; });
  return static_cast<std::size_t>(count) * page;
}

TEST(Buffers, ClearingTouchesNoPage) {
  const Buffer buffer(ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), kBytes));
  ASSERT_TRUE(buffer);
  EXPECT_TRUE(is_own_memory(buffer.get()));
  const auto bytes = bytes_of(buffer);
  ggml_backend_buffer_clear(buffer.get(), 0);
  EXPECT_LT(resident(bytes), kBytes / 100);
  std::fill(bytes.begin(), bytes.end(), std::uint8_t{7});
  EXPECT_GT(resident(bytes), kBytes / 2);
  ggml_backend_buffer_clear(buffer.get(), 0);
  EXPECT_LT(resident(bytes), kBytes / 100);
  EXPECT_TRUE(std::all_of(bytes.begin(), bytes.end(), [](auto byte) { return byte == 0; }));
}

TEST(Buffers, OtherValuesAreWritten) {
  const Buffer buffer(ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), kBytes));
  ASSERT_TRUE(buffer);
  ggml_backend_buffer_clear(buffer.get(), 3);
  const auto bytes = bytes_of(buffer);
  EXPECT_TRUE(std::all_of(bytes.begin(), bytes.end(), [](auto byte) { return byte == 3; }));
}

// Pages of a mapped file would come back as they are in the file.
TEST(Buffers, MemoryOfOthersIsWritten) {
  const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const int file = ::memfd_create("test", MFD_CLOEXEC);
  ASSERT_GE(file, 0);
  const std::vector<char> sevens(4 * page, 7);
  ASSERT_EQ(::write(file, sevens.data(), sevens.size()), ssize_t(sevens.size()));
  void* const mapped = ::mmap(nullptr, sevens.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  ::close(file);
  ASSERT_NE(mapped, MAP_FAILED);
  {
    const Buffer buffer(ggml_backend_cpu_buffer_from_ptr(mapped, sevens.size()));
    EXPECT_FALSE(is_own_memory(buffer.get()));
    ggml_backend_buffer_clear(buffer.get(), 0);
    const auto bytes = bytes_of(buffer);
    EXPECT_TRUE(std::all_of(bytes.begin(), bytes.end(), [](auto byte) { return byte == 0; }));
  }
  ::munmap(mapped, sevens.size());
}

TEST(Buffers, EmptyOnesStayEmpty) {
  const Buffer buffer(ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), 0));
  ASSERT_TRUE(buffer);
  ggml_backend_buffer_clear(buffer.get(), 0);
}

}  // namespace
}  // namespace aioss::engines::llama
