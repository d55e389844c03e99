#include "api/openai/rules.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "base/suggest.h"

namespace aioss::api::openai {
namespace {

bool is_text(const Json& value) {
  return value.is_string();
}
bool is_boolean(const Json& value) {
  return value.is_boolean();
}
bool is_object(const Json& value) {
  return value.is_object();
}
bool is_false(const Json& value) {
  return value.is_boolean() && !value.get<bool>();
}
bool is_empty_array(const Json& value) {
  return value.is_array() && value.empty();
}
bool is_empty_text(const Json& value) {
  return value.is_string() && value == "";
}
bool is_none(const Json& value) {
  return value.is_string() && value == "none";
}
bool is_medium(const Json& value) {
  return value.is_string() && value == "medium";
}
bool never(const Json& value) {
  return value.is_null();
}

bool is_text_format(const Json& value) {
  return value.is_object() && value.size() == 1 && value.contains("type") &&
         value["type"] == "text";
}

bool is_text_only(const Json& value) {
  return value.is_array() && value.size() == 1 && value[0] == "text";
}

constexpr std::string_view kText = "must be a string";
constexpr std::string_view kBoolean = "must be true or false";
constexpr std::string_view kObject = "must be an object";
constexpr std::string_view kNoTools =
    "is not supported: tool calls are not offered yet; leave it out";

constexpr bool kYes = true;
constexpr bool kNo = false;
using enum Treatment;

// name, chat, completions, treatment, accepts, explanation; in the order of docs/api.md.
constexpr std::array kRules{
    FieldRule{"model", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"messages", kYes, kNo, kUsed, nullptr, ""},
    FieldRule{"prompt", kNo, kYes, kUsed, nullptr, ""},
    FieldRule{"max_tokens", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"max_completion_tokens", kYes, kNo, kUsed, nullptr, ""},
    FieldRule{"temperature", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"top_p", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"n", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"stop", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"stream", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"stream_options", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"seed", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"logprobs", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"top_logprobs", kYes, kNo, kUsed, nullptr, ""},
    FieldRule{"logit_bias", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"frequency_penalty", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"presence_penalty", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"top_k", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"min_p", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"repetition_penalty", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"ignore_eos", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"service_tier", kYes, kNo, kUsed, nullptr, ""},
    FieldRule{"best_of", kNo, kYes, kUsed, nullptr, ""},
    FieldRule{"keep_alive", kYes, kYes, kUsed, nullptr, ""},
    FieldRule{"lora", kYes, kYes, kUsed, nullptr, ""},

    FieldRule{"user", kYes, kYes, kIgnored, is_text, kText},
    FieldRule{"safety_identifier", kYes, kNo, kIgnored, is_text, kText},
    FieldRule{"prompt_cache_key", kYes, kNo, kIgnored, is_text, kText},
    FieldRule{"prompt_cache_retention", kYes, kNo, kIgnored, is_text, kText},
    FieldRule{"prompt_cache_options", kYes, kNo, kIgnored, is_object, kObject},
    FieldRule{"metadata", kYes, kNo, kIgnored, is_object, kObject},
    FieldRule{"parallel_tool_calls", kYes, kNo, kIgnored, is_boolean, kBoolean},

    FieldRule{"store", kYes, kNo, kRefused, is_false,
              "must be false: answers are not stored for later retrieval"},
    FieldRule{"echo", kNo, kYes, kRefused, is_false,
              "must be false: the prompt is not repeated in the answer"},
    FieldRule{"suffix", kNo, kYes, kRefused, is_empty_text,
              "is not supported: text is not inserted between two parts; leave it out"},
    FieldRule{"tools", kYes, kNo, kRefused, is_empty_array, kNoTools},
    FieldRule{"tool_choice", kYes, kNo, kRefused, is_none, kNoTools},
    FieldRule{"functions", kYes, kNo, kRefused, is_empty_array, kNoTools},
    FieldRule{"function_call", kYes, kNo, kRefused, is_none, kNoTools},
    FieldRule{"response_format", kYes, kNo, kRefused, is_text_format,
              "must be {\"type\":\"text\"}: structured output is not offered yet"},
    FieldRule{"modalities", kYes, kNo, kRefused, is_text_only,
              "must be [\"text\"]: no other kind of output is offered"},
    FieldRule{"audio", kYes, kNo, kRefused, never,
              "is not supported: only text is produced; leave it out"},
    FieldRule{"prediction", kYes, kNo, kRefused, never,
              "is not supported: predicted outputs are not offered; leave it out"},
    FieldRule{"reasoning_effort", kYes, kNo, kRefused, is_none,
              "must be \"none\": the effort of a model cannot be set here"},
    FieldRule{"verbosity", kYes, kNo, kRefused, is_medium,
              "must be \"medium\": ask for the length of the answer in the prompt"},
    FieldRule{"moderation", kYes, kNo, kRefused, never,
              "is not supported: no moderation model runs here; leave it out"},
    FieldRule{"web_search_options", kYes, kNo, kRefused, never,
              "is not supported: this server has no network; leave it out"},
};

bool applies(const FieldRule& rule, Endpoint endpoint) {
  return endpoint == Endpoint::kChat ? rule.chat : rule.completion;
}

Error unknown_field(const std::string& name, Endpoint endpoint) {
  const std::string shown = show_name(name);
  std::string message = "unknown field '" + shown + "'";
  std::vector<std::string> candidates;
  for (const FieldRule& rule : kRules) {
    if (applies(rule, endpoint)) candidates.emplace_back(rule.name);
    if (rule.name == name) {
      message += endpoint == Endpoint::kChat ? "; it belongs to /v1/completions"
                                             : "; it belongs to /v1/chat/completions";
      return {Code::kInvalidArgument, std::move(message), shown};
    }
  }
  return {Code::kInvalidArgument, message + did_you_mean(name, candidates), shown};
}

Status check_field(const FieldRule& rule, const Json& value) {
  if (rule.treatment == kUsed || value.is_null() || rule.accepts(value)) return ok();
  const Code code = rule.treatment == kIgnored ? Code::kInvalidArgument : Code::kUnsupported;
  const std::string name(rule.name);
  return Error{code, name + " " + std::string(rule.explanation), name};
}

}  // namespace

std::span<const FieldRule> field_rules() {
  return kRules;
}

Status check_fields(const Json& object, Endpoint endpoint) {
  for (auto it = object.begin(); it != object.end(); ++it) {
    const auto rule = std::find_if(kRules.begin(), kRules.end(), [&](const FieldRule& candidate) {
      return candidate.name == it.key() && applies(candidate, endpoint);
    });
    if (rule == kRules.end()) return unknown_field(it.key(), endpoint);
    AIOSS_CHECK(check_field(*rule, it.value()));
  }
  return ok();
}

Status check_known(const Json& object, std::string_view prefix,
                   std::span<const std::string_view> known) {
  for (auto it = object.begin(); it != object.end(); ++it) {
    if (std::find(known.begin(), known.end(), it.key()) != known.end()) continue;
    std::string shown = std::string(prefix) + show_name(it.key());
    std::string message = "unknown field '" + shown + "'";
    message += did_you_mean(it.key(), std::vector<std::string>(known.begin(), known.end()));
    return Error{Code::kInvalidArgument, std::move(message), std::move(shown)};
  }
  return ok();
}

}  // namespace aioss::api::openai
