#include "runtime/records/records.h"

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "codec/hex.h"
#include "ledger/format/record.h"
#include "runtime/records/salts.h"

namespace aioss::runtime::records {
namespace {

using codec::Array;
using codec::Map;
using codec::Value;
namespace key = ledger::key;

Value bytes_of(std::string_view text) {
  return Value::bytes(as_bytes(text));
}
// For texts that came from outside: the ledger holds UTF-8 only.
Value text_of(std::string_view text) {
  return Value::text(replace_invalid_utf8(text));
}

// Of a clock that may say anything; before 1970 counts as 1970.
Value wall_time(std::int64_t wall_ns) {
  return Value::uint(static_cast<std::uint64_t>(std::max<std::int64_t>(wall_ns, 0)));
}

Value canonical_message(const ipc::ChatMessage& message) {
  Map map;
  map.set(0, bytes_of(message.role)).set(1, bytes_of(message.content));
  if (!message.name.empty()) map.set(2, bytes_of(message.name));
  return Value::map(std::move(map));
}

std::string escaped(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out;
}

Map sampler(const ipc::Submit& request) {
  const ipc::Sampling& s = request.sampling;
  Map map;
  map.set(key::sampler::kTemperature, Value::float_bits(s.temperature))
      .set(key::sampler::kTopK, Value::uint(s.top_k))
      .set(key::sampler::kTopP, Value::float_bits(s.top_p))
      .set(key::sampler::kMinP, Value::float_bits(s.min_p))
      .set(key::sampler::kRepetitionPenalty, Value::float_bits(s.repetition_penalty))
      .set(key::sampler::kFrequencyPenalty, Value::float_bits(s.frequency_penalty))
      .set(key::sampler::kPresencePenalty, Value::float_bits(s.presence_penalty))
      .set(key::sampler::kPenaltyWindow, Value::uint(s.penalty_window))
      .set(key::sampler::kIgnoreEos, Value::boolean(request.ignore_eos));
  if (!s.logit_bias.empty()) {
    Array pairs;
    for (const ipc::LogitBias& bias : s.logit_bias) {
      pairs.push_back(Value::uint(static_cast<std::uint32_t>(bias.token)));
      pairs.push_back(Value::float_bits(bias.bias));
    }
    map.set(key::sampler::kLogitBias, Value::array(std::move(pairs)));
  }
  if (request.logprobs) map.set(key::sampler::kTopLogprobs, Value::uint(request.top_logprobs));
  return map;
}

std::string_view abort_cause(const Error& error) {
  if (error.code == Code::kShuttingDown) return ledger::abort_cause::kShutdown;
  return info(error.code).name;
}

}  // namespace

Bytes canonical_prompt(const ipc::Prompt& prompt) {
  Map map;
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    map.set(0, Value::uint(0)).set(1, bytes_of(*text));
  } else if (const auto* chat = std::get_if<std::vector<ipc::ChatMessage>>(&prompt)) {
    Array messages;
    for (const ipc::ChatMessage& message : *chat) messages.push_back(canonical_message(message));
    map.set(0, Value::uint(1)).set(1, Value::array(std::move(messages)));
  } else {
    Array tokens;
    for (const ipc::Token token : std::get<std::vector<ipc::Token>>(prompt)) {
      tokens.push_back(Value::integer(token));
    }
    map.set(0, Value::uint(2)).set(1, Value::array(std::move(tokens)));
  }
  return codec::encode(std::move(map));
}

Bytes canonical_stops(const std::vector<std::string>& stops) {
  Array list;
  for (const std::string& stop : stops) list.push_back(bytes_of(stop));
  return codec::encode(Value::array(std::move(list)));
}

