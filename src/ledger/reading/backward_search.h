// Looks for a byte string in a file from its end to its beginning, through one buffer. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "os/file.h"

namespace aioss::ledger {

class BackwardSearch final {
 public:
  // In the first `end` bytes. The file outlives the search; the pattern is not empty.
  BackwardSearch(os::File& file, std::uint64_t end, Bytes pattern);

  // Where the last occurrence begins that was not given yet; nothing if there is none, or none
  // without reading more than `bytes_max` bytes in all.
  Result<std::optional<std::uint64_t>> next(std::uint64_t bytes_max);
  std::uint64_t searched() const { return searched_; }  // bytes

 private:
  Status load();  // the chunk before the one in the buffer

  os::File& file_;
  const Bytes pattern_;
  std::uint64_t begin_;  // of what has been searched
  const std::uint64_t end_;
  std::uint64_t searched_ = 0;
  Bytes buffer_;
  std::vector<std::uint64_t> hits_;  // in that chunk, ascending, not given yet
};

}  // namespace aioss::ledger
