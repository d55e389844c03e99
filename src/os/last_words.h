// For code of strangers in our own process, while it is opened: if it crashes or does not come
// back, words that were prepared before are still written to a descriptor, and then the process
// ends. Only a promise of clear errors: code that means to can undo it, and whoever started the
// process has limits of its own.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace aioss::os {

// One at a time in a process; armed until it is destroyed. May be made in stage one of the sandbox.
class LastWords final {
 public:
  // `words_for` is asked at once for each way to end ("crashed (Segmentation fault)", "did not come
  // back within 20 s"). They go to the descriptor, which outlives it, in one write that does not
  // wait: a socket's buffer takes them. Then the process ends with `exit_code`.
  static Result<std::unique_ptr<LastWords>> arm(
      int descriptor, std::chrono::seconds time_max, int exit_code,
      const std::function<Bytes(std::string_view how)>& words_for);
  ~LastWords();
  LastWords(const LastWords&) = delete;
  LastWords& operator=(const LastWords&) = delete;

 private:
  struct State;
  explicit LastWords(std::unique_ptr<State> state);
  const std::unique_ptr<State> state_;
};

}  // namespace aioss::os
