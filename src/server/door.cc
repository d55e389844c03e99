#include "server/door.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "base/strings.h"
#include "ledger/format/record.h"

namespace aioss::server {
namespace {

constexpr std::string_view kScheme = "bearer ";

// The key of "Authorization: Bearer KEY"; nothing if there is none.
std::optional<std::string_view> bearer(const http::Request& request) {
  const auto header = request.header("Authorization");
  if (!header.has_value() || header->size() < kScheme.size()) return std::nullopt;
  if (ascii_lower(header->substr(0, kScheme.size())) != kScheme) return std::nullopt;
  return trim(header->substr(kScheme.size()));
}

// "http://localhost:3000" → "localhost:3000". "null", which sandboxed pages send, has no host.
std::string_view host_of_origin(std::string_view origin) {
  const std::size_t scheme = origin.find("://");
  return scheme == std::string_view::npos ? std::string_view() : origin.substr(scheme + 3);
}

runtime::Principal unix_principal(const http::Peer& peer, const DoorOptions& options) {
  const auto& operators = options.operator_uids;
  const bool is_operator =
      std::find(operators.begin(), operators.end(), peer.uid) != operators.end();
  runtime::Principal principal;
  principal.user = "uid=" + std::to_string(peer.uid);
  principal.role = is_operator ? runtime::Role::kOperator : runtime::Role::kUser;
  principal.source = "unix:uid=" + std::to_string(peer.uid);
  principal.address = peer.address;
  return principal;
}

}  // namespace

Status check_origin(const http::Request& request, bool keyless) {
  if (!keyless) return ok();
  const auto host = request.header("Host");
  if (!request.peer.unix_socket && host.has_value() && !http::host_is_loopback(*host))
    return Error{Code::kForbidden,
                 "this server has no keys and answers to localhost only: use http://127.0.0.1 or "
                 "http://localhost, or start it with a key file",
                 "Host"};
  const auto origin = request.header("Origin");
  if (origin.has_value() && !http::host_is_loopback(host_of_origin(*origin)))
    return Error{Code::kForbidden,
                 "this server has no keys and refuses web pages of other origins: start it with a "
                 "key file to let them in",
                 "Origin"};
  // Images and links of a page send no Origin. Browsers then say this, and pages cannot forge it.
  const auto site = request.header("Sec-Fetch-Site");
  const bool other_site = site.has_value() && *site != "same-origin" && *site != "none";
  if (!origin.has_value() && other_site)
    return Error{Code::kForbidden,
                 "this server has no keys and refuses what other web pages ask for: start it with "
                 "a key file to let them in, or type the address yourself",
                 "Sec-Fetch-Site"};
  return ok();
}

Result<runtime::Principal> identify(const http::Request& request, const DoorOptions& options) {
  const auto key = bearer(request);
  if (options.keys != nullptr && key.has_value()) {
    auto principal = options.keys->find(*key);
    if (!principal.has_value())
      return Error{Code::kUnauthenticated, "the key is not known: check it, or ask for a new one"};
    principal->address = request.peer.address;
    return *principal;
  }
  if (request.peer.unix_socket) return unix_principal(request.peer, options);
  if (options.keys != nullptr)
    return Error{Code::kUnauthenticated,
                 "a key is needed: send the header 'Authorization: Bearer KEY'"};
  if (!request.peer.loopback)
    return Error{Code::kUnauthenticated,
                 "this server has no keys and serves its own machine only: start it with "
                 "a key file"};
  // Whoever reaches loopback may do everything: that is what running without keys means.
  runtime::Principal principal;
  principal.role = runtime::Role::kOperator;
  principal.source = "local";
  principal.address = request.peer.address;
  return principal;
}

std::optional<std::string_view> auth_reason(const Error& error, const http::Request& request,
                                            const DoorOptions& options) {
  namespace reason = ledger::auth_reason;
  if (error.code == Code::kForbidden) return error.field.empty() ? reason::kRole : reason::kOrigin;
  if (error.code != Code::kUnauthenticated) return std::nullopt;
  const bool tried = options.keys != nullptr && bearer(request).has_value();
  return tried ? reason::kUnknownKey : reason::kNoKey;
}

Status require_role(const runtime::Principal& principal,
                    std::initializer_list<runtime::Role> roles) {
  if (std::find(roles.begin(), roles.end(), principal.role) != roles.end()) return ok();
  return Error{Code::kForbidden, "the role '" + std::string(name(principal.role)) +
                                     "' may not do this: use a key of an operator"};
}

}  // namespace aioss::server
