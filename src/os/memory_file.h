// A file in memory without a name: one side fills it, the other reads it by a descriptor that
// cannot write. Its memory goes back when it is made smaller, and with its last descriptor. One
// thread at a time writes.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "os/file.h"

namespace aioss::os {

class MemoryFile final {
 public:
  static Result<MemoryFile> create(const std::string& name);

  // Zeros where it grows. kNoMemory if the system has no more.
  Status resize(std::uint64_t bytes);
  Status write_at(std::uint64_t offset, ByteView bytes);
  int reader() const { return reader_.get(); }  // for another process to inherit

 private:
  MemoryFile(Fd writer, Fd reader) : writer_(std::move(writer)), reader_(std::move(reader)) {}
  Fd writer_, reader_;
};

// Of errno, after a call on a file in memory: kNoMemory if the system has no more, else kIo.
Error memory_file_error(const std::string& what);

}  // namespace aioss::os
