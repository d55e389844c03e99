#include "cli/interrupt.h"

#include <csignal>
#include <utility>

namespace aioss::cli {

Result<std::unique_ptr<Interrupt>> Interrupt::create() {
  return watch({SIGINT, SIGTERM});
}

Result<std::unique_ptr<Interrupt>> Interrupt::for_screen() {
  return watch({SIGINT, SIGTERM, SIGQUIT, SIGTSTP});
}

Result<std::unique_ptr<Interrupt>> Interrupt::watch(const std::vector<int>& signals) {
  std::unique_ptr<Interrupt> made(new Interrupt());
  Interrupt* self = made.get();
  AIOSS_TRY(made->watcher_, os::SignalWatcher::create(signals, [self](int signal) {
              self->note(signal);
              self->changed_.notify_all();
            }));
  return made;
}

void Interrupt::note(int signal) {
  std::lock_guard lock(mutex_);
  if (signal == SIGINT) interrupted_ = true;
  if (signal == SIGTERM || signal == SIGQUIT) terminated_ = true;
  if (signal == SIGTSTP) suspended_ = true;
}

bool Interrupt::take() {
  std::lock_guard lock(mutex_);
  return std::exchange(interrupted_, false) || terminated_;
}

bool Interrupt::terminated() const {
  std::lock_guard lock(mutex_);
  return terminated_;
}

bool Interrupt::take_suspension() {
  std::lock_guard lock(mutex_);
  return std::exchange(suspended_, false) && !interrupted_ && !terminated_;
}

bool Interrupt::wait_for(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] { return is_any(); });
}

}  // namespace aioss::cli
