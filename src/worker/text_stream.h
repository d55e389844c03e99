// The text of one choice, as its tokens come: bytes in, whole UTF-8 characters out, stop strings
// cut.
//
//  - A character may be split over tokens: its first bytes wait. Bytes that can never become a
//    character turn into U+FFFD, at once if that is certain, else at the end.
//  - A stop string may be split over tokens: as much text as may yet become one is withheld. Text
//    before the stop is let go, the stop itself and what follows never.
//
// One thread at a time. What is withheld is bounded by the longest stop string and three bytes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "codec/utf8.h"

namespace aioss::worker {

class TextStream final {
 public:
  explicit TextStream(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // Adds the bytes of a token; appends to `out` what may be shown. True if a stop string was met:
  // the stream has ended and takes no more.
  bool push(std::string_view bytes, std::string& out);
  // The end without a stop string: lets everything go.
  void finish(std::string& out);

 private:
  bool cut_at_stop(std::string& out);
  std::size_t withheld() const;

  const std::vector<std::string> stops_;
  codec::Utf8Splitter characters_;
  std::string held_;  // text that may be the beginning of a stop string
};

}  // namespace aioss::worker
