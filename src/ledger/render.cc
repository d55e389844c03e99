#include "ledger/render.h"

#include <array>
#include <cstdio>
#include <span>
#include <utility>

#include "codec/hex.h"

namespace aioss::ledger {
namespace {

enum class As { kPlain, kFloat, kSampler, kActor, kChoices };

struct Name {
  RecordType type;
  std::uint64_t key;
  std::string_view name;
  As as = As::kPlain;
  bool in_line = false;  // shown by record_line
};

constexpr std::array kOwnNames = std::to_array<Name>({
    {RecordType::kGenesis, key::genesis::kOrigin, "origin", As::kPlain, true},
    {RecordType::kGenesis, key::genesis::kPublicKey, "public_key"},
    {RecordType::kGenesis, key::genesis::kFormatVersion, "format_version"},
    {RecordType::kGenesis, key::genesis::kProductVersion, "product_version", As::kPlain, true},
    {RecordType::kSegmentOpen, key::segment_open::kHeaderHash, "header_sha3"},
    {RecordType::kSegmentSeal, key::segment_seal::kSegmentRecords, "segment_records", As::kPlain,
     true},
    {RecordType::kSegmentSeal, key::segment_seal::kFileBytes, "file_bytes"},
    {RecordType::kSegmentSeal, key::segment_seal::kTreeSize, "tree_size"},
    {RecordType::kSegmentSeal, key::segment_seal::kRoot, "root"},
    {RecordType::kSegmentSeal, key::segment_seal::kFrontier, "frontier"},
    {RecordType::kSegmentSeal, key::segment_seal::kOldestOpen, "oldest_open"},
    {RecordType::kRecovery, key::recovery::kSegment, "segment", As::kPlain, true},
    {RecordType::kRecovery, key::recovery::kOffset, "offset", As::kPlain, true},
    {RecordType::kRecovery, key::recovery::kBytes, "bytes", As::kPlain, true},
    {RecordType::kRecovery, key::recovery::kQuarantineHash, "quarantine_sha3"},
    {RecordType::kRecovery, key::recovery::kCause, "cause", As::kPlain, true},
    {RecordType::kEngineStart, key::engine_start::kName, "engine", As::kPlain, true},
    {RecordType::kEngineStart, key::engine_start::kVersion, "version", As::kPlain, true},
    {RecordType::kEngineStart, key::engine_start::kBuildId, "build_id"},
    {RecordType::kEngineStart, key::engine_start::kCompiler, "compiler"},
    {RecordType::kEngineStart, key::engine_start::kCpuFeatures, "cpu_features"},
    {RecordType::kEngineStart, key::engine_start::kBinarySha3, "binary_sha3"},
    {RecordType::kEngineStart, key::engine_start::kProductVersion, "product_version"},
    {RecordType::kEngineStart, key::engine_start::kCpuModel, "cpu_model"},
    {RecordType::kEngineStart, key::engine_start::kProfile, "profile", As::kPlain, true},
    {RecordType::kEngineStart, key::engine_start::kConfinement, "confinement"},
    {RecordType::kEngineStop, key::engine_stop::kReason, "reason", As::kPlain, true},
    {RecordType::kModelLoad, key::model_load::kName, "model", As::kPlain, true},
    {RecordType::kModelLoad, key::model_load::kSha256, "sha256"},
    {RecordType::kModelLoad, key::model_load::kHashSource, "hash_source"},
    {RecordType::kModelLoad, key::model_load::kFileBytes, "file_bytes"},
    {RecordType::kModelLoad, key::model_load::kArchitecture, "architecture"},
    {RecordType::kModelLoad, key::model_load::kChatTemplateSha3, "chat_template_sha3"},
    {RecordType::kModelLoad, key::model_load::kProfile, "profile", As::kPlain, true},
    {RecordType::kModelLoad, key::model_load::kStreams, "streams"},
    {RecordType::kModelLoad, key::model_load::kCellsPerStream, "cells_per_stream"},
    {RecordType::kModelLoad, key::model_load::kThreads, "threads"},
    {RecordType::kModelLoad, key::model_load::kEngineStartRef, "engine_start"},
    {RecordType::kModelLoad, key::model_load::kParameters, "parameters"},
    {RecordType::kModelUnload, key::model_unload::kReason, "reason", As::kPlain, true},
    {RecordType::kConfigChange, key::config_change::kCommitment, "commitment"},
    {RecordType::kConfigChange, key::config_change::kChangedKeys, "changed_keys"},
    {RecordType::kConfigChange, key::config_change::kPreviousRef, "previous"},
    {RecordType::kConfigChange, key::config_change::kReason, "reason", As::kPlain, true},
    {RecordType::kInferRequest, key::infer_request::kModelRef, "model_load", As::kPlain, true},
    {RecordType::kInferRequest, key::infer_request::kConfigRef, "config"},
    {RecordType::kInferRequest, key::infer_request::kEndpoint, "endpoint", As::kPlain, true},
    {RecordType::kInferRequest, key::infer_request::kPromptCommitment, "prompt_commitment"},
    {RecordType::kInferRequest, key::infer_request::kPromptBytes, "prompt_bytes"},
    {RecordType::kInferRequest, key::infer_request::kSeed, "seed"},
    {RecordType::kInferRequest, key::infer_request::kProfile, "profile"},
    {RecordType::kInferRequest, key::infer_request::kSampler, "sampler", As::kSampler},
    {RecordType::kInferRequest, key::infer_request::kChoices, "choices"},
    {RecordType::kInferRequest, key::infer_request::kMaxTokens, "max_tokens"},
    {RecordType::kInferRequest, key::infer_request::kPromptTokens, "prompt_tokens", As::kPlain,
     true},
    {RecordType::kInferRequest, key::infer_request::kStopCount, "stop_count"},
    {RecordType::kInferRequest, key::infer_request::kStopCommitment, "stop_commitment"},
    {RecordType::kInferRequest, key::infer_request::kStreaming, "streaming"},
    {RecordType::kInferResult, key::infer_result::kPromptTokens, "prompt_tokens", As::kPlain, true},
    {RecordType::kInferResult, key::infer_result::kChoices, "choices", As::kChoices},
    {RecordType::kInferAbort, key::infer_abort::kCause, "cause", As::kPlain, true},
    {RecordType::kInferAbort, key::infer_abort::kTokensSoFar, "tokens_so_far", As::kPlain, true},
});

struct InnerName {
  std::uint64_t key;
  std::string_view name;
  As as = As::kPlain;
};

constexpr std::array kActorNames = std::to_array<InnerName>({
    {key::actor::kKind, "kind"},
    {key::actor::kName, "name"},
    {key::actor::kSource, "source"},
    {key::actor::kTenant, "tenant"},
});

constexpr std::array kSamplerNames = std::to_array<InnerName>({
    {key::sampler::kTemperature, "temperature", As::kFloat},
    {key::sampler::kTopK, "top_k"},
    {key::sampler::kTopP, "top_p", As::kFloat},
    {key::sampler::kMinP, "min_p", As::kFloat},
    {key::sampler::kRepetitionPenalty, "repetition_penalty", As::kFloat},
    {key::sampler::kFrequencyPenalty, "frequency_penalty", As::kFloat},
    {key::sampler::kPresencePenalty, "presence_penalty", As::kFloat},
    {key::sampler::kPenaltyWindow, "penalty_window"},
    {key::sampler::kLogitBias, "logit_bias_bits"},
    {key::sampler::kIgnoreEos, "ignore_eos"},
    {key::sampler::kTopLogprobs, "top_logprobs"},
});

constexpr std::array kChoiceNames = std::to_array<InnerName>({
    {key::choice::kOutputCommitment, "output_commitment"},
    {key::choice::kOutputBytes, "output_bytes"},
    {key::choice::kCompletionTokens, "completion_tokens"},
    {key::choice::kFinishReason, "finish_reason"},
    {key::choice::kQueueNs, "queue_ns"},
    {key::choice::kPrefillNs, "prefill_ns"},
    {key::choice::kDecodeNs, "decode_ns"},
});

constexpr std::array kCommonNames = std::to_array<InnerName>({
    {key::kWallNs, "wall_ns"},
    {key::kMonotonicNs, "monotonic_ns"},
    {key::kBootId, "boot_id"},
    {key::kInstanceId, "instance_id"},
    {key::kActor, "actor", As::kActor},
    {key::kRequestId, "request_id"},
    {key::kRefIndex, "ref"},
});

const Name* own_name(RecordType type, std::uint64_t number) {
  for (const Name& name : kOwnNames) {
    if (name.type == type && name.key == number) return &name;
  }
  return nullptr;
}

const InnerName* inner_name(std::span<const InnerName> names, std::uint64_t number) {
  for (const InnerName& name : names) {
    if (name.key == number) return &name;
  }
  return nullptr;
}

codec::OrderedJson value_json(const codec::Value& value, As as);

codec::OrderedJson map_json(const codec::Map& map, std::span<const InnerName> names) {
  codec::OrderedJson out = codec::OrderedJson::object();
  for (const auto& [number, value] : map.entries()) {
    const InnerName* name = inner_name(names, number);
    const std::string label = name ? std::string(name->name) : std::to_string(number);
    out[label] = value_json(value, name ? name->as : As::kPlain);
  }
  return out;
}

// The decoder bounds the depth (codec::kCborDepthMax), and so the recursion.
codec::OrderedJson value_json(const codec::Value& value, As as) {
  if (const auto* number = value.if_uint()) {
    if (as == As::kFloat) return codec::float_from_bits(*number);
    return *number;
  }
  if (const auto* text = value.if_text()) return *text;
  if (const auto* bytes = value.if_bytes()) return codec::to_hex(*bytes);
  if (const auto* flag = value.if_bool()) return *flag;
  if (const auto* map = value.if_map()) {
    if (as == As::kSampler) return map_json(*map, kSamplerNames);
    if (as == As::kActor) return map_json(*map, kActorNames);
    if (as == As::kChoices) return map_json(*map, kChoiceNames);
    return map_json(*map, {});
  }
  if (const auto* array = value.if_array()) {
    codec::OrderedJson out = codec::OrderedJson::array();
    for (const codec::Value& item : *array) out.push_back(value_json(item, as));
    return out;
  }
  return std::get<std::int64_t>(value.storage());
}

}  // namespace

std::vector<RecordField> record_fields(const Record& record) {
  std::vector<RecordField> fields;
  for (const auto& [number, value] : record.body.entries()) {
    if (number < key::kOwnFirst) {
      const InnerName* name = inner_name(kCommonNames, number);
      const bool in_line = number == key::kRequestId || number == key::kRefIndex;
      fields.push_back({number, name ? std::string(name->name) : std::to_string(number),
                        value_json(value, name ? name->as : As::kPlain), in_line});
      continue;
    }
    const Name* name = own_name(record.type, number);
    fields.push_back({number, name ? std::string(name->name) : std::to_string(number),
                      value_json(value, name ? name->as : As::kPlain), name && name->in_line});
  }
  return fields;
}

std::string record_type_name(RecordType type) {
  if (const auto known = name(type)) return std::string(*known);
  return "type " + std::to_string(static_cast<unsigned>(type));
}

codec::OrderedJson record_json(const Record& record) {
  codec::OrderedJson out;
  out["index"] = record.index;
  out["type"] = record_type_name(record.type);
  out["flags"] = record.flags;
  out["leaf"] = codec::to_hex(record.leaf);
  out["chain"] = codec::to_hex(record.chain);
  codec::OrderedJson body = codec::OrderedJson::object();
  for (RecordField& field : record_fields(record)) body[field.label] = std::move(field.value);
  out["body"] = std::move(body);
  return out;
}

std::string record_json_line(const Record& record) {
  return codec::dump_json(record_json(record)) + "\n";
}

namespace {

// RFC 3339 with nanoseconds, "2026-03-01T12:30:05.000000001Z"; "" before 1970 and after 9999.
std::string exact_time(std::uint64_t wall_ns) {
  constexpr std::uint64_t kNsPerS = 1'000'000'000;
  const std::uint64_t seconds = wall_ns / kNsPerS;
  const std::uint64_t days = seconds / 86'400;
  // The civil calendar of a day count, in eras of 400 years that begin on 1 March.
  const std::uint64_t shifted = days + 719'468;
  const std::uint64_t era = shifted / 146'097;
  const std::uint64_t day_of_era = shifted % 146'097;
  const std::uint64_t year_of_era =
      (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const std::uint64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::uint64_t month_from_march = (5 * day_of_year + 2) / 153;
  const std::uint64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  const std::uint64_t year = era * 400 + year_of_era + (month <= 2 ? 1 : 0);
  if (year > 9'999) return "";
  const std::uint64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%04u-%02u-%02uT%02u:%02u:%02u.%09uZ",
                static_cast<unsigned>(year), static_cast<unsigned>(month),
                static_cast<unsigned>(day), static_cast<unsigned>(seconds / 3'600 % 24),
                static_cast<unsigned>(seconds / 60 % 60), static_cast<unsigned>(seconds % 60),
                static_cast<unsigned>(wall_ns % kNsPerS));
  return text.data();
}

// RFC 4180: quotes around what needs them, doubled inside. A spreadsheet takes a cell that begins
// with one of =+-@ for a formula; texts of records come from outside.
std::string csv_cell(const std::string& text) {
  const bool formula = !text.empty() && std::string_view("=+-@\t\r").find(text[0]) !=
                                            std::string_view::npos;
  if (!formula && text.find_first_of("\",\r\n") == std::string::npos) return text;
  std::string out = formula ? "\"'" : "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

std::string text_at(const codec::Map& map, std::uint64_t key) {
  const codec::Value* const value = map.find(key);
  if (value == nullptr) return "";
  if (const auto* text = value->if_text()) return csv_cell(*text);
  if (const auto* number = value->if_uint()) return std::to_string(*number);
  return csv_cell(codec::dump_json(value_json(*value, As::kPlain)));
}

}  // namespace

std::string csv_head() {
  return "index,time,type,tenant,actor,source,request_id,ref,leaf,details\r\n";
}

std::string record_csv_line(const Record& record) {
  const codec::Value* const actor_value = record.body.find(key::kActor);
  const codec::Map* const actor_map = actor_value ? actor_value->if_map() : nullptr;
  const codec::Map actor = actor_map ? *actor_map : codec::Map();
  const codec::Value* const wall = record.body.find(key::kWallNs);
  codec::OrderedJson details = codec::OrderedJson::object();
  for (RecordField& field : record_fields(record)) {
    if (field.key >= key::kOwnFirst) details[field.label] = std::move(field.value);
  }
  std::string out = std::to_string(record.index);
  const auto cell = [&out](const std::string& text) { out += ',' + text; };
  cell(wall && wall->if_uint() ? exact_time(*wall->if_uint()) : "");
  cell(record_type_name(record.type));
  cell(text_at(actor, key::actor::kTenant));
  cell(text_at(actor, key::actor::kName));
  cell(text_at(actor, key::actor::kSource));
  cell(text_at(record.body, key::kRequestId));
  cell(text_at(record.body, key::kRefIndex));
  cell(codec::to_hex(record.leaf));
  cell(csv_cell(codec::dump_json(details)));
  return out + "\r\n";
}

}  // namespace aioss::ledger
