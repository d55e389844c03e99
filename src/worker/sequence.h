// One choice of one request while it is in the worker, and the request that its choices share.
// Values of the scheduler, used by the engine thread alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "ipc/messages.h"
#include "worker/adapter_shelf.h"
#include "worker/sampler.h"
#include "worker/speculation.h"
#include "worker/text_stream.h"

namespace aioss::worker {

// A request whose prompt has been turned into tokens.
struct PreparedRequest {
  ipc::Submit submit;  // its prompt has been moved out
  std::vector<Token> prompt;
  std::int64_t received_ns = 0;
  bool chat = false;  // the prompt was messages
};

struct Request;

// queued → prefill → decode → done; or queued → follower → decode → done, when a sibling prefills
// the same prompt for both. A request without credit is parked: its sequences stay in decode and
// are not computed, and after a while they are spilled, decode → spilled → decode, which frees
// their streams.
enum class Phase : std::uint8_t { kQueued, kFollower, kPrefill, kDecode, kSpilled, kDone };

inline constexpr std::int32_t kNoStream = -1;
// At most, of a prompt's end: a question about a document. It costs about what a decode step does.
inline constexpr std::uint32_t kEndTokens = 64;

struct Sequence {
  Sequence(Request& owner, std::uint32_t choice_number, std::span<const Token> asked);

  Request& request;
  std::uint32_t choice;
  Phase phase = Phase::kQueued;
  std::int32_t stream = kNoStream;       // the engine's sequence id
  std::uint32_t computed = 0;            // tokens whose KV cells are filled
  std::uint32_t generated = 0;           // those that an earlier worker made included
  std::uint32_t keeps_stream_until = 0;  // so many are generated, even if others want it
  Token next = 0;                        // sampled, not yet computed; in phase decode
  Sampler sampler;
  TextStream text;
  Speculation speculation;
  Bytes saved;                 // in phase spilled: the state that its stream had
  bool finds_no_room = false;  // where it would be spilled to, until somebody makes some
  // In phase prefill: see scheduler_prefix.cc.
  bool looked_up = false;         // whether something of its prompt is computed already
  Sequence* source = nullptr;     // that computes what both begin with, up to fork_at
  std::uint32_t fork_at = 0;      // tokens
  std::uint32_t snapshot_at = 0;  // its state is kept there, too; 0: nowhere
  std::uint32_t cached = 0;       // tokens that it did not have to compute
  std::int64_t started_ns = 0;    // its first graph
  std::int64_t first_token_ns = 0;
  std::int64_t last_token_ns = 0;
};

struct Request {
  // `prefill_resumed`: what was made before is computed with the prompt, at once; else it is
  // decoded token by token, as it was then.
  Request(PreparedRequest prepared, std::uint32_t tokens_limit, bool prefill_resumed,
          const AdapterSet& set);
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  ipc::RequestId id() const { return submit.id; }
  // Nothing is computed for it until its consumer has read on.
  bool parked() const { return submit.credit_bytes > 0 && credit <= 0; }
  std::uint32_t prompt_tokens() const { return static_cast<std::uint32_t>(prompt.size()); }
  // Of a choice, that are still to be taken instead of being sampled.
  std::span<const Token> resumed(std::uint32_t choice) const;

  const ipc::Submit submit;
  const AdapterSet& adapters;              // the shelf's, until it is given back
  const std::uint64_t shares_prefixes_as;  // prefix_tenant()
  const std::uint32_t asked_tokens;        // of the prompt that was asked
  const std::vector<Token> prompt;         // to prefill
  const std::int64_t received_ns;
  const bool chat;                 // the prompt was messages
  const std::uint32_t tokens_max;  // to generate, resolved: at least 1
  std::vector<Sequence> choices;
  std::uint32_t choices_open;  // not done
  std::uint32_t choices_queued = 0;
  std::int64_t credit = 0;     // bytes of Deltas; below 0 if a step has overdrawn it
  std::int64_t parked_ns = 0;  // since when it is parked
  bool keeps_streams = false;  // it is parked and could not be spilled
  bool leaves_prefix;          // what it computes may be kept for others
};

}  // namespace aioss::worker
