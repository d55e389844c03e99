#include "ledger/reading/segment_reader.h"

#include <algorithm>

#include "base/assert.h"
#include "ledger/format/format.h"

namespace aioss::ledger {
namespace {

// Large enough that the bytes moved to the front at each refill are a small part of it.
constexpr std::size_t kBufferBytes = 1U << 20;
static_assert(kBufferBytes >= 4 * kFrameBytesMax);

// Looking for records in damage is quadratic in the worst case, which only somebody who builds it
// on purpose can reach. Then the answer is no longer "an honest crash".
constexpr std::uint64_t kSearchBytesMax = 4ULL << 30;

}  // namespace

SegmentReader::SegmentReader(os::File& file, std::uint64_t end, std::uint64_t offset)
    : file_(file), end_(end), offset_(offset), buffer_(kBufferBytes) {
  ASSERT(offset <= end);
}

Result<ByteView> SegmentReader::window() {
  const std::size_t have = size_ - begin_;
  const std::uint64_t left = end_ - offset_;  // of the file, with what is in the buffer
  if (have < kFrameBytesMax && have < left) {
    std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_),
              buffer_.begin() + static_cast<std::ptrdiff_t>(size_), buffer_.begin());
    begin_ = 0;
    size_ = have;
    const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(kBufferBytes, left)) - have;
    AIOSS_TRY(const std::size_t got,
              file_.read_at(offset_ + have, std::span(buffer_).subspan(have, want)));
    if (got < want) return Error{Code::kIo, "a segment file became shorter while it was read"};
    size_ += got;
  }
  return ByteView(buffer_).subspan(begin_, size_ - begin_);
}

void SegmentReader::advance(std::size_t bytes) {
  ASSERT(bytes <= size_ - begin_);
  begin_ += bytes;
  offset_ += bytes;
}

Result<bool> later_group_follows(SegmentReader& reader, std::uint64_t next_index) {
  constexpr std::string_view kMagic = "AREC";
  std::uint64_t searched = 0;
  while (reader.offset() < reader.end()) {
    AIOSS_TRY(const ByteView window, reader.window());
    const std::size_t place = as_text(window).find(kMagic);
    if (place == std::string_view::npos) {
      // Keep what may be the beginning of a magic.
      const bool more = reader.offset() + window.size() < reader.end();
      reader.advance(window.size() - (more ? kMagic.size() - 1 : 0));
      continue;
    }
    if (place > 0) {  // come back with the whole of it in the window
      reader.advance(place);
      continue;
    }
    const ParsedFrame parsed = parse_frame(window);
    const bool intact = parsed.form == Form::kGood || parsed.form == Form::kWrong;
    if (intact && parsed.frame.index >= next_index && (parsed.frame.flags & kFlagGroupFirst) != 0) {
      return true;
    }
    searched += std::min(window.size(), kFrameBytesMax);
    if (searched > kSearchBytesMax) return true;
    reader.advance(intact ? parsed.frame.bytes : kMagic.size());
  }
  return false;
}

}  // namespace aioss::ledger
