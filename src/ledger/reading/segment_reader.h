// Reads a segment file from front to back through one buffer, whatever the file's size. One thread.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"
#include "os/file.h"

namespace aioss::ledger {

class SegmentReader final {
 public:
  // Reads up to `end` and no further: a running ledger may be growing. The file outlives the
  // reader.
  SegmentReader(os::File& file, std::uint64_t end, std::uint64_t offset = 0);

  // The next bytes: at least a whole frame of the largest kind, or everything up to the end. Valid
  // until the next call.
  Result<ByteView> window();
  void advance(std::size_t bytes);
  std::uint64_t offset() const { return offset_; }
  std::uint64_t end() const { return end_; }

 private:
  os::File& file_;
  const std::uint64_t end_;
  std::uint64_t offset_;  // in the file, of the next byte
  Bytes buffer_;
  std::size_t begin_ = 0;  // of what is not consumed yet, in the buffer
  std::size_t size_ = 0;   // of what was read into it
};

// Whether anything at or after the reader's place proves that damage just before it is not the torn
// end of a last write: a record that begins a later commit group. `next_index` is the first record
// missing.
Result<bool> later_group_follows(SegmentReader& reader, std::uint64_t next_index);

}  // namespace aioss::ledger
