// From what a stream says to the JSON that OpenAI's clients read: whole answers, chunks of a
// streamed one, errors, the list of models. No I/O. Values; one thread each.
//
// What is ours travels in one extra member, `aioss`, of the whole answer, of the last chunk or of
// the error that ends a stream: the ids under which the ledger knows this answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/openai/logprobs.h"
#include "api/openai/rules.h"
#include "base/result.h"
#include "runtime/calls/model_entry.h"
#include "runtime/calls/stream.h"

namespace aioss::api::openai {

// A whole answer that is larger is refused; n = 16 answers of 4,096 tokens with 20 alternatives
// each would be about 80 MB of JSON. Streams have no such bound, because nothing is kept.
inline constexpr std::size_t kAnswerBytesMax = std::size_t{64} << 20;

struct AnswerFacts {
  Endpoint endpoint = Endpoint::kChat;
  std::string request_id;  // "req_…"
  std::string model;
  std::string fingerprint;
  std::int64_t created_unix_s = 0;
  ipc::Profile profile = ipc::Profile::kFast;
  std::uint64_t seed = 0;
  std::optional<std::uint64_t> request_record = 0;  // nothing if it failed before it had one
  std::uint32_t choices = 1;
  bool logprobs = false;
  bool include_usage = false;
};

// "aioss-0.1.0-llama-<build>-fast": what can change the answer besides the request and the model.
std::string fingerprint(const ipc::EngineFacts& engine, ipc::Profile profile);

// Server-sent events. Call begin(), then add() for each event in order, then done() or fail(). Each
// appends whole events to `out`.
class ChunkWriter final {
 public:
  explicit ChunkWriter(AnswerFacts facts);

  void begin(std::string& out);  // a chat's first chunks, with the role
  void add(const runtime::StreamDelta& delta, std::string& out);
  void add(const runtime::ChoiceEnd& end, std::string& out);
  void done(const runtime::StreamDone& done, std::string& out);  // ends with [DONE]
  void fail(const runtime::StreamFailed& failed, std::string& out);

 private:
  void open_chunk(std::uint32_t choice, std::string& out) const;
  void write_finish(const runtime::ChoiceEnd& end, std::string_view aioss, std::string& out) const;
  void flush_held(std::string& out);

  const AnswerFacts facts_;
  std::string head_;                   // of every chunk, up to the number of the choice
  std::string tail_;                   // of every chunk but the last, after its choices
  std::vector<LogprobText> logprobs_;  // by choice
  // The end of a choice is held until it is known whether it is the last, which carries `aioss`.
  std::optional<runtime::ChoiceEnd> held_;
};

// How far the load is that a stream waits for, as an event of its own kind, `aioss.progress`, whose
// data is a chunk without choices: a client that does not know the kind reads a chunk that says
// nothing.
std::string progress_event(const AnswerFacts& facts, const ModelWait& wait);

// A whole answer.
class AnswerWriter final {
 public:
  explicit AnswerWriter(AnswerFacts facts);

  Status add(const runtime::StreamDelta& delta);  // kTooLarge over kAnswerBytesMax
  void add(const runtime::ChoiceEnd& end);
  std::string done(const runtime::StreamDone& done);

 private:
  struct Choice {
    explicit Choice(Endpoint endpoint) : logprobs(endpoint) {}
    std::string text;
    LogprobText logprobs;
    ipc::FinishReason reason = ipc::FinishReason::kStop;
  };
  void write_choice(std::uint32_t index, std::string& out);

  const AnswerFacts facts_;
  std::vector<Choice> choices_;
  std::size_t bytes_ = 0;
};

// {"error":{"message","type","param","code"}}; of a model that is not ready also "load" (how far it
// is, or when it may be tried again), of a full queue "position" (how many wait
// before it) and "estimate_seconds" (null while no speed is measured).
std::string error_body(const Error& error);

std::string model_object(const runtime::ModelEntry& entry);
std::string model_list(const std::vector<runtime::ModelEntry>& entries);

}  // namespace aioss::api::openai
