#include "cli/server_access.h"

#include <optional>
#include <utility>

#include "cli/key_argument.h"
#include "cli/term.h"

namespace aioss::cli {
namespace {

constexpr std::chrono::milliseconds kPatience{5'000};
// An order is recorded on the disk before it is answered.
constexpr std::chrono::milliseconds kOrderPatience{30'000};
constexpr int kOk = 200;

std::optional<std::string> text_of(const codec::Json& object, const char* name) {
  if (!object.is_object() || !object.contains(name) || !object[name].is_string()) {
    return std::nullopt;
  }
  return safe_text(object[name].get_ref<const std::string&>(), false);
}

// What the server says is wrong, for people.
Error refusal(const http::ServerReply& reply) {
  std::optional<std::string> why, code_name;
  const auto json = codec::parse_json(reply.body);
  if (json && json->is_object() && json->contains("error")) {
    why = text_of((*json)["error"], "message");
    code_name = text_of((*json)["error"], "code");
  }
  const std::string said = why.value_or("status " + std::to_string(reply.status));
  if (reply.status == 401 || reply.status == 403) {
    return {Code::kForbidden, "the server refuses: " + said + "; give a key with --key"};
  }
  const auto code = code_name ? code_from_name(*code_name) : std::nullopt;
  return {code.value_or(Code::kIo), "the server refuses: " + said};
}

Result<std::string> body_of(const ServerAccess& access, Result<http::ServerReply> reply) {
  if (!reply) {
    Error error = std::move(reply).error();
    if (error.code == Code::kNotFound) {
      error.message += "; start one with 'aioss serve', or say where it is with --port or --unix";
    }
    return error;
  }
  if (reply->status == kOk) return std::move(reply->body);
  Error error = refusal(*reply);
  if (access.not_found_is_nobody && error.code == Code::kNotFound) error.code = Code::kIo;
  return error;
}

}  // namespace

Result<ServerAccess> server_access(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const Config config,
            load_config(services.files, services.environment, invocation.config));
  ServerAccess access;
  access.place.unix_path = config.text(Key::kUnix);
  access.place.host = config.text(Key::kHost);
  access.place.port = static_cast<std::uint16_t>(config.number(Key::kPort));
  if (const auto given = invocation.text("--key")) {
    AIOSS_TRY(const std::string key, key_argument(services.files, "--key", *given));
    access.headers.emplace_back("Authorization", "Bearer " + key);
  }
  return access;
}

Result<std::string> get_page(const ServerAccess& access, const std::string& path,
                             const http::Stop& stop) {
  return body_of(access, http::get(access.place, path, access.headers, kPatience, stop));
}

std::string text_of_page(const codec::Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return "";
  return safe_text(found->get_ref<const std::string&>(), false);
}

Result<std::string> post_order(const ServerAccess& access, const std::string& path) {
  return body_of(access, http::post(access.place, path, access.headers, kOrderPatience));
}

Result<std::string> post_order(const ServerAccess& access, const std::string& path,
                               std::string json) {
  return body_of(
      access, http::post_json(access.place, path, access.headers, std::move(json), kOrderPatience));
}

}  // namespace aioss::cli
