// Bounds of every field that crosses the boundary between gateway and worker. Both sides check
// them: the API layer so that a client gets an answer that names its field, the decoder because the
// peer is not trusted. Each constant says where it comes from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace aioss::ipc {

// The largest HTTP body is 4 MiB, and text only shrinks when JSON is unescaped.
inline constexpr std::size_t kPromptBytesMax = std::size_t{4} << 20;
// A token is at least one byte of a body, written as a number and a comma; 1 Mi is past any
// context.
inline constexpr std::size_t kPromptTokensMax = std::size_t{1} << 20;
inline constexpr std::size_t kMessagesMax = 4096;
inline constexpr std::size_t kRoleBytesMax = 64;
inline constexpr std::size_t kNameBytesMax = 256;
inline constexpr std::size_t kDeviceBytesMax = 512;  // names of all that a model is split over
inline constexpr std::uint32_t kGpuLayersMax = 1U << 16;
// The field of an error that a device, or its driver, is the reason of: not the file or the engine.
inline constexpr std::string_view kDeviceField = "device";
// Of memory, in a plan: far past any machine, and sums of a dozen stay in 64 bits.
inline constexpr std::uint64_t kPlanBytesMax = std::uint64_t{1} << 56;
inline constexpr std::size_t kStopsMax = 16;  // OpenAI takes 4; other dialects more
inline constexpr std::size_t kStopBytesMax = 1024;
inline constexpr std::size_t kLogitBiasMax = 1024;    // entries, as OpenAI
inline constexpr std::uint32_t kChoicesMax = 16;      // n
inline constexpr std::uint32_t kTopLogprobsMax = 20;  // as OpenAI
inline constexpr std::uint32_t kTokensMaxMax = 1U << 24;
inline constexpr float kTemperatureMax = 100.0F;  // beyond it every distribution is flat
inline constexpr float kPenaltyMax = 2.0F;  // of frequency and presence, both signs, as OpenAI
inline constexpr float kRepetitionPenaltyMin = 0.01F;
inline constexpr float kRepetitionPenaltyMax = 100.0F;
inline constexpr float kBiasMax = 100.0F;  // both signs
inline constexpr std::uint32_t kPenaltyWindowMax = 1U << 20;

// One step's text: a token's piece and what a partial stop string (1 KiB) held back. Longer texts,
// of vocabularies with absurd tokens, are sent in several Deltas.
inline constexpr std::size_t kDeltaTextBytesMax = std::size_t{512} << 10;
// One, as the scheduler sends them, also of a step that accepts a run of drafts.
inline constexpr std::size_t kDeltaTokensMax = 32;
// Of one token as the vocabulary writes it. Longer ones are cut: this is for display.
inline constexpr std::size_t kTokenTextBytesMax = 1024;

// One event of a stream is some 200 bytes of JSON beside its text.
inline constexpr std::uint64_t kCreditOfToken = 200;
inline constexpr std::uint64_t kCreditOfLogprob = 64;  // beside its text, for each alternative too
inline constexpr std::uint64_t kCreditBytesMax = std::uint64_t{1} << 40;

// Of a tenant's turns. The default leaves room on both sides.
inline constexpr std::uint32_t kWeightDefault = 100;
inline constexpr std::uint32_t kWeightMax = 1000;
inline constexpr std::uint64_t kDeadlineMsMax = std::uint64_t{86'400} * 1000;  // a day
inline constexpr std::uint32_t kWaitSecondsMax = 86'400;                       // an estimate
inline constexpr std::uint32_t kBacklogMax = 1U << 24;                         // requests
inline constexpr std::size_t kStatsTenantsMax = 64;

// Of a log probability: what stands for "impossible", because JSON has no infinity (as OpenAI).
inline constexpr float kLogprobMin = -9999.0F;

inline constexpr std::size_t kErrorBytesMax = 4096;  // message of an Error
inline constexpr std::size_t kFactBytesMax = 1024;   // names, versions, descriptions
inline constexpr std::size_t kProbeItemsMax = 64;
// The engines' own (aioss/engine.h); the worker checks that they are the same.
inline constexpr std::uint32_t kStreamsMax = 256;     // KV streams of a worker
inline constexpr std::uint32_t kCellsMax = 1U << 24;  // of one stream
inline constexpr std::uint32_t kThreadsMax = 512;
inline constexpr std::size_t kKvTypeBytesMax = 16;  // of a name: "q8_0"
inline constexpr std::uint32_t kPrefillChunkMax = 1U << 16;
inline constexpr std::uint32_t kQueueRequestsMax = 65536;
inline constexpr std::uint32_t kPrefixesMax = 512;  // of a worker's cache
// Of one request; engines take twice as many. Their order counts, and people name them by hand.
inline constexpr std::size_t kAdaptersMax = 4;
// Outside the profile fast, of scales that are not 0: docs/decisions/0009.
inline constexpr std::size_t kAdaptersOutsideFastMax = 2;
inline constexpr float kAdapterScaleMax = 100.0F;  // both signs; the engines' own (aioss/engine.h)
inline constexpr std::size_t kAdaptersLoadedMax = 64;  // of a worker
inline constexpr std::uint64_t kAdapterBytesMax = std::uint64_t{16} << 30;
inline constexpr std::uint32_t kVocabularyMax = 1U << 24;

// The largest frame that a worker can have a reason to send: a Delta with all of the above, each
// log probability with its alternatives; 32 bytes are more than the numbers and heads of one entry.
// About 1.2 MiB. The gateway holds no more of a worker's frame than this; a longer one ends the
// worker.
inline constexpr std::size_t kLogprobBytesMax = (1 + kTopLogprobsMax) * (kTokenTextBytesMax + 32);
inline constexpr std::size_t kFrameFromWorkerBytesMax =
    kDeltaTextBytesMax + kDeltaTokensMax * (4 + kLogprobBytesMax) + 256;
static_assert(kProbeItemsMax * (2 * kFactBytesMax + 32) < kFrameFromWorkerBytesMax);

}  // namespace aioss::ipc
