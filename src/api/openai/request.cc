#include "api/openai/request.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <string>
#include <utility>

#include "api/openai/fields.h"
#include "api/openai/prompt.h"
#include "base/duration.h"
#include "base/suggest.h"
#include "codec/json.h"
#include "ipc/limits.h"

namespace aioss::api::openai {
namespace {

using namespace std::string_view_literals;

constexpr double kTemperatureMax = 2;  // OpenAI's range; the engine would take more
constexpr std::array kAdapterFields{"name"sv, "scale"sv};
constexpr std::array kStreamOptions{"include_usage"sv, "include_obfuscation"sv};

constexpr std::array kTiers{"auto"sv, "default"sv, "flex"sv, "priority"sv, "scale"sv};

constexpr NumberRange kTemperature{0, kTemperatureMax};
constexpr NumberRange kTopP{0, 1, true};
constexpr NumberRange kMinP{0, 1};
constexpr NumberRange kPenalty{-ipc::kPenaltyMax, ipc::kPenaltyMax};
constexpr NumberRange kBias{-ipc::kBiasMax, ipc::kBiasMax};
// In whole hundredths, so that the message shows the bound as a person writes it.
constexpr NumberRange kRepetitionPenalty{0.01, 100};

// A token is a node; this is twice the longest context in use, and 4 MiB of memory.
constexpr std::size_t kNodesMax = std::size_t{1} << 18;

Result<Json> parse_body(std::string_view body) {
  codec::JsonLimits limits;
  limits.depth_max = kJsonDepthMax;
  limits.nodes_max = kNodesMax;
  AIOSS_TRY(Json json, codec::parse_json(body, limits));
  if (!json.is_object())
    return Error{Code::kInvalidArgument,
                 "the body must be a JSON object, not " + std::string(type_name(json))};
  return json;
}

void read_sampling(Fields& fields, ipc::Sampling& out) {
  const auto real = [&](std::string_view name, const NumberRange& range, float fallback) {
    const auto value =
        static_cast<float>(fields.number(name, range, static_cast<double>(fallback)));
    // A tiny double may round down onto a bound that is excluded.
    const bool on_bound = range.low_excluded && static_cast<double>(value) <= range.low;
    return on_bound ? std::numeric_limits<float>::min() : value;
  };
  out.temperature = real("temperature", kTemperature, out.temperature);
  out.top_p = real("top_p", kTopP, out.top_p);
  out.min_p = real("min_p", kMinP, out.min_p);
  out.frequency_penalty = real("frequency_penalty", kPenalty, out.frequency_penalty);
  out.presence_penalty = real("presence_penalty", kPenalty, out.presence_penalty);
  out.repetition_penalty = real("repetition_penalty", kRepetitionPenalty, out.repetition_penalty);
  // −1 is another way to write "off".
  const std::int64_t top_k =
      fields.integer("top_k", -1, std::numeric_limits<std::int32_t>::max(), 0);
  out.top_k = top_k < 0 ? 0 : static_cast<std::uint32_t>(top_k);
}

// "1234" as a token id. JSON has no other keys than strings.
std::optional<ipc::Token> token_from_key(std::string_view key) {
  ipc::Token token = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
  if (error != std::errc() || end != key.data() + key.size() || token < 0) return std::nullopt;
  return token;
}

void read_logit_bias(Fields& fields, ipc::Sampling& out) {
  const Json* map = fields.find("logit_bias");
  if (map == nullptr || fields.failed()) return;
  if (!map->is_object())
    return fields.fail("logit_bias", "must be an object of token ids and biases, not " +
                                         std::string(type_name(*map)));
  if (map->size() > ipc::kLogitBiasMax)
    return fields.fail("logit_bias",
                       "must have at most " + std::to_string(ipc::kLogitBiasMax) + " entries");
  Fields entries(*map, fields.path("logit_bias") + ".");
  for (auto it = map->begin(); it != map->end(); ++it) {
    const auto token = token_from_key(it.key());
    if (!token.has_value())
      return fields.fail("logit_bias",
                         "must have token ids as keys, not '" + show_name(it.key()) + "'");
    if (it.value().is_null()) continue;
    out.logit_bias.push_back({*token, static_cast<float>(entries.number(it.key(), kBias, 0))});
  }
  if (Status status = entries.finish(); !status.has_value()) fields.fail(std::move(status).error());
}

void add_stop(Fields& fields, const Json& value, std::vector<std::string>& out) {
  if (!value.is_string())
    return fields.fail("stop", "must be a string or an array of strings, and holds " +
                                   std::string(type_name(value)));
  const auto& text = value.get_ref<const std::string&>();
  if (text.empty() || text.size() > ipc::kStopBytesMax)
    return fields.fail("stop", "must hold strings of 1 to " + std::to_string(ipc::kStopBytesMax) +
                                   " bytes, not " + std::to_string(text.size()));
  out.push_back(text);
}

void read_stop(Fields& fields, std::vector<std::string>& out) {
  const Json* stop = fields.find("stop");
  if (stop == nullptr || fields.failed()) return;
  if (!stop->is_array()) return add_stop(fields, *stop, out);
  if (stop->size() > ipc::kStopsMax)
    return fields.fail("stop", "must hold at most " + std::to_string(ipc::kStopsMax) +
                                   " strings, not " + std::to_string(stop->size()));
  for (const Json& value : *stop) add_stop(fields, value, out);
}

// Any whole number of 64 bits, with or without a sign, so that a seed we reported can be sent back.
void read_seed(Fields& fields, ParsedRequest& out) {
  const Json* seed = fields.find("seed");
  if (seed == nullptr || fields.failed()) return;
  out.seed_given = true;
  if (seed->is_number_unsigned()) {
    out.submit.sampling.seed = seed->get<std::uint64_t>();
    return;
  }
  const auto whole = whole_number(*seed);
  if (whole.has_value()) {
    out.submit.sampling.seed = static_cast<std::uint64_t>(*whole);
    return;
  }
  if (!seed->is_number())
    return fields.fail("seed", "must be an integer, not " + std::string(type_name(*seed)));
  fields.fail("seed", "must be a whole number of at most 64 bits, not " + show(*seed));
}

void read_stream(Fields& fields, ParsedRequest& out) {
  out.stream = fields.boolean("stream", false);
  const Json* options = fields.find("stream_options");
  if (options == nullptr || fields.failed()) return;
  if (!out.stream) return fields.fail("stream_options", "needs \"stream\": true");
  if (!options->is_object())
    return fields.fail("stream_options",
                       "must be an object, not " + std::string(type_name(*options)));
  if (Status known = check_known(*options, "stream_options.", kStreamOptions); !known.has_value())
    return fields.fail(std::move(known).error());
  Fields inner(*options, "stream_options.");
  out.include_usage = inner.boolean("include_usage", false);
  inner.boolean("include_obfuscation", false);
  if (Status status = inner.finish(); !status.has_value()) fields.fail(std::move(status).error());
}

// `max_tokens` and its newer name. Absent: the rest of the context.
void read_tokens_max(Fields& fields, ParsedRequest& out) {
  constexpr std::int64_t kHigh = ipc::kTokensMaxMax;
  const std::int64_t old_name = fields.integer("max_tokens", 1, kHigh, 0);
  out.submit.tokens_max = static_cast<std::uint32_t>(old_name);
  if (out.endpoint != Endpoint::kChat) return;
  const std::int64_t tokens = fields.integer("max_completion_tokens", 1, kHigh, 0);
  if (old_name != 0 && tokens != 0 && old_name != tokens)
    return fields.fail("max_tokens", "differs from max_completion_tokens; give one of them");
  if (tokens != 0) out.submit.tokens_max = static_cast<std::uint32_t>(tokens);
}

// OpenAI's slower and cheaper tier is our batch; between the others there is no difference here.
void read_service_tier(Fields& fields, ipc::Submit& out) {
  constexpr std::size_t kTierBytesMax = 32;
  const auto tier = fields.text("service_tier", kTierBytesMax);
  if (!tier.has_value() || fields.failed()) return;
  if (std::find(kTiers.begin(), kTiers.end(), *tier) == kTiers.end())
    return fields.fail("service_tier", "must be auto, default, flex, priority or scale");
  if (*tier == "flex") out.priority = ipc::Priority::kBatch;
}

// As Ollama has it: a number of seconds, or a text such as "5m"; 0 is "not at all", a negative one
// "for ever".
void read_keep_alive(Fields& fields, ParsedRequest& out) {
  constexpr std::size_t kBytesMax = 32;
  const Json* value = fields.find("keep_alive");
  if (value == nullptr || fields.failed()) return;
  const auto whole = whole_number(*value);
  const auto text = value->is_string() ? fields.text("keep_alive", kBytesMax) : std::nullopt;
  if (whole.has_value()) out.keep_alive = parse_duration(std::to_string(*whole));
  if (text.has_value()) out.keep_alive = parse_duration(*text);
  if (fields.failed() || out.keep_alive.has_value()) return;
  fields.fail("keep_alive",
              "must be a number of seconds or a duration such as \"5m\" or \"1h30m\", of at most "
              "366 days; 0 unloads the model after use, -1 keeps it");
}

// [{"name": "pirate", "scale": 0.5}, …]: adapters of the catalogue, not numbers as elsewhere.
void read_adapters(Fields& fields, ParsedRequest& out) {
  constexpr NumberRange kScale{static_cast<double>(-ipc::kAdapterScaleMax),
                               static_cast<double>(ipc::kAdapterScaleMax)};
  const Json* list = fields.find("lora");
  if (list == nullptr || fields.failed()) return;
  if (!list->is_array())
    return fields.fail("lora", "must be an array of objects with \"name\" and \"scale\", not " +
                                   std::string(type_name(*list)));
  if (list->size() > ipc::kAdaptersMax)
    return fields.fail("lora", "must hold at most " + std::to_string(ipc::kAdaptersMax) +
                                   " adapters, not " + std::to_string(list->size()));
  for (std::size_t i = 0; i < list->size(); ++i) {
    const Json& one = (*list)[i];
    const std::string place = "lora[" + std::to_string(i) + "]";
    if (!one.is_object())
      return fields.fail(place, "must be an object, not " + std::string(type_name(one)));
    if (Status known = check_known(one, place + ".", kAdapterFields); !known.has_value())
      return fields.fail(std::move(known).error());
    Fields inner(one, place + ".");
    runtime::AdapterWish wish;
    wish.name = inner.required_text("name", kModelNameBytesMax);
    wish.scale = static_cast<float>(inner.number("scale", kScale, 1));
    if (Status status = inner.finish(); !status.has_value())
      return fields.fail(std::move(status).error());
    out.adapters.push_back(std::move(wish));
  }
}

void read_chat_logprobs(Fields& fields, ipc::Submit& out) {
  out.logprobs = fields.boolean("logprobs", false);
  const bool given = fields.find("top_logprobs") != nullptr;
  out.top_logprobs =
      static_cast<std::uint32_t>(fields.integer("top_logprobs", 0, ipc::kTopLogprobsMax, 0));
  if (given && out.top_logprobs > 0 && !out.logprobs)
    fields.fail("top_logprobs", "needs \"logprobs\": true");
}

void read_completion_logprobs(Fields& fields, ipc::Submit& out) {
  out.logprobs = fields.find("logprobs") != nullptr;
  out.top_logprobs =
      static_cast<std::uint32_t>(fields.integer("logprobs", 0, ipc::kTopLogprobsMax, 0));
}

// All but the prompt and what only one endpoint knows.
void read_common(Fields& fields, ParsedRequest& out) {
  out.model = fields.required_text("model", kModelNameBytesMax);
  read_sampling(fields, out.submit.sampling);
  read_logit_bias(fields, out.submit.sampling);
  read_stop(fields, out.submit.stop);
  read_seed(fields, out);
  read_stream(fields, out);
  read_tokens_max(fields, out);
  out.submit.choices = static_cast<std::uint32_t>(fields.integer("n", 1, ipc::kChoicesMax, 1));
  out.submit.ignore_eos = fields.boolean("ignore_eos", false);
  read_keep_alive(fields, out);
  read_adapters(fields, out);
}

}  // namespace

Result<ParsedRequest> parse_chat(std::string_view body) {
  AIOSS_TRY(const Json json, parse_body(body));
  AIOSS_CHECK(check_fields(json, Endpoint::kChat));
  ParsedRequest out;
  out.endpoint = Endpoint::kChat;
  Fields fields(json, "");
  read_common(fields, out);
  read_chat_logprobs(fields, out.submit);
  read_service_tier(fields, out.submit);
  AIOSS_CHECK(fields.finish());
  AIOSS_TRY(out.submit.prompt, parse_messages(json));
  return out;
}

Result<ParsedRequest> parse_completion(std::string_view body) {
  AIOSS_TRY(const Json json, parse_body(body));
  AIOSS_CHECK(check_fields(json, Endpoint::kCompletion));
  ParsedRequest out;
  out.endpoint = Endpoint::kCompletion;
  Fields fields(json, "");
  read_common(fields, out);
  read_completion_logprobs(fields, out.submit);
  const auto best_of = fields.integer("best_of", 1, ipc::kChoicesMax, out.submit.choices);
  if (best_of != static_cast<std::int64_t>(out.submit.choices))
    fields.fail("best_of", "must equal n: answers are not ranked and dropped");
  AIOSS_CHECK(fields.finish());
  AIOSS_TRY(out.submit.prompt, parse_prompt(json));
  return out;
}

}  // namespace aioss::api::openai
