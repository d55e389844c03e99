// The answers that are built in one piece: errors, health. Pure functions.
#pragma once

#include <string>

#include "base/error.h"
#include "http/server.h"
#include "runtime/gateway.h"

namespace aioss::server {

http::Response json_response(int status, std::string body);
// OpenAI's error body, with the headers that its status asks for.
http::Response error_response(const Error& error);
// Trying again cannot help: OpenAI's clients, which would (408, 409, 429, 5xx), then do not.
void forbid_retry(http::Response& response);

// `detailed`: the caller is known. Others learn that the server works, or that it does not.
http::Response health_response(const runtime::GatewayHealth& health, const std::string& key_problem,
                               bool detailed);

}  // namespace aioss::server
