#include "os/read_some.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/clock.h"
#include "os/clock.h"

namespace aioss::os {

Result<std::size_t> read_some(int descriptor, std::span<std::uint8_t> into,
                              std::chrono::milliseconds timeout) {
  const SystemClock clock;
  const std::int64_t deadline = clock.monotonic_ns() + timeout.count() * kNsPerMs;
  for (;;) {
    int wait_ms = -1;
    if (timeout.count() >= 0) {
      const std::int64_t left = (deadline - clock.monotonic_ns() + kNsPerMs - 1) / kNsPerMs;
      wait_ms = static_cast<int>(std::clamp<std::int64_t>(left, 0, 1 << 30));
    }
    pollfd poll_entry{descriptor, POLLIN, 0};
    const int ready = ::poll(&poll_entry, 1, wait_ms);
    if (ready == 0) return Error(Code::kTimeout, "nothing to read in time");
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return error_from_errno(errno, "cannot wait for input");
    const ssize_t count = ::read(descriptor, into.data(), into.size());
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno == EIO) return std::size_t{0};  // a pseudo-terminal whose other side is gone
    if (errno != EINTR && errno != EAGAIN) return error_from_errno(errno, "cannot read input");
  }
}

}  // namespace aioss::os
