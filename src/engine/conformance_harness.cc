#include "engine/conformance_harness.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <utility>

namespace aioss::engine::conformance {
namespace {

// Room after the longest prompt: the continuation, and a neighbour that is longer than the subject.
constexpr std::uint32_t kRoomTokens = 96;

std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

std::size_t argmax(const std::vector<float>& row) {
  return static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

}  // namespace

std::vector<float> row_of(Session& session, std::uint32_t output) {
  const std::span<const float> logits = session.logits(output);
  return {logits.begin(), logits.end()};
}

void BatchBuilder::clear() {
  tokens_.clear();
  positions_.clear();
  sequences_.clear();
  outputs_.clear();
}

void BatchBuilder::add(std::int32_t token, std::int32_t position, std::int32_t sequence,
                       bool output) {
  tokens_.push_back(token);
  positions_.push_back(position);
  sequences_.push_back(sequence);
  outputs_.push_back(output ? 1 : 0);
}

aioss_batch BatchBuilder::view() const {
  aioss_batch batch = {};
  batch.struct_size = sizeof batch;
  batch.token_count = static_cast<std::uint32_t>(tokens_.size());
  batch.tokens = tokens_.data();
  batch.positions = positions_.data();
  batch.sequences = sequences_.data();
  batch.outputs = outputs_.data();
  return batch;
}

Comparison compare(const Rows& expected, const Rows& actual) {
  if (expected.size() != actual.size() || expected.empty()) {
    return {.detail = "another number of rows"};
  }
  std::size_t equal = 0;
  std::size_t same_choice = 0;
  std::size_t first = expected.size();
  float difference = 0.0F;
  float range = 0.0F;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto& a = expected[i];
    const auto& b = actual[i];
    if (a.size() != b.size() || a.empty()) return {.detail = "a row is missing"};
    const bool same = std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
    equal += same ? 1 : 0;
    if (!same) first = std::min(first, i);
    same_choice += argmax(a) == argmax(b) ? 1 : 0;
    const auto [low, high] = std::minmax_element(a.begin(), a.end());
    range = std::max(range, *high - *low);
    for (std::size_t k = 0; k < a.size(); ++k) {
      difference = std::max(difference, std::fabs(a[k] - b[k]));
    }
  }
  char text[160] = {};
  if (equal == expected.size()) {
    std::snprintf(text, sizeof text, "equal %zu/%zu", equal, expected.size());
  } else {
    std::snprintf(text, sizeof text,
                  "equal %zu/%zu, first other at %zu, same choice %zu/%zu, largest difference %.3g",
                  equal, expected.size(), first, same_choice, expected.size(),
                  static_cast<double>(difference));
  }
  return {.equal = equal == expected.size(),
          .close = std::isfinite(difference) && difference <= 0.05F * range,
          .detail = text};
}

Harness::Harness(Model& model, const ConformanceOptions& options, aioss_profile profile)
    : model_(model),
      options_(options),
      profile_(profile),
      vocabulary_size_(model.facts().vocabulary_size),
      grid_(std::max(1u, model.engine().prefill_grid_tokens())) {}

aioss_session_options Harness::session_options() const {
  const std::uint32_t longest =
      *std::max_element(options_.prompt_lengths.begin(), options_.prompt_lengths.end());
  aioss_session_options out = {};
  out.struct_size = sizeof out;
  out.sequences_max = kSequences;
  out.cells_per_sequence = longest + options_.decoded_tokens + kRoomTokens;
  out.batch_tokens_max = 512 + options_.decoded_tokens;
  out.outputs_max = std::max(kSequences, options_.decoded_tokens);
  out.threads = options_.threads;
  out.kv_type = options_.kv_type;
  out.flags = AIOSS_SESSION_COUNT_GRAPHS;
  return out;
}

Result<std::unique_ptr<Session>> Harness::session(const aioss_session_options& options) {
  return Session::create(model_, options);
}

std::int32_t Harness::token(std::uint32_t which, std::uint32_t i) const {
  const std::uint64_t draw = mix((std::uint64_t{which} << 32) ^ i);
  // Prompts differ from their first token on, whatever text they take the rest from.
  if (options_.tokens.empty() || i == 0) {
    return static_cast<std::int32_t>(draw % vocabulary_size_);
  }
  return options_.tokens[(std::size_t{which} * 37 + i) % options_.tokens.size()];
}

Status Harness::prefill(Session& session, std::uint32_t which, std::int32_t sequence,
                        std::uint32_t from, std::uint32_t to, std::uint32_t chunk) {
  BatchBuilder batch;
  while (from < to) {
    const std::uint32_t rest = to - from;
    std::uint32_t count = std::min(rest, chunk);
    // From the grid on: a chunk ends there again, or with the prompt.
    if (count < rest && count >= grid_) count = count / grid_ * grid_;
    batch.clear();
    for (std::uint32_t i = from; i < from + count; ++i) {
      batch.add(token(which, i), static_cast<std::int32_t>(i), sequence, i + 1 == to);
    }
    AIOSS_CHECK(session.decode(batch.view()));
    from += count;
  }
  return ok();
}

Result<Rows> Harness::step(Session& session, std::uint32_t which, std::int32_t sequence,
                           std::uint32_t position) {
  BatchBuilder batch;
  batch.add(token(which, position), static_cast<std::int32_t>(position), sequence, true);
  AIOSS_CHECK(session.decode(batch.view()));
  return Rows{row_of(session, 0)};
}

std::uint32_t Harness::neighbour_length(std::uint32_t index, std::uint32_t length) const {
  // One of them is longer than the subject, so that the graph's view of the cache is wider.
  return index == 2 ? length + kRoomTokens / 2 : 7 + 3 * index;
}

Status Harness::use_and_forget(Session& session) {
  for (std::int32_t sequence = 0; sequence < 2; ++sequence) {
    AIOSS_CHECK(prefill(session, 90 + static_cast<std::uint32_t>(sequence), sequence, 0, 100, 512));
  }
  BatchBuilder batch;
  for (std::uint32_t i = 100; i < 110; ++i) {
    batch.clear();
    batch.add(token(90, i), static_cast<std::int32_t>(i), 0, true);
    batch.add(token(91, i), static_cast<std::int32_t>(i), 1, true);
    AIOSS_CHECK(session.decode(batch.view()));
  }
  AIOSS_CHECK(session.remove(0, 40, -1));
  AIOSS_CHECK(session.remove(1, 0, -1));
  return session.remove(0, 0, -1);
}

Result<Run> Harness::continue_by_steps(Session& session, const Variant& variant,
                                       std::uint32_t length) {
  std::vector<std::uint32_t> lengths;  // by sequence id
  for (std::uint32_t s = 0, n = 0; s <= variant.neighbours; ++s) {
    const bool is_subject = static_cast<std::int32_t>(s) == variant.subject;
    lengths.push_back(is_subject ? length : neighbour_length(++n, length));
  }
  if (variant.neighbours == 0) lengths.assign(1, length);
  Run run;
  const aioss_counters before = session.counters();
  BatchBuilder batch;
  for (std::uint32_t i = 0; i < options_.decoded_tokens; ++i) {
    batch.clear();
    std::uint32_t subject_row = 0;
    for (std::uint32_t s = 0; s < lengths.size(); ++s) {
      const bool lone = variant.neighbours == 0;
      const auto sequence = lone ? variant.subject : static_cast<std::int32_t>(s);
      const bool is_subject = sequence == variant.subject;
      if (is_subject) subject_row = s;
      const std::uint32_t which = is_subject ? 0 : 1 + s;
      batch.add(token(which, lengths[s]), static_cast<std::int32_t>(lengths[s]), sequence, true);
      ++lengths[s];
    }
    AIOSS_CHECK(session.decode(batch.view()));
    run.rows.push_back(row_of(session, subject_row));
  }
  const aioss_counters after = session.counters();
  run.decode_calls = after.decode_calls - before.decode_calls;
  run.graphs = after.graphs - before.graphs;
  return run;
}

Result<Run> Harness::continue_by_prefill(Session& session, const Variant& variant,
                                         std::uint32_t length) {
  BatchBuilder batch;
  for (std::uint32_t i = 0; i < options_.decoded_tokens; ++i) {
    batch.add(token(0, length + i), static_cast<std::int32_t>(length + i), variant.subject, true);
  }
  AIOSS_CHECK(session.decode(batch.view()));
  Run run;
  for (std::uint32_t i = 0; i < options_.decoded_tokens; ++i) {
    run.rows.push_back(row_of(session, i));
  }
  return run;
}

Result<Run> Harness::run(const Variant& variant, std::uint32_t length) {
  aioss_session_options options = session_options();
  if (variant.threads != 0) options.threads = variant.threads;
  AIOSS_TRY(const auto session, this->session(options));
  if (variant.earlier_use) AIOSS_CHECK(use_and_forget(*session));
  for (std::uint32_t s = 0, n = 0; s <= variant.neighbours; ++s) {
    if (variant.neighbours == 0 || static_cast<std::int32_t>(s) == variant.subject) continue;
    AIOSS_CHECK(prefill(*session, 1 + s, static_cast<std::int32_t>(s), 0,
                        neighbour_length(++n, length), variant.chunk));
  }
  AIOSS_CHECK(prefill(*session, 0, variant.subject, 0, length, variant.chunk));
  return variant.one_prefill ? continue_by_prefill(*session, variant, length)
                             : continue_by_steps(*session, variant, length);
}

void Recorder::add(std::string name, Verdict verdict, std::string detail) {
  report_.checks.push_back({profile_, std::move(name), verdict, std::move(detail)});
  if (options_.on_check) options_.on_check(report_.checks.back());
}

void Recorder::expect(std::string name, bool condition, std::string detail) {
  add(std::move(name), condition ? Verdict::kPass : Verdict::kFail, std::move(detail));
}

void Recorder::failed(std::string name, const Error& error) {
  add(std::move(name), Verdict::kFail, error.message);
}

}  // namespace aioss::engine::conformance
