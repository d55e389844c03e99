// What a gateway and a process that measures (`aioss worker --tune`) say to each other: the gateway
// asks, the process answers each question with one report. It has parsed a model file and runs
// somebody's engine, so what it says is read as a stranger's. Values only.
//
// Order: TuneOpen once; then, of each of two slots, TuneBegin, any number of TuneRuns, TuneEnd. Two
// slots, so that a candidate is measured beside what it is compared with, in turns.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "ipc/messages.h"

namespace aioss::ipc {

// How something is computed, beside what: the settings that measuring chooses. 0: as Configure's.
struct Knobs {
  std::uint32_t threads = 0, threads_batch = 0, micro_batch_tokens_max = 0;
  FlashAttention flash_attention = FlashAttention::kEngine;
  auto operator<=>(const Knobs&) const = default;
};

enum class Regime : std::uint8_t { kDecodeOne = 0, kDecodeMany = 1, kPrefill = 2 };
inline constexpr std::size_t kRegimes = 3;
std::string_view name(Regime regime);  // "decode_one", "decode_many", "prefill"

inline constexpr std::uint32_t kTuneSlots = 2;
inline constexpr std::uint32_t kTuneTokensMax = 512;              // of one run
inline constexpr std::size_t kCanaryTokensMax = 1024;             // of its answer
inline constexpr std::uint64_t kTuneRunNsMax = 3600'000'000'000;  // an hour: beyond any patience
// A report is a canary's answer, or less: some 4 KiB.
inline constexpr std::size_t kTuneFrameBytesMax = std::size_t{16} << 10;

struct TuneOpen {
  std::string engine = "llama";
  Profile profile = Profile::kFast;
  std::uint32_t streams = 0, cells_per_stream = 0;  // 0: as a worker would choose
  std::uint32_t prefill_chunk_tokens_max = 0;       // likewise
  std::string kv_type = "f16";
  bool speculation = true;
  bool operator==(const TuneOpen&) const = default;
};
struct TuneBegin {  // a session, which must pass its canary
  std::uint32_t slot = 0;
  Knobs knobs;
  bool operator==(const TuneBegin&) const = default;
};
struct TuneRun {
  std::uint32_t slot = 0;
  Regime regime = Regime::kDecodeOne;
  std::uint32_t tokens = 1;  // of each sequence: 1 … kTuneTokensMax
  bool operator==(const TuneRun&) const = default;
};
struct TuneEnd {
  std::uint32_t slot = 0;
  bool operator==(const TuneEnd&) const = default;
};
using TuneAsk = std::variant<TuneOpen, TuneBegin, TuneRun, TuneEnd>;

struct TuneReport {
  std::optional<Error> error;  // then nothing else counts
  std::string engine_build;    // of TuneOpen: version and build of the engine
  std::uint32_t streams = 0;   // likewise: how many sequences decode together
  // Of TuneBegin: the likeliest token at each place where the canary looked.
  std::vector<Token> canary;
  // Of TuneRun: what it computed, all sequences together, and how long that took.
  std::uint32_t tokens = 0;
  std::uint64_t ns = 0;
};

Bytes encode(const TuneAsk& ask);
Bytes encode(const TuneReport& report);
Result<TuneAsk> decode_tune_ask(ByteView frame);
Result<TuneReport> decode_tune_report(ByteView frame);

}  // namespace aioss::ipc
