// What went wrong, as a value. Expected failures (a bad request, a full disk, a dead worker) travel
// as `Error`; bugs are ASSERTs (base/assert.h). The code decides the HTTP status, the wire error
// type and the exit code, in one table (error.cc), so that no layer invents its own mapping.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace aioss {

enum class Code : std::uint8_t {
  kInvalidArgument,    // a request field is missing, of the wrong type or out of range
  kContextExceeded,    // the prompt or prompt + max_tokens can never fit
  kUnauthenticated,    // no key, or not a known one
  kForbidden,          // known caller, not allowed
  kNotFound,           // unknown model, route or file
  kMethodNotAllowed,   // known route, wrong verb
  kTooLarge,           // body over its limit
  kHeaderTooLarge,     // header section over its limit
  kTimeout,            // a deadline passed
  kConflict,           // in use: the port, the ledger lock
  kBusy,               // a bounded queue is full; try again later
  kModelCorrupt,       // not GGUF, truncated, absurd or unsupported by the engine
  kNoMemory,           // the model or the request does not fit in memory
  kEngineFailed,       // the engine reported a failure
  kWorkerDied,         // the worker process ended while it had work
  kCancelled,          // the client left, or the operator cancelled
  kLedgerUnavailable,  // the ledger cannot be written: nothing may be answered
  kCorrupt,            // stored bytes are not what they must be
  kIo,                 // the operating system refused a read, a write or a process
  kUnsupported,        // understood, not offered
  kUsage,              // the command line or the configuration file is wrong
  kShuttingDown,       // the gateway is stopping
  kLoading,            // the model was not ready in the time that the request may wait for it
  kInternal,           // a bug that was caught at an edge
};
inline constexpr int kCodeCount = static_cast<int>(Code::kInternal) + 1;

// Exit codes of every command, named once. `verify` has its own (ledger/reading/verify.h).
enum class ExitCode : int {
  kOk = 0,
  kFailure = 1,      // it ran and failed
  kUsage = 2,        // the command line or configuration is wrong
  kNotFound = 3,     // no such model, file or ledger
  kUnavailable = 4,  // port or ledger in use, disk full, no memory
  kCorrupt = 5,      // a model file or ledger is damaged
  kInterrupted = 130,
};

struct CodeInfo {
  std::string_view name;       // stable, snake_case: error.code on the wire and in the ledger
  int http_status;             // 400…599
  std::string_view wire_type;  // error.type of the OpenAI dialect
  ExitCode exit_code;
};
const CodeInfo& info(Code code);
std::optional<Code> code_from_name(std::string_view name);

// Of a request that a queue had no place for: how many wait before it, and how long that may take.
struct Backlog {
  std::uint32_t position = 0;
  std::optional<std::uint32_t> seconds = {};  // nothing while no speed is measured
};

// How it stands with a model that a request waits for, or waited for in vain.
struct ModelWait {
  std::string state;           // "loading", "waiting_for_room", "unloading", "failed"
  float fraction = 0;          // of the load, 0…1
  std::uint32_t seconds = 0;   // so far
  std::uint32_t position = 0;  // requests that wait before it
  // Until it is ready, or may be tried again; nothing if nobody can tell.
  std::optional<std::uint32_t> estimate_seconds = {};
  bool operator==(const ModelWait&) const = default;
};

// A value: copy and move freely. `message` is one line for a person, says what to do, and never
// holds prompt text, keys or absolute paths of the server (paths belong to CLI messages only).
struct [[nodiscard]] Error {
  Code code = Code::kInternal;
  std::string message;
  std::string field;               // the request field or config key at fault, "" if none
  std::optional<Backlog> backlog;  // with kBusy, if a queue was the reason
  std::optional<ModelWait> wait;   // of a request whose model is not ready; not sent to workers

  Error() = default;
  Error(Code c, std::string m, std::string f = {})
      : code(c), message(std::move(m)), field(std::move(f)) {}

  Error with_backlog(const Backlog& before_it) &&;
  Error with_wait(ModelWait model) &&;
  // The same error with "context: " before its message.
  Error with_context(std::string_view context) &&;
};

// "cannot open x: No such file or directory", from an errno value.
Error error_from_errno(int error_number, std::string_view what);

}  // namespace aioss
