// Frames from the gateway to a worker.
#include "ipc/fields.h"
#include "ipc/limits.h"
#include "ipc/messages.h"

namespace aioss::ipc {
namespace {

using detail::Array;
using detail::digest_value;
using detail::FieldReader;
using detail::Map;
using detail::read_layers;
using detail::text_value;
using detail::tokens_value;
using detail::Value;
using detail::write_layers;

enum OrderKind : std::uint64_t {
  kConfigure = 1,
  kSubmit = 2,
  kCancel = 3,
  kPing = 4,
  kProbe = 5,
  kShutdown = 6,
  kCredit = 7,
  kForget = 8,
  kTakeOver = 110,
  kLoadAdapter = 130,
  kUnloadAdapter = 131,
  kPark = 140,
  kWake = 141,
};
enum PromptKind : std::uint64_t { kText = 0, kChat = 1, kTokens = 2 };

Map order(OrderKind kind) {
  Map map;
  map.set(0, Value::uint(kind));
  return map;
}

Map to_map(const Configure& m, OrderKind kind = kConfigure) {
  Map map = order(kind);
  map.set(1, Value::uint(m.protocol_version));
  map.set(2, text_value(m.engine, kNameBytesMax));
  map.set(3, Value::uint(static_cast<std::uint64_t>(m.profile)));
  map.set(4, Value::uint(m.streams));
  map.set(5, Value::uint(m.cells_per_stream));
  map.set(6, Value::uint(m.threads));
  map.set(7, Value::uint(m.queue_requests_max));
  map.set(8, Value::uint(m.prefill_chunk_tokens_max));
  map.set(9, Value::uint(m.spill_bytes_max));
  map.set(40, Value::boolean(m.overcommit));
  map.set(60, Value::boolean(m.speculation));
  map.set(70, text_value(m.kv_type, kKvTypeBytesMax));
  map.set(110, Value::boolean(m.prefixes_later));
  map.set(180, text_value(m.device, kDeviceBytesMax));
  write_layers(m.layers, map, 181, 182);
  map.set(190, Value::uint(m.threads_batch));
  map.set(191, Value::uint(m.micro_batch_tokens_max));
  map.set(192, Value::uint(static_cast<std::uint64_t>(m.flash_attention)));
  return map;
}

Result<Configure> read_configure(FieldReader& reader) {
  Configure m;
  m.protocol_version = reader.u32(1, UINT32_MAX);
  m.engine = reader.text(2, kNameBytesMax);
  m.profile = static_cast<Profile>(reader.u32(3, 2));
  m.streams = reader.u32(4, kStreamsMax);
  m.cells_per_stream = reader.u32(5, kCellsMax);
  m.threads = reader.u32(6, kThreadsMax);
  m.queue_requests_max = reader.u32(7, kQueueRequestsMax);
  m.prefill_chunk_tokens_max = reader.u32(8, kPrefillChunkMax);
  m.spill_bytes_max = reader.u64(9);
  m.overcommit = reader.boolean(40);
  m.speculation = reader.boolean(60);
  m.kv_type = reader.text(70, kKvTypeBytesMax);
  m.prefixes_later = reader.boolean(110);
  m.device = reader.text(180, kDeviceBytesMax);
  m.layers = read_layers(reader, 181, 182);
  m.threads_batch = reader.u32(190, kThreadsMax);
  m.micro_batch_tokens_max = reader.u32(191, kPrefillChunkMax);
  m.flash_attention = static_cast<FlashAttention>(reader.u32(192, 2));
  AIOSS_CHECK(reader.finish());
  return m;
}

Value to_value(const Prompt& prompt) {
  Map map;
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    map.set(0, Value::uint(kText)).set(1, text_value(*text, kPromptBytesMax));
  } else if (const auto* chat = std::get_if<std::vector<ChatMessage>>(&prompt)) {
    Array messages;
    messages.reserve(chat->size());
    for (const ChatMessage& m : *chat) {
      Map entry;
      entry.set(0, text_value(m.role, kRoleBytesMax));
      entry.set(1, text_value(m.content, kPromptBytesMax));
      entry.set(2, text_value(m.name, kNameBytesMax));
      messages.push_back(Value::map(std::move(entry)));
    }
    map.set(0, Value::uint(kChat)).set(1, Value::array(std::move(messages)));
  } else {
    map.set(0, Value::uint(kTokens)).set(1, tokens_value(std::get<std::vector<Token>>(prompt)));
  }
  return Value::map(std::move(map));
}

std::vector<ChatMessage> read_chat(FieldReader& reader) {
  std::vector<ChatMessage> chat;
  std::size_t bytes = 0;
  for (const Value& value : reader.array(1, kMessagesMax)) {
    FieldReader entry(reader.as_map(value), "Submit.messages");
    ChatMessage m{entry.text(0, kRoleBytesMax), entry.text(1, kPromptBytesMax),
                  entry.text(2, kNameBytesMax)};
    (void)entry.finish();
    reader.adopt(entry);
    bytes += m.role.size() + m.content.size() + m.name.size();
    if (bytes > kPromptBytesMax) reader.fail(1, "the messages are longer than 4 MiB together");
    if (reader.failed()) return {};
    chat.push_back(std::move(m));
  }
  return chat;
}

Prompt read_prompt(FieldReader& outer) {
  FieldReader reader(outer.map(2), "Submit.prompt");
  Prompt prompt;
  switch (reader.uint(0, 0, 2)) {
    case kText:
      prompt = reader.text(1, kPromptBytesMax);
      break;
    case kChat:
      prompt = read_chat(reader);
      break;
    default:
      prompt = reader.tokens(1, kPromptTokensMax);
      break;
  }
  (void)reader.finish();
  outer.adopt(reader);
  return prompt;
}

Value to_value(const Sampling& s) {
  Map map;
  map.set(0, Value::float_bits(s.temperature));
  map.set(1, Value::uint(s.top_k));
  map.set(2, Value::float_bits(s.top_p));
  map.set(3, Value::float_bits(s.min_p));
  map.set(4, Value::float_bits(s.repetition_penalty));
  map.set(5, Value::float_bits(s.frequency_penalty));
  map.set(6, Value::float_bits(s.presence_penalty));
  map.set(7, Value::uint(s.penalty_window));
  Array biases;
  biases.reserve(s.logit_bias.size());
  for (const LogitBias& bias : s.logit_bias) {
    Map entry;
    entry.set(0, Value::uint(static_cast<std::uint32_t>(bias.token)));
    entry.set(1, Value::float_bits(bias.bias));
    biases.push_back(Value::map(std::move(entry)));
  }
  map.set(8, Value::array(std::move(biases)));
  map.set(9, Value::uint(s.seed));
  return Value::map(std::move(map));
}

Sampling read_sampling(FieldReader& outer) {
  FieldReader reader(outer.map(3), "Submit.sampling");
  Sampling s;
  s.temperature = reader.real(0, 0, kTemperatureMax);
  s.top_k = reader.u32(1, UINT32_MAX);
  s.top_p = reader.real(2, 0, 1);
  s.min_p = reader.real(3, 0, 1);
  s.repetition_penalty = reader.real(4, kRepetitionPenaltyMin, kRepetitionPenaltyMax);
  s.frequency_penalty = reader.real(5, -kPenaltyMax, kPenaltyMax);
  s.presence_penalty = reader.real(6, -kPenaltyMax, kPenaltyMax);
  s.penalty_window = reader.u32(7, kPenaltyWindowMax);
  for (const Value& value : reader.array(8, kLogitBiasMax)) {
    FieldReader entry(reader.as_map(value), "Submit.logit_bias");
    const LogitBias bias{entry.token(0), entry.real(1, -kBiasMax, kBiasMax)};
    (void)entry.finish();
    reader.adopt(entry);
    s.logit_bias.push_back(bias);
  }
  s.seed = reader.u64(9);
  (void)reader.finish();
  outer.adopt(reader);
  return s;
}

std::vector<ResumedChoice> read_resume(FieldReader& outer) {
  std::vector<ResumedChoice> resume;
  for (const Value& value : outer.array(12, kChoicesMax)) {
    FieldReader entry(outer.as_map(value), "Submit.resume");
    ResumedChoice choice{entry.tokens(0, kPromptTokensMax), entry.boolean(1)};
    (void)entry.finish();
    outer.adopt(entry);
    if (outer.failed()) return {};
    resume.push_back(std::move(choice));
  }
  return resume;
}

Map to_map(const Submit& m) {
  Map map = order(kSubmit);
  map.set(1, Value::uint(m.id));
  map.set(2, to_value(m.prompt));
  map.set(3, to_value(m.sampling));
  map.set(4, Value::uint(m.choices));
  map.set(5, Value::uint(m.tokens_max));
  Array stops;
  for (const std::string& stop : m.stop) stops.push_back(text_value(stop, kStopBytesMax));
  map.set(6, Value::array(std::move(stops)));
  map.set(7, Value::boolean(m.ignore_eos));
  map.set(8, Value::boolean(m.logprobs));
  map.set(9, Value::uint(m.top_logprobs));
  map.set(10, Value::integer(m.now_unix_s));
  map.set(11, Value::uint(m.credit_bytes));
  Array resumed;
  for (const ResumedChoice& choice : m.resume) {
    Map entry;
    entry.set(0, tokens_value(choice.tokens)).set(1, Value::boolean(choice.ended));
    resumed.push_back(Value::map(std::move(entry)));
  }
  map.set(12, Value::array(std::move(resumed)));
  map.set(13, Value::uint(m.tenant));
  map.set(30, Value::boolean(m.leaves_prefix));
  map.set(31, Value::boolean(m.prefix_only));
  map.set(40, Value::uint(static_cast<std::uint64_t>(m.priority)));
  map.set(41, Value::uint(m.weight));
  map.set(42, Value::uint(m.prompt_tokens_max));
  map.set(43, Value::uint(m.deadline_ms));
  map.set(110, Value::uint(m.owner));
  Array adapters;
  for (const AdapterUse& use : m.adapters) {
    Map entry;
    entry.set(0, digest_value(use.adapter)).set(1, Value::float_bits(use.scale));
    adapters.push_back(Value::map(std::move(entry)));
  }
  map.set(130, Value::array(std::move(adapters)));
  return map;
}

std::vector<AdapterUse> read_adapters(FieldReader& outer) {
  std::vector<AdapterUse> adapters;
  for (const Value& value : outer.array(130, kAdaptersMax)) {
    FieldReader entry(outer.as_map(value), "Submit.adapters");
    const AdapterUse use{entry.digest(0), entry.real(1, -kAdapterScaleMax, kAdapterScaleMax)};
    (void)entry.finish();
    outer.adopt(entry);
    for (const AdapterUse& other : adapters) {
      if (other.adapter == use.adapter) outer.fail(130, "an adapter is named twice");
    }
    if (outer.failed()) return {};
    adapters.push_back(use);
  }
  return adapters;
}

Result<ToWorker> read_submit(FieldReader& reader) {
  Submit m;
  m.id = reader.u64(1);
  m.prompt = read_prompt(reader);
  m.sampling = read_sampling(reader);
  m.choices = static_cast<std::uint32_t>(reader.uint(4, 1, kChoicesMax));
  m.tokens_max = reader.u32(5, kTokensMaxMax);
  for (const Value& value : reader.array(6, kStopsMax)) {
    const std::string* stop = value.if_text();
    if (stop == nullptr || stop->empty() || stop->size() > kStopBytesMax) {
      reader.fail(6, "a stop string is empty, too long or no text");
      break;
    }
    m.stop.push_back(*stop);
  }
  m.ignore_eos = reader.boolean(7);
  m.logprobs = reader.boolean(8);
  m.top_logprobs = reader.u32(9, kTopLogprobsMax);
  m.now_unix_s = reader.i64(10);
  m.credit_bytes = reader.uint(11, 0, kCreditBytesMax);
  m.resume = read_resume(reader);
  m.tenant = reader.u64(13);
  m.leaves_prefix = reader.boolean(30);
  m.prefix_only = reader.boolean(31);
  m.priority = static_cast<Priority>(reader.u32(40, 1));
  m.weight = static_cast<std::uint32_t>(reader.uint(41, 1, kWeightMax));
  m.prompt_tokens_max = reader.u32(42, UINT32_MAX);
  m.deadline_ms = reader.uint(43, 0, kDeadlineMsMax);
  m.owner = reader.u64(110);
  m.adapters = read_adapters(reader);
  const bool fits = m.resume.empty() || m.resume.size() == m.choices;
  if (!fits) reader.fail(12, "not as many choices are resumed as there are");
  AIOSS_CHECK(reader.finish());
  return ToWorker{std::move(m)};
}

Map to_map(const Cancel& m) {
  Map map = order(kCancel);
  map.set(1, Value::uint(m.id));
  return map;
}
Map to_map(const Credit& m) {
  Map map = order(kCredit);
  map.set(1, Value::uint(m.id));
  map.set(2, Value::uint(m.bytes));
  return map;
}
Map to_map(const TakeOver&) {
  return order(kTakeOver);
}
Map to_map(const Forget&) {
  return order(kForget);
}
Map to_map(const Park&) {
  return order(kPark);
}
Map to_map(const Wake& m) {
  return to_map(m.session, kWake);
}
Map to_map(const Ping& m) {
  Map map = order(kPing);
  map.set(1, Value::uint(m.nonce));
  return map;
}
Map to_map(const Probe&) {
  return order(kProbe);
}
Map to_map(const Shutdown&) {
  return order(kShutdown);
}
Map to_map(const LoadAdapter& m) {
  Map map = order(kLoadAdapter);
  map.set(1, digest_value(m.adapter));
  map.set(2, Value::uint(m.bytes));
  return map;
}
Map to_map(const UnloadAdapter& m) {
  Map map = order(kUnloadAdapter);
  map.set(1, digest_value(m.adapter));
  return map;
}

}  // namespace

