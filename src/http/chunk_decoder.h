// Decodes the chunked transfer coding (RFC 9112, 7.1), strictly and incrementally: it keeps no
// input, so a stream may be cut anywhere. Our own, because Beast 1.81 asserts on a last chunk that
// arrives in pieces, and puts trailer fields among the header's. Trailers and chunk extensions are
// checked, counted and thrown away. One object per body; no I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace aioss::http {

class ChunkDecoder final {
 public:
  enum class State { kMore, kComplete, kMalformed, kTooLarge };

  // `body_bytes_max`: of the decoded body. `line_bytes_max`: of all framing lines of one chunk, and
  // of the trailer section.
  ChunkDecoder(std::size_t body_bytes_max, std::size_t line_bytes_max)
      : body_bytes_max_(body_bytes_max), line_bytes_max_(line_bytes_max) {}

  // Decodes from the front of `input`, appending to `body`; returns how much it took, which is all
  // of it unless the body is complete or refused.
  std::size_t feed(std::string_view input, std::string& body);
  State state() const { return state_; }

 private:
  enum class Place {
    kSizeFirst,
    kSize,
    kExtension,
    kSizeEnd,
    kData,
    kDataReturn,
    kDataEnd,
    kTrailerStart,
    kTrailer,
    kTrailerEnd,
    kLastEnd
  };
  void take(char c);  // one byte of framing
  void take_size(char c);
  void take_trailer(char c);
  void expect(char c, char wanted, Place next);

  const std::size_t body_bytes_max_;
  const std::size_t line_bytes_max_;
  Place place_ = Place::kSizeFirst;
  State state_ = State::kMore;
  std::uint64_t size_ = 0;        // of this chunk, then what is left of it
  std::uint64_t body_bytes_ = 0;  // announced so far
  std::size_t line_bytes_ = 0;
};

}  // namespace aioss::http
