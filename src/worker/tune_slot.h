// A session that is tried before it is trusted, and then measured: the canary decodes several
// sequences of different lengths together, with sequences that end and begin again in between, and
// says which token was the likeliest at each place; runs compute a given number of tokens in one
// regime. What is read is a fixed text, so that every candidate computes the same. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/engine.h"
#include "ipc/tune.h"

namespace aioss::worker {

// More sequences than that take time and tell nothing more.
inline constexpr std::uint32_t kTuneSequencesMax = 8;
// Room for the longest prefill and some steps behind it. Whatever a model's context is: what
// attention costs depends on the cells that are in use.
inline constexpr std::uint32_t kTuneCellsMax = 1024;

struct TuneFigures {
  std::uint32_t tokens = 0;  // of all sequences
  std::int64_t ns = 0;
};

class TuneSlot final {
 public:
  // `options` has at most kTuneSequencesMax sequences; `text` is not empty. `model` and `clock`
  // outlive the slot.
  static Result<std::unique_ptr<TuneSlot>> create(engine::Model& model,
                                                  const aioss_session_options& options,
                                                  std::vector<ipc::Token> text, const Clock& clock);

  // Once, before the first run. kEngineFailed: its logits are not numbers. Otherwise as the engine.
  Result<std::vector<ipc::Token>> canary();
  // `tokens` of each sequence that takes part, or as many as it holds.
  Result<TuneFigures> run(ipc::Regime regime, std::uint32_t tokens);

 private:
  TuneSlot(std::unique_ptr<engine::Session> session, const aioss_session_options& options,
           std::vector<ipc::Token> text, const Clock& clock);

  ipc::Token token_at(std::uint32_t sequence, std::int32_t position) const;
  Status clear(std::uint32_t sequence);
  Status prefill(std::uint32_t sequence, std::uint32_t tokens);
  Status step(std::uint32_t sequences);  // one token of each of the first so many
  Status make_room(std::uint32_t sequences, std::uint32_t tokens);
  Status note_likeliest(std::uint32_t outputs, std::vector<ipc::Token>& out);
  Status steps_of_canary(std::vector<ipc::Token>& out);

  std::unique_ptr<engine::Session> session_;
  const std::uint32_t sequences_, cells_, batch_tokens_max_;
  const std::vector<ipc::Token> text_;
  const Clock& clock_;
  std::vector<std::int32_t> lengths_;  // tokens in each sequence
};

}  // namespace aioss::worker
