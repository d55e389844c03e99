#include "http/chunk_decoder.h"

#include <algorithm>

#include "http/text.h"

namespace aioss::http {

std::size_t ChunkDecoder::feed(std::string_view input, std::string& body) {
  std::size_t taken = 0;
  while (taken < input.size() && state_ == State::kMore) {
    if (place_ != Place::kData) {
      take(input[taken++]);
      continue;
    }
    const auto count =
        static_cast<std::size_t>(std::min<std::uint64_t>(size_, input.size() - taken));
    body.append(input, taken, count);
    taken += count;
    size_ -= count;
    if (size_ == 0) place_ = Place::kDataReturn;
  }
  return taken;
}

void ChunkDecoder::expect(char c, char wanted, Place next) {
  if (c == wanted) {
    place_ = next;
  } else {
    state_ = State::kMalformed;
  }
}

void ChunkDecoder::take(char c) {
  if (++line_bytes_ > line_bytes_max_) {
    state_ = State::kMalformed;
    return;
  }
  switch (place_) {
    case Place::kSizeFirst:
    case Place::kSize:
      return take_size(c);
    case Place::kExtension:
      if (c == '\r') {
        place_ = Place::kSizeEnd;
      } else if (is_control(c) && c != '\t') {
        state_ = State::kMalformed;
      }
      return;
    case Place::kSizeEnd:
      expect(c, '\n', size_ == 0 ? Place::kTrailerStart : Place::kData);
      line_bytes_ = 0;
      return;
    case Place::kDataReturn:
      return expect(c, '\r', Place::kDataEnd);
    case Place::kDataEnd:
      return expect(c, '\n', Place::kSizeFirst);
    case Place::kData:
      return;  // not framing
    case Place::kTrailerStart:
    case Place::kTrailer:
    case Place::kTrailerEnd:
    case Place::kLastEnd:
      return take_trailer(c);
  }
}

void ChunkDecoder::take_size(char c) {
  const int digit = hex_value(c);
  if (digit < 0) {
    const bool first = place_ == Place::kSizeFirst;
    if (first || (c != '\r' && c != ';')) {
      state_ = State::kMalformed;
      return;
    }
    body_bytes_ += size_;
    place_ = c == '\r' ? Place::kSizeEnd : Place::kExtension;
    return;
  }
  size_ = (place_ == Place::kSizeFirst ? 0 : size_ * 16) + static_cast<std::uint64_t>(digit);
  place_ = Place::kSize;
  // Checked at every digit, so that the size cannot overflow and is refused before its bytes come.
  if (size_ > body_bytes_max_ - body_bytes_) state_ = State::kTooLarge;
}

void ChunkDecoder::take_trailer(char c) {
  switch (place_) {
    case Place::kTrailerStart:
      if (c == '\r') {
        place_ = Place::kLastEnd;
      } else if (c == ' ' || is_control(c)) {
        state_ = State::kMalformed;
      } else {
        place_ = Place::kTrailer;
      }
      return;
    case Place::kTrailer:
      if (c == '\r') {
        place_ = Place::kTrailerEnd;
      } else if (is_control(c) && c != '\t') {
        state_ = State::kMalformed;
      }
      return;
    case Place::kTrailerEnd:
      return expect(c, '\n', Place::kTrailerStart);
    default:
      if (c == '\n') {
        state_ = State::kComplete;
      } else {
        state_ = State::kMalformed;
      }
      return;
  }
}

}  // namespace aioss::http
