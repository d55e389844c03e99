// Inside of the conformance suite: a session, batches and runs that can be compared bit for bit.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/conformance.h"

namespace aioss::engine::conformance {

// Sequences of a harness session: a subject and up to seven neighbours.
inline constexpr std::uint32_t kSequences = 8;

// A batch that owns its arrays. A value; view() borrows from it.
class BatchBuilder final {
 public:
  void clear();
  void add(std::int32_t token, std::int32_t position, std::int32_t sequence, bool output);
  std::size_t size() const { return tokens_.size(); }
  aioss_batch view() const;

 private:
  std::vector<std::int32_t> tokens_;
  std::vector<std::int32_t> positions_;
  std::vector<std::int32_t> sequences_;
  std::vector<std::uint8_t> outputs_;
};

using Rows = std::vector<std::vector<float>>;
// The logits of an output of the last call, copied.
std::vector<float> row_of(Session& session, std::uint32_t output);

// Everything a variant of the same computation may change.
struct Variant {
  std::uint32_t neighbours = 0;  // other sequences that decode in the same calls
  std::int32_t subject = 0;      // the sequence that is compared
  std::uint32_t chunk = 512;     // prefill budget, cut on the grid
  std::uint32_t threads = 0;     // 0: the options'
  bool earlier_use = false;      // the session has served and forgotten something else
  bool one_prefill = false;      // the continuation by prefill, not by decode steps
};

struct Run {
  Rows rows;                       // logits after each continuation token
  std::uint64_t decode_calls = 0;  // of the continuation
  std::uint64_t graphs = 0;
  std::string company;  // of neighbours that come and go: how many did
};

struct Comparison {
  bool equal = false;
  bool close = false;  // within 5 % of the range of the logits
  std::string detail;  // "equal 15/15", or where and how much they differ
};
Comparison compare(const Rows& expected, const Rows& actual);

// One model in one profile. Sessions are made as a variant needs them.
class Harness final {
 public:
  Harness(Model& model, const ConformanceOptions& options, aioss_profile profile);

  aioss_session_options session_options() const;
  Result<std::unique_ptr<Session>> session(const aioss_session_options& options);
  // Token i of prompt number `which`; different prompts share no prefix.
  std::int32_t token(std::uint32_t which, std::uint32_t i) const;
  // Prefill of [from, to) of prompt `which` by chunks on the grid; logits of the last token if
  // `last`.
  Status prefill(Session& session, std::uint32_t which, std::int32_t sequence, std::uint32_t from,
                 std::uint32_t to, std::uint32_t chunk = 512);
  // One token of prompt `which` at `position`, alone; its logits.
  Result<Rows> step(Session& session, std::uint32_t which, std::int32_t sequence,
                    std::uint32_t position);
  Result<Run> run(const Variant& variant, std::uint32_t length);

  aioss_profile profile() const { return profile_; }
  Model& model() { return model_; }
  const ConformanceOptions& options() const { return options_; }
  std::uint32_t vocabulary_size() const { return vocabulary_size_; }
  std::uint32_t grid() const { return grid_; }

 private:
  std::uint32_t neighbour_length(std::uint32_t index, std::uint32_t length) const;
  Status use_and_forget(Session& session);
  Result<Run> continue_by_steps(Session& session, const Variant& variant, std::uint32_t length);
  Result<Run> continue_by_prefill(Session& session, const Variant& variant, std::uint32_t length);

  Model& model_;
  const ConformanceOptions& options_;
  aioss_profile profile_;
  std::uint32_t vocabulary_size_;
  std::uint32_t grid_;
};

// Collects checks of one profile.
class Recorder final {
 public:
  // Both outlive it.
  Recorder(ConformanceReport& report, const ConformanceOptions& options, std::string profile)
      : report_(report), options_(options), profile_(std::move(profile)) {}
  void add(std::string name, Verdict verdict, std::string detail);
  void expect(std::string name, bool condition, std::string detail);
  void failed(std::string name, const Error& error);

 private:
  ConformanceReport& report_;
  const ConformanceOptions& options_;
  std::string profile_;
};

void check_identity(const aioss_engine& engine, Recorder& recorder);
void check_bad_models(const aioss_engine& engine, Recorder& recorder);
void check_struct_sizes(Harness& harness, Recorder& recorder);
void check_arguments(Harness& harness, Recorder& recorder);
void check_full(Harness& harness, Recorder& recorder);
void check_abort(Harness& harness, Recorder& recorder);
void check_remove(Harness& harness, Recorder& recorder);
void check_copy(Harness& harness, Recorder& recorder);
void check_state(Harness& harness, Recorder& recorder);
void check_reopen(Harness& harness, Recorder& recorder);
void check_plan(Harness& harness, Recorder& recorder);
void check_invariance(Harness& harness, Recorder& recorder);
void check_mixed_calls(Harness& harness, Recorder& recorder);
void check_adapters(Harness& harness, Recorder& recorder);

}  // namespace aioss::engine::conformance
