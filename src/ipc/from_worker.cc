// Frames from a worker to the gateway: kinds from 101, so that a frame that went the wrong way is
// refused by its kind.
#include <algorithm>

#include "ipc/fields.h"
#include "ipc/limits.h"
#include "ipc/messages.h"

namespace aioss::ipc {
namespace {

using detail::Array;
using detail::bytes_value;
using detail::digest_value;
using detail::error_value;
using detail::FieldReader;
using detail::Map;
using detail::text_value;
using detail::tokens_value;
using detail::Value;

constexpr std::uint32_t kRequestsMax = kQueueRequestsMax * kChoicesMax;
constexpr float kTokensPerSecondMax = 1e12F;

enum Kind : std::uint64_t {
  kHello = 101,
  kLoadProgress,
  kReady,
  kLoadFailed,
  kAccepted,
  kRejected,
  kDelta,
  kFinished,
  kStats,
  kPong,
  kProbeReport,
  kAdapterReport = 132,  // 130 and 131 go the other way
  kParked = 142,         // likewise 140 and 141
};

Map message(Kind kind) {
  Map map;
  map.set(0, Value::uint(kind));
  return map;
}

Map to_map(const Hello& m) {
  Map map = message(kHello);
  map.set(1, Value::uint(m.protocol_version));
  map.set(2, Value::uint(m.engine_abi_version));
  map.set(3, text_value(m.binary_version, kFactBytesMax));
  map.set(4, text_value(m.confinement, kFactBytesMax));
  return map;
}

Result<FromWorker> read_hello(FieldReader& reader) {
  Hello m;
  m.protocol_version = reader.u32(1, UINT32_MAX);
  m.engine_abi_version = reader.u32(2, UINT32_MAX);
  m.binary_version = reader.text(3, kFactBytesMax);
  m.confinement = reader.text(4, kFactBytesMax);
  AIOSS_CHECK(reader.finish());
  return FromWorker{std::move(m)};
}

Map to_map(const LoadProgress& m) {
  Map map = message(kLoadProgress);
  map.set(1, Value::float_bits(m.fraction));
  return map;
}

Result<FromWorker> read_load_progress(FieldReader& reader) {
  const LoadProgress m{reader.real(1, 0, 1)};
  AIOSS_CHECK(reader.finish());
  return FromWorker{m};
}

Map to_map(const Ready& m) {
  Map engine;
  engine.set(0, text_value(m.engine.name, kFactBytesMax));
  engine.set(1, text_value(m.engine.version, kFactBytesMax));
  engine.set(2, text_value(m.engine.build_id, kFactBytesMax));
  engine.set(3, text_value(m.engine.compiler, kFactBytesMax));
  engine.set(4, text_value(m.engine.cpu_features, kFactBytesMax));
  Map map = message(kReady);
  map.set(1, Value::map(std::move(engine)));
  map.set(2, text_value(m.architecture, kFactBytesMax));
  map.set(3, text_value(m.description, kFactBytesMax));
  map.set(4, Value::uint(m.parameter_count));
  map.set(5, Value::uint(m.weight_bytes));
  map.set(6, Value::uint(m.vocabulary_size));
  map.set(7, Value::uint(m.context_tokens_train));
  map.set(8, Value::boolean(m.has_chat_template));
  map.set(9, text_value(m.chat_template_sha3, kNameBytesMax));
  map.set(10, Value::uint(static_cast<std::uint64_t>(m.profile)));
  map.set(11, Value::uint(m.streams));
  map.set(12, Value::uint(m.cells_per_stream));
  map.set(13, Value::uint(m.threads));
  return map;
}

Result<FromWorker> read_ready(FieldReader& reader) {
  Ready m;
  FieldReader engine(reader.map(1), "Ready.engine");
  m.engine.name = engine.text(0, kFactBytesMax);
  m.engine.version = engine.text(1, kFactBytesMax);
  m.engine.build_id = engine.text(2, kFactBytesMax);
  m.engine.compiler = engine.text(3, kFactBytesMax);
  m.engine.cpu_features = engine.text(4, kFactBytesMax);
  (void)engine.finish();
  reader.adopt(engine);
  m.architecture = reader.text(2, kFactBytesMax);
  m.description = reader.text(3, kFactBytesMax);
  m.parameter_count = reader.u64(4);
  m.weight_bytes = reader.u64(5);
  m.vocabulary_size = reader.u32(6, kVocabularyMax);
  m.context_tokens_train = reader.u32(7, UINT32_MAX);
  m.has_chat_template = reader.boolean(8);
  m.chat_template_sha3 = reader.text(9, kNameBytesMax);
  m.profile = static_cast<Profile>(reader.u32(10, 2));
  m.streams = static_cast<std::uint32_t>(reader.uint(11, 1, kStreamsMax));
  m.cells_per_stream = static_cast<std::uint32_t>(reader.uint(12, 1, kCellsMax));
  m.threads = reader.u32(13, kThreadsMax);
  AIOSS_CHECK(reader.finish());
  return FromWorker{std::move(m)};
}

Map to_map(const LoadFailed& m) {
  Map map = message(kLoadFailed);
  map.set(1, error_value(m.error));
  return map;
}

Result<FromWorker> read_load_failed(FieldReader& reader) {
  LoadFailed m{reader.error(1)};
  AIOSS_CHECK(reader.finish());
  return FromWorker{std::move(m)};
}

Map to_map(const Accepted& m) {
  Map map = message(kAccepted);
  map.set(1, Value::uint(m.id));
  map.set(2, Value::uint(m.prompt_tokens));
  map.set(3, Value::uint(m.queue_position));
  return map;
}

Result<FromWorker> read_accepted(FieldReader& reader) {
  Accepted m;
  m.id = reader.u64(1);
  m.prompt_tokens = reader.u32(2, kCellsMax);
  m.queue_position = reader.u32(3, kQueueRequestsMax);
  AIOSS_CHECK(reader.finish());
  return FromWorker{m};
}

Map to_map(const Rejected& m) {
  Map map = message(kRejected);
  map.set(1, Value::uint(m.id));
  map.set(2, error_value(m.error));
  return map;
}

Result<FromWorker> read_rejected(FieldReader& reader) {
  const std::uint64_t id = reader.u64(1);
  Rejected m{id, reader.error(2)};
  AIOSS_CHECK(reader.finish());
  return FromWorker{std::move(m)};
}

Value to_value(const TokenLogprob& logprob) {
  Array top;
  top.reserve(logprob.top.size());
  for (const TokenLogprob::Top& entry : logprob.top) {
    Map map;
    map.set(0, Value::uint(static_cast<std::uint32_t>(entry.token)));
    map.set(1, bytes_value(entry.text, kTokenTextBytesMax));
    map.set(2, Value::float_bits(entry.logprob));
    top.push_back(Value::map(std::move(map)));
  }
  Map map;
  map.set(0, Value::uint(static_cast<std::uint32_t>(logprob.token)));
  map.set(1, bytes_value(logprob.text, kTokenTextBytesMax));
  map.set(2, Value::float_bits(logprob.logprob));
  map.set(3, Value::array(std::move(top)));
  return Value::map(std::move(map));
}

TokenLogprob read_logprob(FieldReader& outer, const Value& value) {
  FieldReader reader(outer.as_map(value), "Delta.logprobs");
  TokenLogprob logprob;
  logprob.token = reader.token(0);
  logprob.text = reader.bytes(1, kTokenTextBytesMax);
  logprob.logprob = reader.real(2, kLogprobMin, 0);
  for (const Value& item : reader.array(3, kTopLogprobsMax)) {
    FieldReader entry(reader.as_map(item), "Delta.logprobs.top");
    TokenLogprob::Top top;
    top.token = entry.token(0);
    top.text = entry.bytes(1, kTokenTextBytesMax);
    top.logprob = entry.real(2, kLogprobMin, 0);
    (void)entry.finish();
    reader.adopt(entry);
    logprob.top.push_back(std::move(top));
  }
  (void)reader.finish();
  outer.adopt(reader);
  return logprob;
}

Map to_map(const Delta& m) {
  Map map = message(kDelta);
  map.set(1, Value::uint(m.id));
  map.set(2, Value::uint(m.choice));
  map.set(3, text_value(m.text, kDeltaTextBytesMax));
  map.set(4, tokens_value(m.tokens));
  Array logprobs;
  logprobs.reserve(m.logprobs.size());
  for (const TokenLogprob& logprob : m.logprobs) logprobs.push_back(to_value(logprob));
  map.set(5, Value::array(std::move(logprobs)));
  return map;
}

Result<FromWorker> read_delta(FieldReader& reader) {
  Delta m;
  m.id = reader.u64(1);
  m.choice = reader.u32(2, kChoicesMax - 1);
  m.text = reader.text(3, kDeltaTextBytesMax);
  m.tokens = reader.tokens(4, kDeltaTokensMax);
  for (const Value& value : reader.array(5, kDeltaTokensMax)) {
    m.logprobs.push_back(read_logprob(reader, value));
    if (reader.failed()) break;
  }
  if (!m.logprobs.empty() && m.logprobs.size() != m.tokens.size()) {
    reader.fail(5, "is not one entry for each token");
  }
  AIOSS_CHECK(reader.finish());
  return FromWorker{std::move(m)};
}

Map to_map(const Finished& m) {
  Map map = message(kFinished);
  map.set(1, Value::uint(m.id));
  map.set(2, Value::uint(m.choice));
  map.set(3, Value::uint(static_cast<std::uint64_t>(m.reason)));
  map.set(4, Value::uint(m.prompt_tokens));
  map.set(5, Value::uint(m.completion_tokens));
  map.set(6, Value::uint(m.timings.queue_ns));
  map.set(7, Value::uint(m.timings.prefill_ns));
  map.set(8, Value::uint(m.timings.decode_ns));
  if (m.error) map.set(9, error_value(*m.error));
  map.set(30, Value::uint(m.cached_tokens));
  return map;
}

Result<FromWorker> read_finished(FieldReader& reader) {
  Finished m;
  m.id = reader.u64(1);
  m.choice = reader.u32(2, kChoicesMax - 1);
  m.reason = static_cast<FinishReason>(reader.u32(3, 3));
  m.prompt_tokens = reader.u32(4, kCellsMax);
  m.completion_tokens = reader.u32(5, kCellsMax);
  m.timings.queue_ns = reader.uint(6, 0, INT64_MAX);
  m.timings.prefill_ns = reader.uint(7, 0, INT64_MAX);
  m.timings.decode_ns = reader.uint(8, 0, INT64_MAX);
  if (reader.has(9)) m.error = reader.error(9);
  m.cached_tokens = reader.u32(30, m.prompt_tokens);
  if (m.error.has_value() != (m.reason == FinishReason::kError)) {
    reader.fail(9, "an error is there exactly if the reason is \"error\"");
  }
  AIOSS_CHECK(reader.finish());
  return FromWorker{std::move(m)};
}

Map to_map(const Stats& m) {
  Map map = message(kStats);
  map.set(1, Value::uint(m.running));
  map.set(2, Value::uint(m.queued));
  map.set(3, Value::uint(m.steps));
  map.set(4, Value::uint(m.prompt_tokens));
  map.set(5, Value::uint(m.completion_tokens));
  map.set(6, Value::uint(m.parked));
  map.set(7, Value::uint(m.spilled));
  map.set(8, Value::uint(m.spilled_bytes));
  map.set(30, Value::uint(m.prefixes));
  map.set(31, Value::uint(m.prefix_bytes));
  map.set(32, Value::uint(m.cached_tokens));
  map.set(40, Value::uint(m.waiting_batch));
  map.set(41, Value::uint(m.preempted));
  map.set(42, Value::float_bits(m.tokens_per_second));
  map.set(43, Value::uint(m.decode_step_ns));
  map.set(44, Value::uint(m.chunk_ns));
  if (m.wait_seconds) map.set(45, Value::uint(std::min(*m.wait_seconds, kWaitSecondsMax)));
  Array tenants;
  for (const TenantLoad& load : m.tenants) {
    if (tenants.size() == kStatsTenantsMax) break;
    Map entry;
    entry.set(0, Value::uint(load.tenant)).set(1, Value::uint(load.waiting));
    entry.set(2, Value::uint(load.running)).set(3, Value::uint(load.tokens));
    tenants.push_back(Value::map(std::move(entry)));
  }
  map.set(46, Value::array(std::move(tenants)));
  map.set(60, Value::uint(m.drafted_tokens));
  map.set(61, Value::uint(m.accepted_tokens));
  return map;
}

std::vector<TenantLoad> read_tenants(FieldReader& outer) {
  std::vector<TenantLoad> tenants;
  for (const Value& value : outer.array(46, kStatsTenantsMax)) {
    FieldReader entry(outer.as_map(value), "Stats.tenants");
    tenants.push_back(
        {entry.u64(0), entry.u32(1, kRequestsMax), entry.u32(2, kRequestsMax), entry.u64(3)});
    (void)entry.finish();
    outer.adopt(entry);
  }
  return tenants;
}

Result<FromWorker> read_stats(FieldReader& reader) {
  Stats m;
  m.running = reader.u32(1, kStreamsMax);
  m.queued = reader.u32(2, kRequestsMax);
  m.steps = reader.u64(3);
  m.prompt_tokens = reader.u64(4);
  m.completion_tokens = reader.u64(5);
  m.parked = reader.u32(6, kStreamsMax);
  m.spilled = reader.u32(7, kRequestsMax);
  m.spilled_bytes = reader.u64(8);
  m.prefixes = reader.u32(30, kPrefixesMax);
  m.waiting_batch = reader.u32(40, kRequestsMax);
  m.preempted = reader.u64(41);
  m.tokens_per_second = reader.real(42, 0, kTokensPerSecondMax);
  m.decode_step_ns = reader.uint(43, 0, INT64_MAX);
  m.chunk_ns = reader.uint(44, 0, INT64_MAX);
  if (reader.has(45)) m.wait_seconds = reader.u32(45, kWaitSecondsMax);
  m.tenants = read_tenants(reader);
  m.prefix_bytes = reader.u64(31);
  m.cached_tokens = reader.u64(32);
  m.drafted_tokens = reader.u64(60);
  m.accepted_tokens = reader.u64(61);
  if (m.accepted_tokens > m.drafted_tokens) reader.fail(61, "is more than was drafted");
  AIOSS_CHECK(reader.finish());
  return FromWorker{std::move(m)};
}

Map to_map(const Parked&) {
  return message(kParked);
}

Map to_map(const Pong& m) {
  Map map = message(kPong);
  map.set(1, Value::uint(m.nonce));
  map.set(2, Value::boolean(m.engine_hangs));
  return map;
}

Result<FromWorker> read_pong(FieldReader& reader) {
  const Pong m{reader.u64(1), reader.boolean(2)};
  AIOSS_CHECK(reader.finish());
  return FromWorker{m};
}

Map to_map(const ProbeReport& m) {
  Array items;
  for (const ProbeReport::Item& item : m.items) {
    if (items.size() == kProbeItemsMax) break;
    Map entry;
    entry.set(0, text_value(item.attempt, kFactBytesMax));
    entry.set(1, Value::boolean(item.refused));
    entry.set(2, text_value(item.detail, kFactBytesMax));
    items.push_back(Value::map(std::move(entry)));
  }
  Map map = message(kProbeReport);
  map.set(1, Value::array(std::move(items)));
  return map;
}

Result<FromWorker> read_probe_report(FieldReader& reader) {
  ProbeReport m;
  for (const Value& value : reader.array(1, kProbeItemsMax)) {
    FieldReader entry(reader.as_map(value), "ProbeReport.items");
    ProbeReport::Item item;
    item.attempt = entry.text(0, kFactBytesMax);
    item.refused = entry.boolean(1);
    item.detail = entry.text(2, kFactBytesMax);
    (void)entry.finish();
    reader.adopt(entry);
    m.items.push_back(std::move(item));
  }
  AIOSS_CHECK(reader.finish());
  return FromWorker{std::move(m)};
}

Map to_map(const AdapterReport& m) {
  Map map = message(kAdapterReport);
  map.set(1, digest_value(m.adapter));
  map.set(2, Value::boolean(m.loaded));
  map.set(3, Value::uint(m.bytes));
  map.set(4, Value::uint(m.compute_bytes));
  map.set(5, Value::uint(m.rank));
  map.set(6, text_value(m.name, kFactBytesMax));
  if (m.error) map.set(7, error_value(*m.error));
  return map;
}

Result<FromWorker> read_adapter_report(FieldReader& reader) {
  AdapterReport m;
  m.adapter = reader.digest(1);
  m.loaded = reader.boolean(2);
  m.bytes = reader.uint(3, 0, INT64_MAX);
  m.compute_bytes = reader.uint(4, 0, INT64_MAX);
  m.rank = reader.u32(5, UINT32_MAX);
  m.name = reader.text(6, kFactBytesMax);
  if (reader.has(7)) m.error = reader.error(7);
  AIOSS_CHECK(reader.finish());
  return FromWorker{std::move(m)};
}

}  // namespace

Bytes encode(const FromWorker& message) {
  return codec::encode(std::visit([](const auto& m) { return to_map(m); }, message));
}

Result<FromWorker> decode_from_worker(ByteView frame) {
  if (frame.size() > kFrameFromWorkerBytesMax) {
    return Error{Code::kCorrupt, "a frame from a worker has " + std::to_string(frame.size()) +
                                     " bytes; at most " + std::to_string(kFrameFromWorkerBytesMax) +
                                     " make sense"};
  }
  AIOSS_TRY(const Map map, codec::decode_map(frame));
  FieldReader reader(map, "from worker");
  switch (reader.uint(0, kHello, kParked)) {
    case kHello:
      return read_hello(reader);
    case kLoadProgress:
      return read_load_progress(reader);
    case kReady:
      return read_ready(reader);
    case kLoadFailed:
      return read_load_failed(reader);
    case kAccepted:
      return read_accepted(reader);
    case kRejected:
      return read_rejected(reader);
    case kDelta:
      return read_delta(reader);
    case kFinished:
      return read_finished(reader);
    case kStats:
      return read_stats(reader);
    case kPong:
      return read_pong(reader);
    case kProbeReport:
      return read_probe_report(reader);
    case kAdapterReport:
      return read_adapter_report(reader);
    case kParked:
      AIOSS_CHECK(reader.finish());
      return FromWorker{Parked{}};
    default:
      reader.fail(0, "there is no such message");
      return reader.finish().error();
  }
}

}  // namespace aioss::ipc
