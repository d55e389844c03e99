#include "worker/tune_slot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/assert.h"

namespace aioss::worker {
namespace {

// Of the canary's sequences in turn: within a block of any kernel, over one, over several.
constexpr std::array<std::uint32_t, 4> kLengths{5, 33, 70, 130};
constexpr std::uint32_t kBegunAgainTokens = 21;
constexpr std::uint32_t kStepsTogether = 8;  // before a sequence ends, and after it
constexpr std::uint32_t kShortTokens = 5;    // of a sequence that is begun anew for want of cells
// A sequence of the canary takes at most its share of the cells.
constexpr std::uint32_t kShareOfCells = 3;
// Each reads the text from another place on.
constexpr std::size_t kPlacesApart = 17;

struct Batch {
  std::vector<std::int32_t> tokens, positions, sequences;
  std::vector<std::uint8_t> outputs;

  void add(ipc::Token token, std::int32_t position, std::uint32_t sequence, bool output) {
    tokens.push_back(token);
    positions.push_back(position);
    sequences.push_back(static_cast<std::int32_t>(sequence));
    outputs.push_back(output ? 1 : 0);
  }
  aioss_batch view() const {
    aioss_batch batch = {};
    batch.struct_size = sizeof batch;
    batch.token_count = static_cast<std::uint32_t>(tokens.size());
    batch.tokens = tokens.data();
    batch.positions = positions.data();
    batch.sequences = sequences.data();
    batch.outputs = outputs.data();
    return batch;
  }
};

}  // namespace

Result<std::unique_ptr<TuneSlot>> TuneSlot::create(engine::Model& model,
                                                   const aioss_session_options& options,
                                                   std::vector<ipc::Token> text,
                                                   const Clock& clock) {
  ASSERT(!text.empty() && options.sequences_max <= kTuneSequencesMax);
  AIOSS_TRY(auto session, engine::Session::create(model, options));
  return std::unique_ptr<TuneSlot>(
      new TuneSlot(std::move(session), options, std::move(text), clock));
}

TuneSlot::TuneSlot(std::unique_ptr<engine::Session> session, const aioss_session_options& options,
                   std::vector<ipc::Token> text, const Clock& clock)
    : session_(std::move(session)),
      sequences_(options.sequences_max),
      cells_(options.cells_per_sequence),
      batch_tokens_max_(options.batch_tokens_max),
      text_(std::move(text)),
      clock_(clock),
      lengths_(options.sequences_max, 0) {}

ipc::Token TuneSlot::token_at(std::uint32_t sequence, std::int32_t position) const {
  return text_[(sequence * kPlacesApart + static_cast<std::size_t>(position)) % text_.size()];
}

// ---- what it computes ---------------------------------------------------------------------------

Status TuneSlot::clear(std::uint32_t sequence) {
  AIOSS_CHECK(session_->remove(static_cast<std::int32_t>(sequence), 0, -1));
  lengths_[sequence] = 0;
  return ok();
}

// The logits of the last token are kept.
Status TuneSlot::prefill(std::uint32_t sequence, std::uint32_t tokens) {
  for (std::uint32_t done = 0; done < tokens;) {
    const std::uint32_t count = std::min(tokens - done, batch_tokens_max_);
    Batch batch;
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::int32_t position = lengths_[sequence] + static_cast<std::int32_t>(i);
      batch.add(token_at(sequence, position), position, sequence, done + i + 1 == tokens);
    }
    AIOSS_CHECK(session_->decode(batch.view()));
    lengths_[sequence] += static_cast<std::int32_t>(count);
    done += count;
  }
  return ok();
}

Status TuneSlot::step(std::uint32_t sequences) {
  Batch batch;
  for (std::uint32_t s = 0; s < sequences; ++s) {
    batch.add(token_at(s, lengths_[s]), lengths_[s], s, true);
  }
  AIOSS_CHECK(session_->decode(batch.view()));
  for (std::uint32_t s = 0; s < sequences; ++s) ++lengths_[s];
  return ok();
}

Status TuneSlot::make_room(std::uint32_t sequences, std::uint32_t tokens) {
  for (std::uint32_t s = 0; s < sequences; ++s) {
    const bool is_empty = lengths_[s] == 0;
    if (!is_empty && static_cast<std::uint32_t>(lengths_[s]) + tokens <= cells_) continue;
    AIOSS_CHECK(clear(s));
    AIOSS_CHECK(prefill(s, std::min(kShortTokens, cells_ - tokens)));
  }
  return ok();
}

// ---- the canary ---------------------------------------------------------------------------------

Status TuneSlot::note_likeliest(std::uint32_t outputs, std::vector<ipc::Token>& out) {
  for (std::uint32_t i = 0; i < outputs; ++i) {
    const auto logits = session_->logits(i);
    const bool finite =
        std::all_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); });
    if (logits.empty() || !finite) {
      return Error{Code::kEngineFailed, "the engine's logits are not numbers"};
    }
    out.push_back(
        static_cast<ipc::Token>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
  }
  return ok();
}

Status TuneSlot::steps_of_canary(std::vector<ipc::Token>& out) {
  for (std::uint32_t i = 0; i < kStepsTogether; ++i) {
    AIOSS_CHECK(make_room(sequences_, 1));
    AIOSS_CHECK(step(sequences_));
    AIOSS_CHECK(note_likeliest(sequences_, out));
  }
  return ok();
}

Result<std::vector<ipc::Token>> TuneSlot::canary() {
  std::vector<ipc::Token> out;
  const std::uint32_t share = std::max(cells_ / kShareOfCells, 1U);
  for (std::uint32_t s = 0; s < sequences_; ++s) {
    AIOSS_CHECK(prefill(s, std::min(kLengths[s % kLengths.size()], share)));
    AIOSS_CHECK(note_likeliest(1, out));
  }
  AIOSS_CHECK(steps_of_canary(out));
  // One in front, so that those behind it are alone for a moment, and the last.
  for (const std::uint32_t s : {0U, sequences_ - 1}) {
    AIOSS_CHECK(clear(s));
    AIOSS_CHECK(prefill(s, std::min(kBegunAgainTokens, share)));
    AIOSS_CHECK(note_likeliest(1, out));
  }
  AIOSS_CHECK(steps_of_canary(out));
  return out;
}

// ---- runs ---------------------------------------------------------------------------------------

Result<TuneFigures> TuneSlot::run(ipc::Regime regime, std::uint32_t tokens) {
  const std::uint32_t each = std::clamp(tokens, 1U, cells_);
  const bool is_prefill = regime == ipc::Regime::kPrefill;
  const std::uint32_t sequences = regime == ipc::Regime::kDecodeMany ? sequences_ : 1;
  if (is_prefill) {
    AIOSS_CHECK(clear(0));
  } else {
    AIOSS_CHECK(make_room(sequences, each));
  }
  const std::int64_t began_ns = clock_.monotonic_ns();
  if (is_prefill) {
    AIOSS_CHECK(prefill(0, each));
    (void)session_->logits(0);  // an engine may still be computing
  } else {
    for (std::uint32_t i = 0; i < each; ++i) {
      AIOSS_CHECK(step(sequences));
      (void)session_->logits(0);
    }
  }
  return TuneFigures{each * sequences, clock_.monotonic_ns() - began_ns};
}

}  // namespace aioss::worker
