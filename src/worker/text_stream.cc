#include "worker/text_stream.h"

#include <algorithm>

namespace aioss::worker {

bool TextStream::cut_at_stop(std::string& out) {
  std::size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, held_.find(stop));
  if (first == std::string::npos) return false;
  out.append(held_, 0, first);
  held_.clear();
  return true;
}

// The length of the longest end of held_ that is the beginning of a stop string.
std::size_t TextStream::withheld() const {
  std::size_t longest = 0;
  for (const std::string& stop : stops_) {
    // A whole stop string is not here: it would have been cut.
    for (std::size_t size = std::min(stop.size() - 1, held_.size()); size > longest; --size) {
      if (held_.compare(held_.size() - size, size, stop, 0, size) == 0) {
        longest = size;
        break;
      }
    }
  }
  return longest;
}

bool TextStream::push(std::string_view bytes, std::string& out) {
  held_ += characters_.push(bytes);
  if (cut_at_stop(out)) return true;
  const std::size_t free = held_.size() - withheld();
  out.append(held_, 0, free);
  held_.erase(0, free);
  return false;
}

void TextStream::finish(std::string& out) {
  out += held_;
  out += characters_.finish();
  held_.clear();
}

}  // namespace aioss::worker
