// What a call returns that mixes sequences, of which one has several tokens: the rows that each
// sequence's tokens give in a call of their own, bit for bit.
#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "engine/conformance_harness.h"

namespace aioss::engine::conformance {
namespace {

constexpr std::uint32_t kSequencesMixed = 2;

// Token `i` of prompt `which`, in the sequence of that number.
struct Token {
  std::uint32_t which;
  std::uint32_t i;
  bool output;
};
using Call = std::vector<Token>;

struct Case {
  std::string name;
  std::array<std::uint32_t, kSequencesMixed> held;  // tokens of each prompt, before the call
  Call call;
};

constexpr std::uint32_t kStepAt = 9;
// Tokens. More than engines compute one by one (llama.cpp's attention: 15), and fewer than a grid.
constexpr std::uint32_t kTail = 24;

Call tail(std::uint32_t which, std::uint32_t from) {
  Call call;
  for (std::uint32_t i = 0; i < kTail; ++i) {
    call.push_back({.which = which, .i = from + i, .output = i + 2 >= kTail});
  }
  return call;
}

// A whole prompt that ends a few tokens behind the grid, which an engine may compute in two parts,
// with an output in each.
Call few_behind(std::uint32_t which, std::uint32_t grid) {
  constexpr std::uint32_t kFew = 8;
  Call call;
  for (std::uint32_t i = 0; i < grid + kFew; ++i) {
    call.push_back({.which = which, .i = i, .output = i + 1 == grid || i + 1 == grid + kFew});
  }
  return call;
}

std::vector<Case> cases(std::uint32_t grid) {
  const Token step = {.which = 0, .i = kStepAt, .output = true};
  const Call one = tail(0, grid), other = tail(1, grid);
  Call step_first = {step}, step_last = other, alternating;
  step_first.insert(step_first.end(), other.begin(), other.end());
  step_last.push_back(step);
  for (std::uint32_t i = 0; i < kTail; ++i) {
    alternating.push_back(other[i]);
    alternating.push_back(one[i]);
  }
  Call step_before_prompt = few_behind(1, grid);
  step_before_prompt.insert(step_before_prompt.begin(), step);
  return {{.name = "step_and_prompt", .held = {kStepAt, 0}, .call = step_before_prompt},
          {.name = "step_and_tail", .held = {kStepAt, grid}, .call = step_first},
          {.name = "tail_and_step", .held = {kStepAt, grid}, .call = step_last},
          {.name = "tails_that_alternate", .held = {grid, grid}, .call = alternating}};
}

Result<std::unique_ptr<Session>> begin(Harness& harness, const Case& mixed) {
  AIOSS_TRY(auto session, harness.session(harness.session_options()));
  for (std::uint32_t which = 0; which < kSequencesMixed; ++which) {
    AIOSS_CHECK(
        harness.prefill(*session, which, static_cast<std::int32_t>(which), 0, mixed.held[which]));
  }
  return session;
}

Result<Rows> decode(Harness& harness, Session& session, const Call& call) {
  BatchBuilder batch;
  std::uint32_t outputs = 0;
  for (const Token& token : call) {
    batch.add(harness.token(token.which, token.i), static_cast<std::int32_t>(token.i),
              static_cast<std::int32_t>(token.which), token.output);
    outputs += token.output ? 1 : 0;
  }
  AIOSS_CHECK(session.decode(batch.view()));
  Rows rows;
  for (std::uint32_t i = 0; i < outputs; ++i) rows.push_back(row_of(session, i));
  return rows;
}

// In the order of the mixed call.
Result<Rows> decode_apart(Harness& harness, const Case& mixed) {
  AIOSS_TRY(const auto session, begin(harness, mixed));
  std::array<Rows, kSequencesMixed> of;
  for (std::uint32_t which = 0; which < kSequencesMixed; ++which) {
    Call own;
    std::copy_if(mixed.call.begin(), mixed.call.end(), std::back_inserter(own),
                 [which](const Token& token) { return token.which == which; });
    AIOSS_TRY(of[which], decode(harness, *session, own));
  }
  Rows rows;
  std::array<std::size_t, kSequencesMixed> taken = {};
  for (const Token& token : mixed.call) {
    if (token.output) rows.push_back(of[token.which][taken[token.which]++]);
  }
  return rows;
}

void check_case(Harness& harness, const Case& mixed, Recorder& recorder) {
  const std::string name = "mixed_call." + mixed.name;
  const Result<Rows> apart = decode_apart(harness, mixed);
  if (!apart) return recorder.failed(name, apart.error());
  auto session = begin(harness, mixed);
  if (!session) return recorder.failed(name, session.error());
  const Result<Rows> together = decode(harness, **session, mixed.call);
  if (!together) return recorder.failed(name, together.error());
  const Comparison result = compare(*apart, *together);
  recorder.expect(name, result.equal, result.detail);
}

}  // namespace

void check_mixed_calls(Harness& harness, Recorder& recorder) {
  if (harness.profile() == AIOSS_PROFILE_FAST) return;
  for (const Case& mixed : cases(harness.grid())) check_case(harness, mixed, recorder);
}

}  // namespace aioss::engine::conformance
