// Memory that has a descriptor instead of a name, so that it outlives the process that fills it as
// long as another one holds the descriptor. Its pages exist once they are written to. Linux
// (memfd_create); elsewhere creating it fails with kUnsupported. A mapping is one thread's at a
// time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "os/file.h"

namespace aioss::os {

// All zeros. Its size cannot be changed by anyone, so that whoever maps it never finds less.
Result<Fd> create_shared_memory(const std::string& name, std::uint64_t bytes);

// Of its pages that exist. 0 if the descriptor cannot be asked.
std::uint64_t allocated_bytes(int fd);

class SharedMapping final {
 public:
  // The whole of it, to read and write; the descriptor is borrowed for the call. kInvalidArgument:
  // not a memory that create_shared_memory() has made, whose size cannot shrink.
  static Result<SharedMapping> map(int fd);
  ~SharedMapping();
  SharedMapping(SharedMapping&& other) noexcept;
  SharedMapping& operator=(SharedMapping&& other) noexcept;

  std::span<std::uint8_t> bytes() const { return bytes_; }
  // The same bytes, as long as this one lives: the end of what is returned unmaps nothing.
  SharedMapping borrow() const;
  // Zeros from now on, for everyone, and the pages that lie wholly inside are given back. Zeroes by
  // hand what the system does not take.
  void discard(std::size_t offset, std::size_t size);

 private:
  explicit SharedMapping(std::span<std::uint8_t> bytes) : bytes_(bytes) {}
  std::span<std::uint8_t> bytes_;
  bool borrowed_ = false;
};

}  // namespace aioss::os
