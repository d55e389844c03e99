#include "ledger/reading/backward_search.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace aioss::ledger {
namespace {

constexpr std::uint64_t kChunkBytes = 1U << 20;

}  // namespace

BackwardSearch::BackwardSearch(os::File& file, std::uint64_t end, Bytes pattern)
    : file_(file), pattern_(std::move(pattern)), begin_(end), end_(end) {
  ASSERT(!pattern_.empty());
}

Status BackwardSearch::load() {
  const std::uint64_t chunk = std::min(begin_, kChunkBytes);
  // A pattern may begin here and end in the chunk that was searched before.
  const std::uint64_t overlap = std::min<std::uint64_t>(pattern_.size() - 1, end_ - begin_);
  buffer_.resize(static_cast<std::size_t>(chunk + overlap));
  AIOSS_TRY(const std::size_t got, file_.read_at(begin_ - chunk, buffer_));
  if (got < buffer_.size()) return Error{Code::kIo, "a file became shorter while it was read"};
  begin_ -= chunk;
  searched_ += chunk;
  const std::uint8_t* at = buffer_.data();
  const std::uint8_t* const stop = at + buffer_.size();
  while (at < stop) {
    const void* const hit =
        ::memmem(at, static_cast<std::size_t>(stop - at), pattern_.data(), pattern_.size());
    if (hit == nullptr) break;
    at = static_cast<const std::uint8_t*>(hit);
    hits_.push_back(begin_ + static_cast<std::uint64_t>(at - buffer_.data()));
    ++at;
  }
  return ok();
}

Result<std::optional<std::uint64_t>> BackwardSearch::next(std::uint64_t bytes_max) {
  while (hits_.empty() && begin_ > 0 && searched_ < bytes_max) AIOSS_CHECK(load());
  if (hits_.empty()) return std::optional<std::uint64_t>();
  const std::uint64_t hit = hits_.back();
  hits_.pop_back();
  return std::optional<std::uint64_t>(hit);
}

}  // namespace aioss::ledger
