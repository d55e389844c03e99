#include "api/openai/logprobs.h"

#include <algorithm>
#include <utility>

#include "api/openai/json_text.h"
#include "codec/utf8.h"

namespace aioss::api::openai {
namespace {

void append_bytes(std::string& out, std::string_view bytes) {
  out += '[';
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) out += ',';
    append_unsigned(out, static_cast<unsigned char>(bytes[i]));
  }
  out += ']';
}

// The three members that a token and each alternative have.
void append_members(std::string& out, std::string_view text, float logprob) {
  out += "{\"token\":";
  append_string(out, token_text(text));
  out += ",\"logprob\":";
  append_logprob(out, logprob);
  out += ",\"bytes\":";
  append_bytes(out, text);
}

// Of a completion, a token that is part of a character is written "bytes:\xNN".
std::string completion_text(std::string_view bytes) {
  return codec::is_utf8(bytes) ? std::string(bytes) : "bytes:" + token_text(bytes);
}

std::uint64_t characters(std::string_view text) {
  return static_cast<std::uint64_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;  // not a continuation byte
  }));
}

}  // namespace

std::string token_text(std::string_view bytes) {
  if (codec::is_utf8(bytes)) return std::string(bytes);
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += "\\x";
    text += kHex[byte >> 4];
    text += kHex[byte & 0xF];
  }
  return text;
}

void LogprobText::add(const ipc::TokenLogprob& token) {
  if (endpoint_ == Endpoint::kChat) {
    add_chat(token);
  } else {
    add_completion(token);
  }
  empty_ = false;
}

void LogprobText::next(std::string& list) const {
  if (!empty_) list += ',';
}

void LogprobText::add_chat(const ipc::TokenLogprob& token) {
  next(tokens_);
  append_members(tokens_, token.text, token.logprob);
  tokens_ += ",\"top_logprobs\":[";
  for (std::size_t i = 0; i < token.top.size(); ++i) {
    if (i > 0) tokens_ += ',';
    append_members(tokens_, token.top[i].text, token.top[i].logprob);
    tokens_ += '}';
  }
  tokens_ += "]}";
}

void LogprobText::add_completion(const ipc::TokenLogprob& token) {
  next(tokens_);
  const std::string text = completion_text(token.text);
  append_string(tokens_, text);
  next(logprobs_);
  append_logprob(logprobs_, token.logprob);
  next(offsets_);
  append_unsigned(offsets_, characters_);
  characters_ += characters(token.text);

  // An object by text, so each text once: the chosen token, then the likeliest of each other text.
  next(tops_);
  std::vector<std::string> seen{text};
  tops_ += '{';
  append_string(tops_, text);
  tops_ += ':';
  append_logprob(tops_, token.logprob);
  for (const auto& top : token.top) {
    std::string other = completion_text(top.text);
    if (std::find(seen.begin(), seen.end(), other) != seen.end()) continue;
    tops_ += ',';
    append_string(tops_, other);
    tops_ += ':';
    append_logprob(tops_, top.logprob);
    seen.push_back(std::move(other));
  }
  tops_ += '}';
}

void LogprobText::take(std::string& out) {
  if (endpoint_ == Endpoint::kChat) {
    out += "{\"content\":[" + tokens_ + "],\"refusal\":null}";
  } else {
    out += "{\"tokens\":[" + tokens_ + "],\"token_logprobs\":[" + logprobs_ +
           "],\"top_logprobs\":[" + tops_ + "],\"text_offset\":[" + offsets_ + "]}";
  }
  tokens_.clear();
  logprobs_.clear();
  tops_.clear();
  offsets_.clear();
  empty_ = true;
}

std::size_t LogprobText::bytes() const {
  return tokens_.size() + logprobs_.size() + tops_.size() + offsets_.size();
}

}  // namespace aioss::api::openai
