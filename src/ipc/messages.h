// What the gateway and a worker say to each other. The worker is less trusted than the gateway: it
// has parsed a model file. So the gateway checks every field it reads, as if a client had sent it.
// Values only; encoding is canonical CBOR (messages.cc), transport is ipc/channel.h.
//
// Order, for one request: Submit → (Accepted | Rejected); after Accepted, Deltas of each choice in
// order, then exactly one Finished per choice. Cancel is idempotent and may cross a Finished.
//
// Deltas cost credit (cost_of): a request begins with Submit::credit_bytes, and Credit adds to it.
// While none is left the worker computes nothing for the request. A step may overdraw it by one
// Delta of each choice.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "ipc/layers.h"
#include "ipc/limits.h"

namespace aioss::ipc {

inline constexpr std::uint32_t kProtocolVersion = 6;
using RequestId = std::uint64_t;  // chosen by the gateway, unique while a worker has it
using Token = std::int32_t;

enum class Profile : std::uint8_t { kFast = 0, kReproducible = 1, kEvidence = 2 };
std::string_view name(Profile profile);
std::optional<Profile> profile_from_name(std::string_view name);

// aioss_flash_attention.
enum class FlashAttention : std::uint8_t { kEngine = 0, kOn = 1, kOff = 2 };
std::string_view name(FlashAttention flash_attention);  // "auto", "on", "off"

// ---- gateway → worker ---------------------------------------------------------------------------

struct Configure {
  std::uint32_t protocol_version = kProtocolVersion;
  std::string engine = "llama";
  Profile profile = Profile::kFast;
  std::uint32_t streams = 0;           // S; 0: the worker's choice
  std::uint32_t cells_per_stream = 0;  // C; 0: the model's training context, at most 4,096
  std::uint32_t threads = 0;           // 0: the physical cores that this process may use
  std::uint32_t queue_requests_max = 256;
  std::uint32_t prefill_chunk_tokens_max = 0;  // 0: the worker's choice
  // Host memory for the KV of sequences that wait for credit. 0: they keep their streams.
  std::uint64_t spill_bytes_max = 0;
  // Drafts, where they pay and the profile allows them: never in `reproducible`.
  bool speculation = true;
  // Interactive requests may send batch sequences there, too, and take their streams.
  bool overcommit = false;
  std::string kv_type = "f16";  // how keys and values are stored; engine::kv_type_from_name
  // What is in the memory for prefixes is not whole before TakeOver comes.
  bool prefixes_later = false;
  // What measuring chose, or an operator. 0: as `threads`; the engine's choice.
  std::uint32_t threads_batch = 0, micro_batch_tokens_max = 0;
  FlashAttention flash_attention = FlashAttention::kEngine;
  // Where layers are: "cpu", or devices with commas (engine/device_names.h), never "auto".
  std::string device = "cpu";
  Layers layers = {};
};

// Whose turn comes first: see worker/fair_queue.h.
enum class Priority : std::uint8_t { kInteractive = 0, kBatch = 1 };
std::string_view name(Priority priority);  // "interactive", "batch"
std::optional<Priority> priority_from_name(std::string_view name);

struct ChatMessage {
  std::string role;
  std::string content;
  std::string name;
  bool operator==(const ChatMessage&) const = default;
};

struct LogitBias {
  Token token = 0;
  float bias = 0;  // −100 … 100; −100 forbids, as OpenAI has it
  bool operator==(const LogitBias&) const = default;
};

// Defaults are OpenAI's: the untouched distribution.
struct Sampling {
  float temperature = 1.0F;  // 0: greedy
  std::uint32_t top_k = 0;   // 0: off
  float top_p = 1.0F;
  float min_p = 0.0F;
  float repetition_penalty = 1.0F;  // 1: off; over the last `penalty_window` tokens
  float frequency_penalty = 0.0F;   // of generated tokens
  float presence_penalty = 0.0F;
  std::uint32_t penalty_window = 64;
  std::vector<LogitBias> logit_bias = {};
  std::uint64_t seed = 0;  // resolved: always set, always recorded
  bool operator==(const Sampling&) const = default;
};

using Prompt = std::variant<std::string, std::vector<ChatMessage>, std::vector<Token>>;

// What an earlier worker, which has died, had made of a choice.
struct ResumedChoice {
  std::vector<Token> tokens;
  bool ended = false;  // nothing more is wanted of it: it gets no Delta and no Finished
  bool operator==(const ResumedChoice&) const = default;
};

// A LoRA adapter by the SHA-256 of its file, and how much of it.
struct AdapterUse {
  Digest adapter = {};
  float scale = 1.0F;  // finite, at most kAdapterScaleMax either way
  bool operator==(const AdapterUse&) const = default;
};

struct Submit {
  RequestId id = 0;
  std::uint64_t tenant = 0;  // whose it is, for fair turns: the same number for the same tenant
  Prompt prompt;             // text of a completion, a chat, or token ids
  Sampling sampling;
  std::uint32_t choices = 1;     // n
  std::uint32_t tokens_max = 0;  // 0: the rest of the stream's cells
  std::vector<std::string> stop;
  bool ignore_eos = false;
  bool logprobs = false;
  std::uint32_t top_logprobs = 0;  // 0 … 20
  std::int64_t now_unix_s = 0;     // the date that a chat template sees
  std::uint64_t credit_bytes = 0;  // to begin with; 0: as much as it likes
  // Empty, or one for each choice: it goes on behind these tokens, which are not sent again. They
  // count in Finished.
  std::vector<ResumedChoice> resume = {};
  // What is computed of it may stay in the prefix cache. Not of what was asked before an erasure.
  bool leaves_prefix = true;
  // Nothing is sampled: its prompt, and what it resumes, are computed for the prefix cache, and it
  // ends there without a token. For a stream that is to come.
  bool prefix_only = false;
  Priority priority = Priority::kInteractive;
  std::uint32_t weight = kWeightDefault;  // of the tenant, in its turns
  std::uint32_t prompt_tokens_max = 0;    // that the tenant may send; 0: as the context has it
  // In which it must have ended. The gateway sees to that; a worker refuses what cannot begin in
  // time. 0: none.
  std::uint64_t deadline_ms = 0;
  std::uint64_t owner = 0;  // whose prompt it is, for what is kept of it; nothing to the worker
  // Under which it is computed, all different; the worker has them. At most kAdaptersMax.
  std::vector<AdapterUse> adapters = {};
  bool operator==(const Submit&) const = default;
};

// How many choices still want tokens.
std::uint32_t open_choices(const Submit& submit);

struct Cancel {
  RequestId id = 0;
};
struct Credit {  // the consumer has read so much more
  RequestId id = 0;
  std::uint64_t bytes = 0;  // 1 … kCreditBytesMax
};
// The adapter's file is in the memory for adapters, all of it, until the worker has answered with
// an AdapterReport. One at a time.
struct LoadAdapter {
  Digest adapter = {};
  std::uint64_t bytes = 0;  // of the file: 1 … kAdapterBytesMax
};
struct UnloadAdapter {  // answered likewise; refused (kConflict) while a request uses it
  Digest adapter = {};
};
struct TakeOver {};  // the memory for prefixes is whole; only if Configure has promised it, once
struct Forget {};    // nothing of what was asked so far stays in the prefix cache
// Free all that is there for computing, and keep the model. Only while no request is there;
// answered with Parked. From then on only Forget, Ping, Probe, Wake and Shutdown come.
struct Park {};
// Make a new session over the model that is there, of this engine and profile; answered with Ready,
// or with LoadFailed and the end of the worker.
struct Wake {
  Configure session;
};
struct Ping {
  std::uint64_t nonce = 0;
};
struct Probe {};     // answer with ProbeReport: is the confinement real?
struct Shutdown {};  // finish nothing, exit 0

using ToWorker = std::variant<Configure, Submit, Cancel, Credit, TakeOver, Forget, Park, Wake, Ping,
                              Probe, Shutdown, LoadAdapter, UnloadAdapter>;

// ---- worker → gateway ---------------------------------------------------------------------------

struct EngineFacts {
  std::string name, version, build_id, compiler, cpu_features;
};

struct Hello {  // the first frame, before any model byte was read
  std::uint32_t protocol_version = kProtocolVersion;
  std::uint32_t engine_abi_version = 0;
  std::string binary_version;
  std::string confinement;  // os::Confinement::describe()
};

struct LoadProgress {
  float fraction = 0;
};

struct Ready {
  EngineFacts engine;
  std::string architecture, description;
  std::uint64_t parameter_count = 0, weight_bytes = 0;
  std::uint32_t vocabulary_size = 0, context_tokens_train = 0;
  bool has_chat_template = false;
  std::string chat_template_sha3;  // hex
  Profile profile = Profile::kFast;
  std::uint32_t streams = 0, cells_per_stream = 0, threads = 0;  // as resolved
};

struct LoadFailed {
  Error error;
};

struct Accepted {
  RequestId id = 0;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t queue_position = 0;  // 0: started at once
};

struct Rejected {
  RequestId id = 0;
  Error error;
};

struct TokenLogprob {
  Token token = 0;
  std::string text;  // as the vocabulary writes it; may be part of a character
  float logprob = 0;
  struct Top {
    std::string text;
    float logprob = 0;
    Token token = 0;
  };
  std::vector<Top> top;
};

struct Delta {
  RequestId id = 0;
  std::uint32_t choice = 0;
  std::string text;                    // whole UTF-8 characters, stop strings withheld
  std::vector<Token> tokens;           // sampled since its last Delta; the end token never is
  std::vector<TokenLogprob> logprobs;  // one per token, if asked for
};

// What these cost of a request's credit: about what a client is sent for them. Additive, so that it
// does not matter how tokens were put together.
std::uint64_t cost_of(std::string_view text, std::size_t token_count,
                      std::span<const TokenLogprob> logprobs);
inline std::uint64_t cost_of(const Delta& delta) {
  return cost_of(delta.text, delta.tokens.size(), delta.logprobs);
}

enum class FinishReason : std::uint8_t { kStop = 0, kLength = 1, kCancelled = 2, kError = 3 };
std::string_view name(FinishReason reason);  // "stop", "length", "cancelled", "error"

struct Timings {                 // of one choice, nanoseconds
  std::uint64_t queue_ns = 0;    // from Submit to its first graph
  std::uint64_t prefill_ns = 0;  // from there to its first token
  std::uint64_t decode_ns = 0;   // from there to its last
};

struct Finished {
  RequestId id = 0;
  std::uint32_t choice = 0;
  FinishReason reason = FinishReason::kStop;
  std::uint32_t prompt_tokens = 0, completion_tokens = 0;
  Timings timings;
  std::optional<Error> error;       // with kError
  std::uint32_t cached_tokens = 0;  // of the prompt, that were not computed for it
};

struct TenantLoad {  // requests of one tenant in a worker
  std::uint64_t tenant = 0;
  std::uint32_t waiting = 0, running = 0;
  std::uint64_t tokens = 0;  // computed for it, prompts included, since it has had requests here
  bool operator==(const TenantLoad&) const = default;
};

struct Stats {  // about once a second while busy, and when it changes to idle
  std::uint32_t running = 0, queued = 0;
  std::uint64_t steps = 0, prompt_tokens = 0, completion_tokens = 0;
  // Sequences that wait for credit: with their KV in the session (of `running`), and spilled.
  std::uint32_t parked = 0, spilled = 0;
  std::uint64_t spilled_bytes = 0;
  std::uint32_t prefixes = 0;  // that are kept, and the memory that they take
  std::uint64_t prefix_bytes = 0;
  std::uint64_t cached_tokens = 0;  // of prompts, that were not computed
  // Of speculation: tokens that were drafted, and those of them that were sampled indeed.
  std::uint64_t drafted_tokens = 0, accepted_tokens = 0;
  std::uint32_t waiting_batch = 0;  // of `queued`
  std::uint64_t preempted = 0;      // sequences that gave their streams to others, so far
  float tokens_per_second = 0;      // generated, since the last Stats
  // Measured: what a decode step of as many sequences as there are streams takes, and 64 tokens of
  // a prompt. 0: not measured yet.
  std::uint64_t decode_step_ns = 0, chunk_ns = 0;
  std::optional<std::uint32_t> wait_seconds = {};  // of an interactive request that came now
  std::vector<TenantLoad> tenants = {};            // the most loaded, at most kStatsTenantsMax
};

struct Pong {
  std::uint64_t nonce = 0;
  bool engine_hangs = false;  // a turn of its thread takes longer than any may
};

struct Parked {};  // session, its buffers and whatever it held are given back to the system

struct ProbeReport {
  struct Item {
    std::string attempt;
    bool refused = false;
    std::string detail;
  };
  std::vector<Item> items;
};

// How it stands with an adapter after a LoadAdapter or UnloadAdapter.
struct AdapterReport {
  Digest adapter = {};
  bool loaded = false;
  std::uint64_t bytes = 0;          // that it takes
  std::uint64_t compute_bytes = 0;  // that calls under it may take beside those of others, at most
  std::uint32_t rank = 0;
  std::string name;            // as the file has it, for people
  std::optional<Error> error;  // what was asked did not come to be
};

using FromWorker = std::variant<Hello, LoadProgress, Ready, LoadFailed, Accepted, Rejected, Delta,
                                Finished, Stats, Pong, Parked, ProbeReport, AdapterReport>;

// Encodes without failing; decode checks every field and every bound (kCorrupt).
Bytes encode(const ToWorker& message);
Bytes encode(const FromWorker& message);
Result<ToWorker> decode_to_worker(ByteView frame);
Result<FromWorker> decode_from_worker(ByteView frame);

}  // namespace aioss::ipc
