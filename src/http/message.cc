// The values of server.h.
#include <utility>

#include "http/server.h"
#include "http/text.h"

namespace aioss::http {

std::optional<std::string_view> Request::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (iequals(key, name)) return value;
  }
  return std::nullopt;
}

Response::Response(int status_code, std::string content_type, std::string body_text)
    : status(status_code), body(std::move(body_text)) {
  headers.emplace_back("Content-Type", std::move(content_type));
}

}  // namespace aioss::http
