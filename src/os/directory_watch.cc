#include "os/directory_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace aioss::os {
namespace {

// No IN_MODIFY: a file that is being written tells it thousands of times, and its end is told.
constexpr std::uint32_t kChanges = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
                                   IN_CREATE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF |
                                   IN_ONLYDIR;
constexpr std::size_t kEventBytes = 16 << 10;

}  // namespace

Result<std::unique_ptr<DirectoryWatch>> DirectoryWatch::create(const std::string& directory) {
  Fd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.valid()) return Error{Code::kIo, "cannot make an event to wake a watch"};
  std::unique_ptr<DirectoryWatch> watch(new DirectoryWatch(directory, std::move(stop)));
  watch->begin();
  return watch;
}

// Again after the directory itself went: another one may have its name.
void DirectoryWatch::begin() {
  Fd events(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  const bool told =
      events.valid() && ::inotify_add_watch(events.get(), directory_.c_str(), kChanges) >= 0;
  events_ = told ? std::move(events) : Fd();
}

bool DirectoryWatch::take_events() {
  alignas(inotify_event) std::array<char, kEventBytes> bytes{};
  bool gone = false, some = false;
  for (;;) {
    const ssize_t count = ::read(events_.get(), bytes.data(), bytes.size());
    if (count <= 0) break;
    some = true;
    for (ssize_t at = 0; at < count;) {
      inotify_event event{};
      std::memcpy(&event, bytes.data() + at, sizeof event);
      gone = gone || (event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0;
      at += static_cast<ssize_t>(sizeof event + event.len);
    }
  }
  if (gone) events_.reset();
  return some;
}

DirectoryWatch::Woken DirectoryWatch::wait_for(std::chrono::milliseconds timeout) {
  if (!events_.valid()) begin();
  std::array<pollfd, 2> waits{{{stop_.get(), POLLIN, 0}, {events_.get(), POLLIN, 0}}};
  const int ms = static_cast<int>(std::clamp<std::int64_t>(timeout.count(), 0, 3'600'000));
  const int ready = ::poll(waits.data(), waits.size(), ms);  // a negative descriptor is left out
  if (waits[0].revents != 0) return Woken::kStopped;
  if (ready <= 0 || waits[1].revents == 0) return Woken::kTimeout;
  return take_events() ? Woken::kChanged : Woken::kTimeout;
}

void DirectoryWatch::stop() {
  const std::uint64_t one = 1;
  (void)!::write(stop_.get(), &one, sizeof one);  // it is full only if it was written before
}

}  // namespace aioss::os