Bytes encode(const ToWorker& message) {
  return codec::encode(std::visit([](const auto& m) { return to_map(m); }, message));
}

Result<ToWorker> decode_to_worker(ByteView frame) {
  AIOSS_TRY(const Map map, codec::decode_map(frame));
  FieldReader reader(map, "to worker");
  switch (reader.uint(0, kConfigure, kWake)) {
    case kConfigure: {
      AIOSS_TRY(Configure m, read_configure(reader));
      return ToWorker{std::move(m)};
    }
    case kWake: {
      AIOSS_TRY(Configure m, read_configure(reader));
      return ToWorker{Wake{std::move(m)}};
    }
    case kSubmit:
      return read_submit(reader);
    case kCancel: {
      const Cancel m{reader.u64(1)};
      AIOSS_CHECK(reader.finish());
      return ToWorker{m};
    }
    case kCredit: {
      const Credit m{reader.u64(1), reader.uint(2, 1, kCreditBytesMax)};
      AIOSS_CHECK(reader.finish());
      return ToWorker{m};
    }
    case kForget:
      AIOSS_CHECK(reader.finish());
      return ToWorker{Forget{}};
    case kPing: {
      const Ping m{reader.u64(1)};
      AIOSS_CHECK(reader.finish());
      return ToWorker{m};
    }
    case kProbe:
      AIOSS_CHECK(reader.finish());
      return ToWorker{Probe{}};
    case kTakeOver:
      AIOSS_CHECK(reader.finish());
      return ToWorker{TakeOver{}};
    case kLoadAdapter: {
      const LoadAdapter m{reader.digest(1), reader.uint(2, 1, kAdapterBytesMax)};
      AIOSS_CHECK(reader.finish());
      return ToWorker{m};
    }
    case kUnloadAdapter: {
      const UnloadAdapter m{reader.digest(1)};
      AIOSS_CHECK(reader.finish());
      return ToWorker{m};
    }
    case kPark:
      AIOSS_CHECK(reader.finish());
      return ToWorker{Park{}};
    case kShutdown:
      AIOSS_CHECK(reader.finish());
      return ToWorker{Shutdown{}};
    default:
      reader.fail(0, "there is no such message");
      return reader.finish().error();
  }
}

}  // namespace aioss::ipc
