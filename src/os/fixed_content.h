// Whether the content of an open file may still change, and copies of which it cannot. Linux;
// elsewhere the questions have no answer and copies are kUnsupported. Thread-safe functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "os/file.h"

namespace aioss::os {

// Whether any process has the file open for writing: the kernel gives a read lease only if none
// has. Nothing: it does not say (somebody else's file, a network file system). The descriptor was
// opened for reading.
std::optional<bool> is_open_for_writing(int descriptor);

// A further descriptor of a file that has fs-verity: its content cannot be changed, and the kernel
// checks what is read. Nothing: it may change.
std::optional<Fd> verity_descriptor(int descriptor);

// Whether this process may map the file as code: not, where the system refuses to execute memory
// files. Runs nothing of it.
bool can_be_executed(int descriptor);
// Whether somebody but root and us may write the file, by its owner and mode; or they cannot be
// read.
bool others_may_write(int descriptor);
// The same open file, which lives as long as the descriptor that is given.
Result<Fd> duplicate_descriptor(int descriptor);

// Memory with a descriptor that is written once, from front to end, and then cannot be changed by
// anyone, its writer included (memfd with F_SEAL_WRITE). It takes memory as large as what it holds.
class SealedCopy final {
 public:
  // kUnsupported: this system makes no such memory, or not for us.
  static Result<SealedCopy> create(const std::string& name);
  Status append(ByteView bytes);
  // Seals it and gives a descriptor that reads only, at offset 0. No append() after that.
  Result<Fd> seal();

 private:
  explicit SealedCopy(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace aioss::os
