#include "runtime/records/opened_request.h"

#include <utility>

#include "codec/cbor.h"

namespace aioss::runtime {
namespace {

enum class Kind : std::uint64_t { kText = 0, kChat = 1, kTokens = 2 };

Error not_a_prompt() {
  return {Code::kCorrupt, "what was sealed is not a prompt"};
}

Result<std::string> text_at(const codec::Map& map, std::uint64_t key) {
  AIOSS_TRY(const Bytes bytes, map.get_bytes(key, "text"));
  return std::string(as_text(bytes));
}

Result<codec::OrderedJson> message_json(const codec::Value& value) {
  const codec::Map* const map = value.if_map();
  if (map == nullptr) return not_a_prompt();
  codec::OrderedJson out;
  AIOSS_TRY(out["role"], text_at(*map, 0));
  AIOSS_TRY(out["content"], text_at(*map, 1));
  if (map->find(2) != nullptr) {
    AIOSS_TRY(out["name"], text_at(*map, 2));
  }
  return out;
}

std::string prompt_text(const codec::OrderedJson& prompt) {
  if (prompt.contains("text")) return prompt["text"].get<std::string>() + "\n";
  if (prompt.contains("tokens")) return codec::dump_json(prompt["tokens"]) + "\n";
  std::string out;
  for (const codec::OrderedJson& message : prompt["messages"]) {
    out += message["role"].get<std::string>() + ": " + message["content"].get<std::string>() + "\n";
  }
  return out;
}

}  // namespace

Result<codec::OrderedJson> prompt_json(ByteView canonical) {
  AIOSS_TRY(const codec::Map map, codec::decode_map(canonical));
  AIOSS_TRY(const std::uint64_t kind, map.get_uint(0, "kind"));
  codec::OrderedJson out;
  if (kind == static_cast<std::uint64_t>(Kind::kText)) {
    out["kind"] = "text";
    AIOSS_TRY(out["text"], text_at(map, 1));
    return out;
  }
  AIOSS_TRY(const codec::Array* items, map.get_array(1, "items"));
  if (kind == static_cast<std::uint64_t>(Kind::kChat)) {
    out["kind"] = "chat";
    out["messages"] = codec::OrderedJson::array();
    for (const codec::Value& item : *items) {
      AIOSS_TRY(codec::OrderedJson message, message_json(item));
      out["messages"].push_back(std::move(message));
    }
    return out;
  }
  if (kind != static_cast<std::uint64_t>(Kind::kTokens)) return not_a_prompt();
  out["kind"] = "tokens";
  out["tokens"] = codec::OrderedJson::array();
  for (const codec::Value& item : *items) {
    const std::uint64_t* const token = item.if_uint();
    if (token == nullptr) return not_a_prompt();
    out["tokens"].push_back(*token);
  }
  return out;
}

Result<codec::OrderedJson> opened_json(const ledger::OpenedRequest& opened) {
  codec::OrderedJson out;
  out["request_id"] = opened.request_id;
  out["request_record"] = opened.request_record;
  if (opened.result_record) out["result_record"] = *opened.result_record;
  out["access_record"] = opened.access_record;
  AIOSS_TRY(out["prompt"], prompt_json(opened.prompt));
  out["outputs"] = opened.outputs;
  return out;
}

Result<std::string> opened_text(const ledger::OpenedRequest& opened) {
  AIOSS_TRY(const codec::OrderedJson prompt, prompt_json(opened.prompt));
  std::string out = "--- prompt\n" + prompt_text(prompt);
  for (std::size_t i = 0; i < opened.outputs.size(); ++i) {
    out += "--- answer " + std::to_string(i + 1) + "\n" + opened.outputs[i] + "\n";
  }
  return out;
}

}  // namespace aioss::runtime
