#include "ipc/tune.h"

#include <array>
#include <utility>

#include "base/assert.h"
#include "ipc/fields.h"
#include "ipc/limits.h"

namespace aioss::ipc {
namespace {

using detail::error_value;
using detail::FieldReader;
using detail::Map;
using detail::text_value;
using detail::tokens_value;
using detail::Value;

constexpr std::array<std::string_view, kRegimes> kRegimeNames{"decode_one", "decode_many",
                                                              "prefill"};
enum AskKind : std::uint64_t { kOpen = 0, kBegin = 1, kRun = 2, kEnd = 3 };
constexpr std::uint64_t kRunTokensMax = std::uint64_t{kTuneTokensMax} * kStreamsMax;

Map to_map(const TuneOpen& ask) {
  Map map;
  map.set(0, Value::uint(kOpen));
  map.set(1, text_value(ask.engine, kNameBytesMax));
  map.set(2, Value::uint(static_cast<std::uint64_t>(ask.profile)));
  map.set(3, Value::uint(ask.streams));
  map.set(4, Value::uint(ask.cells_per_stream));
  map.set(5, Value::uint(ask.prefill_chunk_tokens_max));
  map.set(6, text_value(ask.kv_type, kKvTypeBytesMax));
  map.set(7, Value::boolean(ask.speculation));
  return map;
}

TuneOpen read_open(FieldReader& reader) {
  TuneOpen ask;
  ask.engine = reader.text(1, kNameBytesMax);
  ask.profile = static_cast<Profile>(reader.u32(2, 2));
  ask.streams = reader.u32(3, kStreamsMax);
  ask.cells_per_stream = reader.u32(4, kCellsMax);
  ask.prefill_chunk_tokens_max = reader.u32(5, kPrefillChunkMax);
  ask.kv_type = reader.text(6, kKvTypeBytesMax);
  ask.speculation = reader.boolean(7);
  return ask;
}

Map to_map(const TuneBegin& ask) {
  Map map;
  map.set(0, Value::uint(kBegin));
  map.set(1, Value::uint(ask.slot));
  map.set(2, Value::uint(ask.knobs.threads));
  map.set(3, Value::uint(ask.knobs.threads_batch));
  map.set(4, Value::uint(ask.knobs.micro_batch_tokens_max));
  map.set(5, Value::uint(static_cast<std::uint64_t>(ask.knobs.flash_attention)));
  return map;
}

TuneBegin read_begin(FieldReader& reader) {
  TuneBegin ask;
  ask.slot = reader.u32(1, kTuneSlots - 1);
  ask.knobs.threads = reader.u32(2, kThreadsMax);
  ask.knobs.threads_batch = reader.u32(3, kThreadsMax);
  ask.knobs.micro_batch_tokens_max = reader.u32(4, kPrefillChunkMax);
  ask.knobs.flash_attention = static_cast<FlashAttention>(reader.u32(5, 2));
  return ask;
}

Map to_map(const TuneRun& ask) {
  Map map;
  map.set(0, Value::uint(kRun));
  map.set(1, Value::uint(ask.slot));
  map.set(2, Value::uint(static_cast<std::uint64_t>(ask.regime)));
  map.set(3, Value::uint(ask.tokens));
  return map;
}

TuneRun read_run(FieldReader& reader) {
  TuneRun ask;
  ask.slot = reader.u32(1, kTuneSlots - 1);
  ask.regime = static_cast<Regime>(reader.u32(2, kRegimes - 1));
  ask.tokens = static_cast<std::uint32_t>(reader.uint(3, 1, kTuneTokensMax));
  return ask;
}

Map to_map(const TuneEnd& ask) {
  Map map;
  map.set(0, Value::uint(kEnd));
  map.set(1, Value::uint(ask.slot));
  return map;
}

template <typename Ask>
Result<TuneAsk> whole(FieldReader& reader, Ask ask) {
  AIOSS_CHECK(reader.finish());
  return TuneAsk(std::move(ask));
}

}  // namespace

std::string_view name(Regime regime) {
  const auto index = static_cast<std::size_t>(regime);
  ASSERT(index < kRegimeNames.size());
  return kRegimeNames[index];
}

Bytes encode(const TuneAsk& ask) {
  return codec::encode(std::visit([](const auto& one) { return to_map(one); }, ask));
}

Result<TuneAsk> decode_tune_ask(ByteView frame) {
  AIOSS_TRY(const Map map, codec::decode_map(frame));
  FieldReader reader(map, "tune ask");
  switch (reader.uint(0, kOpen, kEnd)) {
    case kOpen:
      return whole(reader, read_open(reader));
    case kBegin:
      return whole(reader, read_begin(reader));
    case kRun:
      return whole(reader, read_run(reader));
    default:
      return whole(reader, TuneEnd{reader.u32(1, kTuneSlots - 1)});
  }
}

Bytes encode(const TuneReport& report) {
  Map map;
  if (report.error) {
    map.set(0, error_value(*report.error));
    return codec::encode(std::move(map));
  }
  map.set(1, text_value(report.engine_build, kFactBytesMax));
  map.set(2, Value::uint(report.streams));
  map.set(3, tokens_value(report.canary));
  map.set(4, Value::uint(report.tokens));
  map.set(5, Value::uint(report.ns));
  return codec::encode(std::move(map));
}

Result<TuneReport> decode_tune_report(ByteView frame) {
  AIOSS_TRY(const Map map, codec::decode_map(frame));
  FieldReader reader(map, "tune report");
  TuneReport report;
  if (reader.has(0)) {
    report.error = reader.error(0);
    AIOSS_CHECK(reader.finish());
    return report;
  }
  report.engine_build = reader.text(1, kFactBytesMax);
  report.streams = reader.u32(2, kStreamsMax);
  report.canary = reader.tokens(3, kCanaryTokensMax);
  report.tokens = static_cast<std::uint32_t>(reader.uint(4, 0, kRunTokensMax));
  report.ns = reader.uint(5, 0, kTuneRunNsMax);
  AIOSS_CHECK(reader.finish());
  return report;
}

}  // namespace aioss::ipc
