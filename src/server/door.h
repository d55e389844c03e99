// The door: may this request come in at all, and who sends it? Pure functions of the request and
// the keys.
//
// Without a key file the server trusts everyone who can reach loopback, so it must make sure that a
// web page cannot: a page may reach 127.0.0.1 under a name of its own (DNS rebinding), which shows
// in Host, or send requests across origins, which shows in Origin or, where a browser sends none,
// in Sec-Fetch-Site.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "http/server.h"
#include "runtime/calls/principal.h"
#include "server/key_file.h"

namespace aioss::server {

struct DoorOptions {
  const KeyRing* keys = nullptr;  // borrowed from the server; null: keyless
  // Users of the Unix socket who are operators: root, and whoever runs the server.
  std::vector<std::uint32_t> operator_uids{0};
};

// kForbidden if a browser brought a request that its user did not mean.
Status check_origin(const http::Request& request, bool keyless);

// kUnauthenticated without a known key where one is needed.
Result<runtime::Principal> identify(const http::Request& request, const DoorOptions& options);

// What AUTH records say of a caller whom the functions here turned away: a name in
// ledger::auth_reason. Nothing for an error of another kind.
std::optional<std::string_view> auth_reason(const Error& error, const http::Request& request,
                                            const DoorOptions& options);

// kForbidden unless the caller's role is one of `roles`.
Status require_role(const runtime::Principal& principal,
                    std::initializer_list<runtime::Role> roles);

}  // namespace aioss::server