Configuration canonical_configuration(const GatewayOptions& options) {
  std::string files;
  for (const std::string& file : options.model_files) files += (files.empty() ? "" : ",") + file;
  std::string adapter_files;
  for (const std::string& file : options.adapter_files) {
    adapter_files += (adapter_files.empty() ? "" : ",") + file;
  }
  std::map<std::string, std::string> lines{
      {"models_dir", options.models_dir},
      {"model_files", files},
      {"adapter_files", adapter_files},
      {"profile", std::string(name(options.profile))},
      {"privacy", std::string(name(options.privacy))},
      {"parallel", std::to_string(options.parallel)},
      {"context_tokens", std::to_string(options.context_tokens)},
      {"threads", std::to_string(options.threads)},
      {"queue_requests_max", std::to_string(options.queue_requests_max)},
      {"spill_bytes", std::to_string(options.spill_bytes)},
      {"prefix_bytes", std::to_string(options.prefix_bytes)},
      {"prefix_disk_bytes",
       options.prefix_disk_bytes ? std::to_string(*options.prefix_disk_bytes) : "kept"},
      {"speculation", options.speculation ? "auto" : "off"},
      {"overcommit", options.overcommit ? "on" : "off"},
      {"kv_type", options.kv_type},
      {"device", options.device},
      {"tune", options.tune ? "auto" : "off"},
      {"prefill_chunk_tokens_max", std::to_string(options.prefill_chunk_tokens_max)},
      {"workers_max", std::to_string(options.workers_max)},
      {"memory_max", std::to_string(options.memory_max)},
      {"record_rate", std::to_string(options.record_rate)},
      {"record_burst", std::to_string(options.record_burst)},
      {"load_timeout_ms", std::to_string(options.load_timeout.count())}};
  for (const auto& [name, value] : options.configuration) lines.insert_or_assign(name, value);
  Configuration configuration;
  for (const auto& [name, value] : lines) {
    configuration.text += escaped(name) + "=" + escaped(value) + "\n";
    configuration.keys.push_back(name);
  }
  return configuration;
}

Map actor(const Principal& principal) {
  ledger::ActorKind kind = ledger::ActorKind::kUser;
  if (principal.role == Role::kOperator) kind = ledger::ActorKind::kOperator;
  if (principal.role == Role::kAuditor) kind = ledger::ActorKind::kAuditor;
  std::string source = principal.source.empty() ? "local" : principal.source;
  if (source.starts_with("unix:")) source = "unix";  // the user id behind it is the name
  if (!principal.address.empty()) source += "@" + principal.address;
  Map map;
  map.set(key::actor::kKind, Value::uint(static_cast<std::uint64_t>(kind)))
      .set(key::actor::kSource, text_of(source))
      .set(key::actor::kTenant, text_of(principal.tenant));
  const bool local = is_local(principal);
  if (local) map.set(key::actor::kName, Value::text(principal.user));
  if (!principal.subject.empty()) {
    map.set(local ? key::actor::kSubject : key::actor::kName, Value::text(principal.subject));
  }
  return map;
}

Map infer_request(const Request& request) {
  namespace own = key::infer_request;
  const ipc::Submit& submit = request.call.request;
  Map map;
  map.set(key::kActor, Value::map(actor(request.call.principal)))
      .set(key::kRequestId, Value::text(request.request_id))
      .set(own::kModelRef, Value::uint(request.model_ref))
      .set(own::kConfigRef, Value::uint(request.config_ref))
      .set(own::kEndpoint, text_of(request.call.endpoint))
      .set(own::kPromptCommitment, Value::bytes(request.prompt_commitment))
      .set(own::kPromptBytes, Value::uint(request.prompt_bytes))
      .set(own::kSeed, Value::uint(submit.sampling.seed))
      .set(own::kProfile, Value::text(name(request.profile)))
      .set(own::kSampler, Value::map(sampler(submit)))
      .set(own::kChoices, Value::uint(submit.choices))
      .set(own::kStopCount, Value::uint(submit.stop.size()))
      .set(own::kStreaming, Value::boolean(request.call.streaming));
  if (submit.tokens_max > 0) map.set(own::kMaxTokens, Value::uint(submit.tokens_max));
  if (request.stop_commitment) {
    map.set(own::kStopCommitment, Value::bytes(*request.stop_commitment));
  }
  if (request.adapters.empty()) return map;
  Array adapters;
  for (const LoadedAdapter& adapter : request.adapters) {
    Map entry;
    entry.set(key::adapter::kSha256, Value::bytes(adapter.use.adapter))
        .set(key::adapter::kScale, Value::float_bits(adapter.use.scale))
        .set(key::adapter::kName, text_of(adapter.name))
        .set(key::adapter::kLoadRef, Value::uint(adapter.load_record));
    adapters.push_back(Value::map(std::move(entry)));
  }
  map.set(own::kAdapters, Value::array(std::move(adapters)));
  return map;
}

void add_prompt_blob(Map& infer_request, const ledger::BlobName& blob) {
  infer_request.set(key::infer_request::kPromptBlob, Value::bytes(blob.hash))
      .set(key::infer_request::kPromptBlobBytes, Value::uint(blob.bytes));
}

