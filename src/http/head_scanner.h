// Checks the raw bytes of a request's head, line by line as they arrive, before the parser sees
// them. Here live the rules that parsers are known to bend: line endings, folded lines, spaces
// around names, control characters, sizes. A broken line is refused at once, not when the head is
// complete. One object per head; no I/O.
#pragma once

#include <cstddef>
#include <string_view>

#include "http/refusal.h"

namespace aioss::http {

class HeadScanner final {
 public:
  enum class State { kMore, kComplete, kRefused };

  HeadScanner(std::size_t bytes_max, std::size_t lines_max)
      : bytes_max_(bytes_max), lines_max_(lines_max) {}

  // `bytes`: all that was received, always from the same first byte on. Every byte is looked at a
  // bounded number of times over all calls.
  State scan(std::string_view bytes);

  // Once complete: where the request line begins (an empty line may stand before it), and where the
  // head ends, after its empty line.
  std::size_t begin() const { return begin_; }
  std::size_t end() const { return line_; }
  const Refusal& refusal() const { return refusal_; }

 private:
  State refuse(Refusal refusal);
  State check_first_byte(std::string_view bytes);
  State check_line(std::string_view line);  // without its line ending
  State check_request_line(std::string_view line);
  State check_field_line(std::string_view line);

  const std::size_t bytes_max_;
  const std::size_t lines_max_;
  std::size_t begin_ = 0;
  std::size_t line_ = 0;      // where the line that is being received begins
  std::size_t searched_ = 0;  // no line feed before this
  std::size_t fields_ = 0;
  bool has_request_line_ = false;
  bool skipped_empty_line_ = false;
  State state_ = State::kMore;
  Refusal refusal_;
};

}  // namespace aioss::http
