#include "cli/record_view.h"

#include <array>
#include <cstdio>

#include "cli/term.h"
#include "codec/hex.h"

namespace aioss::cli {
namespace {

using ledger::RecordType;
namespace key = ledger::key;

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
    {RecordType::kInferRequest, key::infer_request::kPromptBlob, "prompt_blob"},
    {RecordType::kInferRequest, key::infer_request::kPromptBlobBytes, "prompt_blob_bytes"},
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
    {key::actor::kSubject, "subject"},
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
    {key::choice::kOutputBlob, "output_blob"},
    {key::choice::kOutputBlobBytes, "output_blob_bytes"},
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

struct FieldView {
  std::string label;
  codec::OrderedJson value;
  bool in_line = false;
};

std::vector<FieldView> fields_of(const ledger::Record& record) {
  std::vector<FieldView> fields;
  for (const auto& [number, value] : record.body.entries()) {
    if (number < key::kOwnFirst) {
      const InnerName* name = inner_name(kCommonNames, number);
      const bool in_line = number == key::kRequestId || number == key::kRefIndex;
      fields.push_back({name ? std::string(name->name) : std::to_string(number),
                        value_json(value, name ? name->as : As::kPlain), in_line});
      continue;
    }
    const Name* name = own_name(record.type, number);
    fields.push_back({name ? std::string(name->name) : std::to_string(number),
                      value_json(value, name ? name->as : As::kPlain), name && name->in_line});
  }
  return fields;
}

std::string shown(const codec::OrderedJson& value) {
  const auto* text = value.get_ptr<const codec::OrderedJson::string_t*>();
  return safe_text(text ? *text : codec::dump_json(value), false);
}

std::int64_t wall_ns(const ledger::Record& record) {
  const codec::Value* value = record.body.find(key::kWallNs);
  const std::uint64_t* number = value ? value->if_uint() : nullptr;
  return number ? static_cast<std::int64_t>(*number) : 0;
}

constexpr std::int64_t kNsPerS = 1'000'000'000;

}  // namespace

std::string record_type_name(RecordType type) {
  if (const auto known = ledger::name(type)) return std::string(*known);
  return "type " + std::to_string(static_cast<unsigned>(type));
}

codec::OrderedJson record_json(const ledger::Record& record) {
  codec::OrderedJson out;
  out["index"] = record.index;
  out["type"] = record_type_name(record.type);
  out["flags"] = record.flags;
  out["leaf"] = codec::to_hex(record.leaf);
  out["chain"] = codec::to_hex(record.chain);
  codec::OrderedJson body = codec::OrderedJson::object();
  for (FieldView& field : fields_of(record)) body[field.label] = std::move(field.value);
  out["body"] = std::move(body);
  return out;
}

std::string record_line(const ledger::Record& record, bool color) {
  std::array<char, 24> index{};
  std::snprintf(index.data(), index.size(), "%8llu", static_cast<unsigned long long>(record.index));
  std::string type = record_type_name(record.type);
  constexpr std::size_t kTypeColumns = 14;
  if (type.size() < kTypeColumns) type.resize(kTypeColumns, ' ');
  std::string out = std::string(index.data()) + "  " +
                    paint(utc_time(wall_ns(record) / kNsPerS), Color::kDim, color) + "  " +
                    paint(type, Color::kBold, color);
  for (const FieldView& field : fields_of(record)) {
    if (!field.in_line) continue;
    out += "  " + paint(field.label + "=", Color::kDim, color) + shown(field.value);
  }
  return out + "\n";
}

std::string record_text(const ledger::Record& record, bool color) {
  std::vector<std::pair<std::string, std::string>> rows{
      {"index", std::to_string(record.index)},       {"type", record_type_name(record.type)},
      {"time", utc_time(wall_ns(record) / kNsPerS)}, {"leaf", codec::to_hex(record.leaf)},
      {"chain", codec::to_hex(record.chain)},
  };
  for (const FieldView& field : fields_of(record)) {
    rows.emplace_back(field.label, shown(field.value));
  }
  std::size_t width = 0;
  for (const auto& row : rows) width = std::max(width, row.first.size());
  std::string out;
  for (const auto& [label, value] : rows) {
    out += paint(label, Color::kDim, color);
    out.append(width + 2 - label.size(), ' ');
    out += value + "\n";
  }
  return out;
}

}  // namespace aioss::cli
