#include "api/openai/prompt.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>

#include "api/openai/rules.h"
#include "ipc/limits.h"

namespace aioss::api::openai {
namespace {

using namespace std::string_view_literals;

// What the clients' own message objects hold when they are sent back.
constexpr std::array kMessageFields{"role"sv,       "content"sv,       "name"sv,
                                    "refusal"sv,    "annotations"sv,   "audio"sv,
                                    "tool_calls"sv, "function_call"sv, "tool_call_id"sv};
constexpr std::array kPartFields{"type"sv, "text"sv};
constexpr std::array kRoles{"system"sv, "developer"sv, "user"sv, "assistant"sv};
constexpr std::size_t kPartsMax = 1024;  // of one message; a bound on work, far above any use

Error at(std::string where, std::string_view what, Code code = Code::kInvalidArgument) {
  std::string message = where + " " + std::string(what);
  return {code, std::move(message), std::move(where)};
}

// The text of one part of a message's content.
Result<std::string> parse_part(const Json& part, const std::string& where) {
  if (!part.is_object()) return at(where, "must be an object, not " + std::string(type_name(part)));
  const auto type = part.find("type");
  if (type == part.end() || !type->is_string()) return at(where + ".type", "is required");
  if (*type != "text")
    return at(where + ".type", "must be \"text\": no other kind of input is supported",
              Code::kUnsupported);
  AIOSS_CHECK(check_known(part, where + ".", kPartFields));
  Fields fields(part, where + ".");
  auto text = fields.text("text", ipc::kPromptBytesMax);
  if (!text.has_value()) fields.fail("text", "is required");
  AIOSS_CHECK(fields.finish());
  return std::move(*text);
}

// A string, or parts of text. Parts are lines of their own, as other servers join them.
Result<std::string> parse_content(const Json& message, const std::string& where) {
  const auto content = message.find("content");
  const std::string path = where + ".content";
  if (content == message.end() || content->is_null())
    return at(path, "is required: a string, or an array of text parts");
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array())
    return at(path, "must be a string or an array of text parts, not " +
                        std::string(type_name(*content)));
  if (content->empty() || content->size() > kPartsMax)
    return at(path, "must have from 1 to " + std::to_string(kPartsMax) + " parts");
  std::string joined;
  for (std::size_t i = 0; i < content->size(); ++i) {
    AIOSS_TRY(const std::string text,
              parse_part((*content)[i], path + "[" + std::to_string(i) + "]"));
    if (i > 0) joined += '\n';
    joined += text;
  }
  return joined;
}

bool asks_for_nothing(const Json& value) {
  return value.is_null() || (value.is_array() && value.empty());
}

Status refuse_tools(const Json& message, const std::string& where) {
  for (const std::string_view name : {"tool_calls"sv, "function_call"sv, "tool_call_id"sv,
                                      "audio"sv, "refusal"sv, "annotations"sv}) {
    const auto it = message.find(name);
    if (it == message.end() || asks_for_nothing(*it)) continue;
    return at(where + "." + std::string(name),
              "is not supported: a message may hold text only; leave it out", Code::kUnsupported);
  }
  return ok();
}

Result<ipc::ChatMessage> parse_message(const Json& value, const std::string& where) {
  if (!value.is_object())
    return at(where, "must be an object, not " + std::string(type_name(value)));
  AIOSS_CHECK(check_known(value, where + ".", kMessageFields));
  Fields fields(value, where + ".");
  ipc::ChatMessage message;
  message.role = fields.required_text("role", ipc::kRoleBytesMax);
  message.name = fields.text("name", ipc::kNameBytesMax).value_or("");
  AIOSS_CHECK(fields.finish());
  if (message.role == "tool" || message.role == "function")
    return at(where + ".role",
              "must not be \"" + message.role + "\": tool calls are not offered yet",
              Code::kUnsupported);
  if (std::find(kRoles.begin(), kRoles.end(), message.role) == kRoles.end())
    return at(where + ".role", "must be \"system\", \"developer\", \"user\" or \"assistant\"");
  AIOSS_CHECK(refuse_tools(value, where));
  AIOSS_TRY(message.content, parse_content(value, where));
  return message;
}

Result<std::vector<ipc::Token>> parse_tokens(const Json& array) {
  if (array.size() > ipc::kPromptTokensMax)
    return at("prompt", "must have at most " + std::to_string(ipc::kPromptTokensMax) + " tokens");
  std::vector<ipc::Token> tokens;
  tokens.reserve(array.size());
  for (std::size_t i = 0; i < array.size(); ++i) {
    const auto token = whole_number(array[i]);
    if (!token.has_value() || *token < 0 || *token > std::numeric_limits<ipc::Token>::max())
      return at("prompt[" + std::to_string(i) + "]", "must be a token id, not " + show(array[i]));
    tokens.push_back(static_cast<ipc::Token>(*token));
  }
  return tokens;
}

}  // namespace

Result<std::vector<ipc::ChatMessage>> parse_messages(const Json& body) {
  const auto array = body.find("messages");
  if (array == body.end() || array->is_null()) return at("messages", "is required");
  if (!array->is_array())
    return at("messages", "must be an array, not " + std::string(type_name(*array)));
  if (array->empty() || array->size() > ipc::kMessagesMax)
    return at("messages", "must hold from 1 to " + std::to_string(ipc::kMessagesMax) +
                              " messages, not " + std::to_string(array->size()));
  std::vector<ipc::ChatMessage> messages;
  messages.reserve(array->size());
  for (std::size_t i = 0; i < array->size(); ++i) {
    AIOSS_TRY(auto message, parse_message((*array)[i], "messages[" + std::to_string(i) + "]"));
    messages.push_back(std::move(message));
  }
  return messages;
}

Result<ipc::Prompt> parse_prompt(const Json& body) {
  const auto prompt = body.find("prompt");
  if (prompt == body.end() || prompt->is_null()) return at("prompt", "is required");
  if (prompt->is_string()) return ipc::Prompt(prompt->get<std::string>());
  if (!prompt->is_array() || prompt->empty())
    return at("prompt", "must be a string, an array of one string, or an array of token ids");
  const Json& first = (*prompt)[0];
  if (first.is_string() || first.is_array()) {
    if (prompt->size() > 1)
      return at("prompt", "must hold one prompt: send one request for each", Code::kUnsupported);
    if (first.is_string()) return ipc::Prompt(first.get<std::string>());
    if (first.empty()) return at("prompt", "must hold at least one token");
  }
  AIOSS_TRY(auto tokens, parse_tokens(first.is_array() ? first : *prompt));
  return ipc::Prompt(std::move(tokens));
}

}  // namespace aioss::api::openai
