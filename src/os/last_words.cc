#include "os/last_words.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "base/assert.h"

namespace aioss::os {
namespace {

constexpr std::array kSignals = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGALRM};
// The handler makes two system calls; that of a stack which ran over needs a stack of its own.
constexpr std::size_t kHandlerStackBytes = std::size_t{64} << 10;

}  // namespace

struct LastWords::State {
  int descriptor = -1;
  int exit_code = 0;
  std::array<Bytes, kSignals.size()> words;  // by the signal's place in kSignals
  std::array<struct sigaction, kSignals.size()> before{};
  std::vector<std::uint8_t> stack = std::vector<std::uint8_t>(kHandlerStackBytes);
  stack_t stack_before{};

  static std::atomic<const State*> armed;  // a handler is given nothing but a number
  static void handle(int signal);
};

std::atomic<const LastWords::State*> LastWords::State::armed = nullptr;

// Async-signal-safe: system calls only.
void LastWords::State::handle(int signal) {
  const State* const state = armed.load();
  if (state == nullptr) return;  // the timer's last signal, just after
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    if (kSignals[i] != signal) continue;
    const Bytes& words = state->words[i];
    (void)!::send(state->descriptor, words.data(), words.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  ::_exit(state->exit_code);
}

namespace {

std::string how_it_ends(int signal, std::chrono::seconds time_max) {
  if (signal == SIGALRM)
    return "did not come back within " + std::to_string(time_max.count()) + " s";
  const char* const text = ::sigdescr_np(signal);
  return "crashed (" + std::string(text == nullptr ? "a signal" : text) + ")";
}

Status set_timer(std::chrono::seconds time) {
  itimerval timer{};
  timer.it_value.tv_sec = static_cast<time_t>(time.count());
  if (::setitimer(ITIMER_REAL, &timer, nullptr) == 0) return ok();
  return error_from_errno(errno, "cannot limit the time of a start");
}

}  // namespace

LastWords::LastWords(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<LastWords>> LastWords::arm(
    int descriptor, std::chrono::seconds time_max, int exit_code,
    const std::function<Bytes(std::string_view how)>& words_for) {
  ASSERT(State::armed.load() == nullptr);
  auto state = std::make_unique<State>();
  state->descriptor = descriptor;
  state->exit_code = exit_code;
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    state->words[i] = words_for(how_it_ends(kSignals[i], time_max));
  }
  const stack_t own{state->stack.data(), 0, state->stack.size()};
  if (::sigaltstack(&own, &state->stack_before) != 0) {
    return error_from_errno(errno, "cannot set a stack for signals");
  }
  struct sigaction action{};
  action.sa_handler = &State::handle;
  action.sa_flags = SA_ONSTACK | SA_RESTART;
  ::sigfillset(&action.sa_mask);
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], &action, &state->before[i]);
  }
  State::armed.store(state.get());
  std::unique_ptr<LastWords> words(new LastWords(std::move(state)));
  AIOSS_CHECK(set_timer(time_max));
  return words;
}

LastWords::~LastWords() {
  (void)set_timer(std::chrono::seconds(0));
  State::armed.store(nullptr);
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], &state_->before[i], nullptr);
  }
  ::sigaltstack(&state_->stack_before, nullptr);
}

}  // namespace aioss::os
