// A progress bar on standard error: drawn on a terminal only, at most a few times a second, and
// taken away when it is destroyed. One thread at a time.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "cli/console.h"

namespace aioss::cli {

class Progress final {
 public:
  Progress(Console& console, const Clock& clock, std::string label)
      : console_(console), clock_(clock), label_(std::move(label)) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(float fraction);  // 0…1
  void clear();

 private:
  Console& console_;
  const Clock& clock_;
  const std::string label_;
  std::int64_t next_draw_ns_ = 0;
  bool drawn_ = false;
};

}  // namespace aioss::cli
