#include "base/error.h"

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "base/assert.h"

namespace aioss {
namespace {

constexpr std::string_view kInvalid = "invalid_request_error";
constexpr std::string_view kServer = "server_error";

// In the order of the enum; a test walks it.
constexpr std::array<CodeInfo, kCodeCount> kCodes{{
    {"invalid_argument", 400, kInvalid, ExitCode::kUsage},
    {"context_length_exceeded", 400, kInvalid, ExitCode::kUsage},
    {"unauthenticated", 401, "authentication_error", ExitCode::kFailure},
    {"forbidden", 403, "permission_error", ExitCode::kFailure},
    {"not_found", 404, kInvalid, ExitCode::kNotFound},
    {"method_not_allowed", 405, kInvalid, ExitCode::kUsage},
    {"too_large", 413, kInvalid, ExitCode::kUsage},
    {"header_too_large", 431, kInvalid, ExitCode::kUsage},
    {"timeout", 408, kServer, ExitCode::kFailure},
    {"conflict", 409, kInvalid, ExitCode::kUnavailable},
    {"busy", 429, "rate_limit_error", ExitCode::kUnavailable},
    {"model_corrupt", 500, kServer, ExitCode::kCorrupt},
    {"no_memory", 507, kServer, ExitCode::kUnavailable},
    {"engine_failed", 500, kServer, ExitCode::kFailure},
    {"worker_died", 500, kServer, ExitCode::kFailure},
    {"cancelled", 499, kServer, ExitCode::kInterrupted},
    {"ledger_unavailable", 503, kServer, ExitCode::kUnavailable},
    {"corrupt", 500, kServer, ExitCode::kCorrupt},
    {"io", 500, kServer, ExitCode::kFailure},
    {"unsupported", 400, kInvalid, ExitCode::kUsage},
    {"usage", 400, kInvalid, ExitCode::kUsage},
    {"shutting_down", 503, kServer, ExitCode::kUnavailable},
    {"model_loading", 503, kServer, ExitCode::kUnavailable},
    {"internal", 500, kServer, ExitCode::kFailure},
}};

}  // namespace

const CodeInfo& info(Code code) {
  const auto index = static_cast<std::size_t>(code);
  ASSERT(index < kCodes.size());
  return kCodes[index];
}

std::optional<Code> code_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kCodes.size(); ++i) {
    if (kCodes[i].name == name) return static_cast<Code>(i);
  }
  return std::nullopt;
}

Error Error::with_context(std::string_view context) && {
  message = std::string(context) + ": " + message;
  return std::move(*this);
}

Error Error::with_backlog(const Backlog& before_it) && {
  backlog = before_it;
  return std::move(*this);
}

Error Error::with_wait(ModelWait model) && {
  wait = std::move(model);
  return std::move(*this);
}

Error error_from_errno(int error_number, std::string_view what) {
  Code code = Code::kIo;
  if (error_number == ENOENT) code = Code::kNotFound;
  if (error_number == ENOMEM) code = Code::kNoMemory;
  if (error_number == EADDRINUSE) code = Code::kConflict;
  return {code, std::string(what) + ": " + std::generic_category().message(error_number)};
}

}  // namespace aioss