Map infer_result(const std::string& request_id, std::uint64_t request_ref,
                 std::uint32_t prompt_tokens, const std::vector<Choice>& choices,
                 const Principal* owner) {
  Array list;
  for (const Choice& choice : choices) {
    Map entry;
    entry.set(key::choice::kOutputCommitment, Value::bytes(choice.output_commitment))
        .set(key::choice::kOutputBytes, Value::uint(choice.output_bytes))
        .set(key::choice::kCompletionTokens, Value::uint(choice.completion_tokens))
        .set(key::choice::kFinishReason, Value::text(name(choice.reason)))
        .set(key::choice::kQueueNs, Value::uint(choice.timings.queue_ns))
        .set(key::choice::kPrefillNs, Value::uint(choice.timings.prefill_ns))
        .set(key::choice::kDecodeNs, Value::uint(choice.timings.decode_ns));
    if (choice.blob) {
      entry.set(key::choice::kOutputBlob, Value::bytes(choice.blob->hash))
          .set(key::choice::kOutputBlobBytes, Value::uint(choice.blob->bytes));
    }
    list.push_back(Value::map(std::move(entry)));
  }
  Map map;
  map.set(key::kRequestId, Value::text(request_id))
      .set(key::kRefIndex, Value::uint(request_ref))
      .set(key::infer_result::kPromptTokens, Value::uint(prompt_tokens))
      .set(key::infer_result::kChoices, Value::array(std::move(list)));
  if (owner != nullptr) map.set(key::kActor, Value::map(actor(*owner)));
  return map;
}

Map infer_abort(const Abort& abort) {
  Map map;
  map.set(key::kRequestId, Value::text(abort.request_id))
      .set(key::infer_abort::kCause, Value::text(abort_cause(abort.error)));
  if (abort.request_ref) {
    map.set(key::kRefIndex, Value::uint(*abort.request_ref));
  } else {
    map.set(key::kActor, Value::map(actor(abort.call.principal)));
  }
  if (abort.tokens_so_far) {
    map.set(key::infer_abort::kTokensSoFar, Value::uint(*abort.tokens_so_far));
  }
  return map;
}

Map engine_start(const EngineStart& start) {
  namespace own = key::engine_start;
  Map map;
  map.set(own::kName, Value::text(start.engine.name))
      .set(own::kVersion, Value::text(start.engine.version))
      .set(own::kBuildId, Value::text(start.engine.build_id))
      .set(own::kCompiler, Value::text(start.engine.compiler))
      .set(own::kCpuFeatures, Value::text(start.engine.cpu_features))
      .set(own::kBinarySha3, Value::bytes(start.binary_sha3))
      .set(own::kProductVersion, Value::text(AIOSS_VERSION))
      .set(own::kCpuModel, text_of(start.cpu_model))
      .set(own::kProfile, Value::text(name(start.profile)))
      .set(own::kConfinement, text_of(start.confinement));
  if (start.engine_sha256 != Digest{}) map.set(own::kFileSha256, Value::bytes(start.engine_sha256));
  return map;
}

Map model_load(const ModelLoad& load) {
  namespace own = key::model_load;
  const ModelHash& hash = load.hash;
  const ipc::Ready& ready = load.ready;
  auto source = hash.cached ? ledger::HashSource::kCached : ledger::HashSource::kComputed;
  if (hash.sealed) source = ledger::HashSource::kSealed;
  Map map;
  map.set(own::kName, Value::text(load.name))
      .set(own::kSha256, Value::bytes(hash.sha256))
      .set(own::kHashSource, Value::uint(static_cast<std::uint64_t>(source)))
      .set(own::kFileBytes, Value::uint(load.file_bytes))
      .set(own::kArchitecture, Value::text(ready.architecture))
      .set(own::kProfile, Value::text(ipc::name(ready.profile)))
      .set(own::kStreams, Value::uint(ready.streams))
      .set(own::kCellsPerStream, Value::uint(ready.cells_per_stream))
      .set(own::kThreads, Value::uint(ready.threads))
      .set(own::kEngineStartRef, Value::uint(load.engine_ref))
      .set(own::kParameters, Value::uint(ready.parameter_count))
      .set(own::kDevice, Value::text(load.placement.device));
  const ipc::Layers& layers = load.placement.layers;
  if (layers.on_devices) map.set(own::kGpuLayers, Value::uint(*layers.on_devices));
  if (layers.experts_on_cpu > 0) {
    map.set(own::kCpuExpertLayers, Value::uint(layers.experts_on_cpu));
  }
  const Result<Bytes> chat_template = codec::from_hex(ready.chat_template_sha3);
  if (chat_template && chat_template->size() == std::tuple_size_v<Digest>) {
    map.set(own::kChatTemplateSha3, Value::bytes(*chat_template));
  }
  return map;
}

Map adapter_load(const AdapterLoad& load) {
  namespace own = key::model_load;
  Map map;
  map.set(own::kName, Value::text(load.name))
      .set(own::kSha256, Value::bytes(load.sha256))
      .set(own::kHashSource, Value::uint(static_cast<std::uint64_t>(ledger::HashSource::kSealed)))
      .set(own::kFileBytes, Value::uint(load.file_bytes))
      .set(own::kAdapterOf, Value::uint(load.model_ref))
      .set(own::kRank, Value::uint(load.rank));
  return map;
}

