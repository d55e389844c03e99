#include "os/own_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace aioss::os {
namespace {

// The whole pages within it; empty if there is none.
std::span<std::uint8_t> whole_pages(std::span<std::uint8_t> bytes) {
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::uintptr_t before = (page - begin % page) % page;
  if (before >= bytes.size()) return {};
  const std::size_t size = (bytes.size() - before) / page * page;
  return bytes.subspan(before, size);
}

void write_zeros(std::span<std::uint8_t> bytes) {
  if (!bytes.empty()) std::memset(bytes.data(), 0, bytes.size());
}

}  // namespace

void zero_lazily(std::span<std::uint8_t> bytes) {
  const std::span<std::uint8_t> pages = whole_pages(bytes);
  if (pages.empty() || ::madvise(pages.data(), pages.size(), MADV_DONTNEED) != 0) {
    return write_zeros(bytes);
  }
  const auto before = static_cast<std::size_t>(pages.data() - bytes.data());
  write_zeros(bytes.first(before));
  write_zeros(bytes.subspan(before + pages.size()));
}

}  // namespace aioss::os
