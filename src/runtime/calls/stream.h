// One generation, from the gateway's side: what a worker and the ledger have said of it, in order,
// ready for one consumer. It applies the ledger's two rules: nothing of an answer is visible before
// the request's record is durable, and the end is not visible before the result's is.
//
// Producers: a worker link's thread and the ledger thread. Consumer: one thread (the io thread, or
// the terminal of `aioss run`). What it does not read stops the worker from computing more: the
// worker has credit for 32 KiB of unread events. One whose text, of all choices, is over 32 MiB
// ends with kTooLarge. Shared (shared_ptr) on purpose: it outlives a disconnect until its records
// are written.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "ipc/messages.h"

namespace aioss::runtime {

struct StreamStarted {               // always first; the request was admitted and recorded
  std::uint64_t request_record = 0;  // index of INFER_REQUEST
  std::uint32_t prompt_tokens = 0;
};

struct StreamDelta {
  std::uint32_t choice = 0;
  std::string text;
  std::vector<ipc::Token> tokens;
  std::vector<ipc::TokenLogprob> logprobs;
};

struct ChoiceEnd {
  std::uint32_t choice = 0;
  ipc::FinishReason reason = ipc::FinishReason::kStop;
  std::uint32_t completion_tokens = 0;
  ipc::Timings timings;
};

struct StreamDone {  // last, if all went well: every choice has ended and the result is durable
  std::uint64_t result_record = 0;  // index of INFER_RESULT
  std::uint32_t prompt_tokens = 0;
  std::uint32_t completion_tokens = 0;  // of all choices
  std::uint32_t cached_tokens = 0;      // of the prompt, that were not computed for it
};

struct StreamFailed {  // last, otherwise; may come first (refused, prompt too long)
  Error error;
  std::optional<std::uint64_t> abort_record;         // index of INFER_ABORT, if there is one
  std::optional<std::uint64_t> request_record = {};  // of INFER_REQUEST, if it is durable
};

// Exactly one StreamDone or StreamFailed, and nothing after it. The final ChoiceEnd comes with
// (just before) StreamDone: it too waits for the result's record.
using StreamEvent = std::variant<StreamStarted, StreamDelta, ChoiceEnd, StreamDone, StreamFailed>;

class Stream {
 public:
  virtual ~Stream() = default;
  virtual const std::string& request_id() const = 0;  // "req_…", in headers and records
  virtual ipc::Profile profile() const = 0;
  virtual std::uint64_t seed() const = 0;

  // The next visible event, or nothing yet.
  virtual std::optional<StreamEvent> try_next() = 0;
  // The same, waiting; for threads that may block.
  virtual std::optional<StreamEvent> next_for(std::chrono::milliseconds timeout) = 0;
  // Called (from any thread, without locks held) when try_next() may have something new; a later
  // one replaces it. Called at once if something is there already.
  virtual void set_wake(std::function<void()> wake) = 0;
  // How it stands with its model, while that is not ready; about a quarter of a second old.
  virtual std::optional<ModelWait> model_wait() const { return std::nullopt; }
  // The client is gone or has had enough. Idempotent, thread-safe. What was not read yet is
  // dropped. The stream still ends with StreamFailed{kCancelled} after its INFER_ABORT is durable,
  // unless its end was being recorded already.
  virtual void cancel() = 0;
  // The same for another reason, which is recorded: the client does not read.
  virtual void give_up(Error why) = 0;
};

}  // namespace aioss::runtime