Map engine_stop(std::uint64_t start_ref, std::string_view reason) {
  Map map;
  map.set(key::kRefIndex, Value::uint(start_ref))
      .set(key::engine_stop::kReason, Value::text(reason));
  return map;
}

Map model_unload(std::uint64_t load_ref, std::string_view reason) {
  Map map;
  map.set(key::kRefIndex, Value::uint(load_ref))
      .set(key::model_unload::kReason, Value::text(reason));
  return map;
}

Map config_change(const ConfigChange& change) {
  Array list;
  for (const std::string& name : change.keys) list.push_back(text_of(name));
  Map map;
  map.set(key::config_change::kCommitment, Value::bytes(change.commitment.value))
      .set(key::config_change::kSalt, Value::bytes(change.commitment.salt))
      .set(key::config_change::kChangedKeys, Value::array(std::move(list)));
  if (change.previous_ref) {
    map.set(key::config_change::kPreviousRef, Value::uint(*change.previous_ref));
  }
  if (!change.reason.empty()) map.set(key::config_change::kReason, text_of(change.reason));
  return map;
}

Map auth(std::string_view reason, const Counted& counted) {
  namespace own = key::auth;
  Map map;
  map.set(own::kReason, Value::text(reason))
      .set(own::kCount, Value::uint(counted.count))
      .set(own::kFirstWallNs, wall_time(counted.first_wall_ns))
      .set(own::kLastWallNs, wall_time(counted.last_wall_ns));
  return map;
}

Map decision(const Decision& decision, const Counted& counted) {
  namespace own = key::decision;
  Map map;
  if (!decision.tenant.empty()) {
    Map actor;
    actor.set(key::actor::kKind, Value::uint(static_cast<std::uint64_t>(ledger::ActorKind::kUser)))
        .set(key::actor::kTenant, text_of(decision.tenant));
    map.set(key::kActor, Value::map(std::move(actor)));
  }
  map.set(own::kKind, Value::text(decision.kind))
      .set(own::kOutcome, Value::text(decision.outcome))
      .set(own::kReason, Value::text(decision.reason))
      .set(own::kCount, Value::uint(counted.count))
      .set(own::kFirstWallNs, wall_time(counted.first_wall_ns))
      .set(own::kLastWallNs, wall_time(counted.last_wall_ns));
  if (!decision.model.empty()) map.set(own::kModel, text_of(decision.model));
  Array details;
  for (const std::string& line : decision.details) {
    if (details.size() < kDecisionDetailsMax) details.push_back(text_of(line));
  }
  if (!details.empty()) map.set(own::kDetails, Value::array(std::move(details)));
  return map;
}

Map update(const ledger::Program& before, const Digest& binary_sha3) {
  namespace own = key::update;
  Map map;
  map.set(own::kBinaryBefore, Value::bytes(before.sha3))
      .set(own::kBinaryNow, Value::bytes(binary_sha3))
      .set(own::kVersionBefore, text_of(before.version))
      .set(own::kVersionNow, Value::text(AIOSS_VERSION));
  return map;
}

std::vector<Map> admin_action(const AdminAction& action, const std::vector<std::string>& details) {
  namespace own = key::admin_action;
  std::vector<Map> maps;
  std::size_t next = 0;
  do {
    Array list;
    while (next < details.size() && list.size() < kDetailsMax) {
      list.push_back(text_of(details[next++]));
    }
    Map map;
    if (action.by) map.set(key::kActor, Value::map(actor(*action.by)));
    if (action.ref) map.set(key::kRefIndex, Value::uint(*action.ref));
    map.set(own::kAction, Value::text(action.action))
        .set(own::kOutcome, Value::text(action.outcome))
        .set(own::kDetails, Value::array(std::move(list)));
    maps.push_back(std::move(map));
  } while (next < details.size());
  return maps;
}

Map human_review(const Review& review) {
  namespace own = key::human_review;
  Map map;
  map.set(key::kActor, Value::map(actor(review.by)))
      .set(key::kRefIndex, Value::uint(review.reviewed))
      .set(own::kVerdict, Value::text(review.verdict));
  if (!review.request_id.empty()) map.set(key::kRequestId, text_of(review.request_id));
  if (review.comment_commitment) {
    map.set(own::kCommentCommitment, Value::bytes(*review.comment_commitment))
        .set(own::kCommentBytes, Value::uint(review.comment_bytes));
  }
  return map;
}

}  // namespace aioss::runtime::records
