#include "cli/interrupt.h"

#include <csignal>
#include <utility>

namespace aioss::cli {

Result<std::unique_ptr<Interrupt>> Interrupt::create() {
  std::unique_ptr<Interrupt> made(new Interrupt());
  Interrupt* self = made.get();
  AIOSS_TRY(made->watcher_, os::SignalWatcher::create({SIGINT, SIGTERM}, [self](int signal) {
              {
                std::lock_guard lock(self->mutex_);
                (signal == SIGTERM ? self->terminated_ : self->interrupted_) = true;
              }
              self->changed_.notify_all();
            }));
  return made;
}

bool Interrupt::take() {
  std::lock_guard lock(mutex_);
  return std::exchange(interrupted_, false) || terminated_;
}

bool Interrupt::terminated() const {
  std::lock_guard lock(mutex_);
  return terminated_;
}

bool Interrupt::wait_for(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [&] { return interrupted_ || terminated_; });
  return interrupted_ || terminated_;
}

}  // namespace aioss::cli
