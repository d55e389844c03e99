#include "cli/progress.h"

#include "cli/term.h"

namespace aioss::cli {
namespace {

constexpr std::int64_t kRedrawNs = 80'000'000;  // as fast as an eye follows

}  // namespace

void Progress::update(float fraction) {
  if (!console_.facts().error_is_terminal) return;
  const std::int64_t now = clock_.monotonic_ns();
  if (drawn_ && now < next_draw_ns_) return;
  next_draw_ns_ = now + kRedrawNs;
  drawn_ = true;
  console_.error_raw("\r\x1b[K" + progress_bar(label_, fraction, console_.facts().columns));
}

void Progress::clear() {
  if (drawn_) console_.error_raw("\r\x1b[K");
  drawn_ = false;
}

}  // namespace aioss::cli
