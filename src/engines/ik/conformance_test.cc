// The engine as workers get it: the plugin's file, opened by descriptor. The conformance suite with
// real models (all prompt lengths and chunk budgets with AIOSS_LONG=1), what the suite does not
// try, and how far its logits are from the engine llama's.
#include "engine/conformance.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "engine/conformance_harness.h"
#include "engine/plugin.h"
#include "engines/llama/test_models.h"
#include "os/environment.h"

namespace aioss::engines::ik {
namespace {

using engine::conformance::BatchBuilder;
using llama::kGemma3;
using llama::kSmolLm2;
using llama::model_path;
using llama::open_model_file;

constexpr const char* kText =
    "The chain of custody is verified by anyone who holds an earlier checkpoint and the public "
    "key of the log. A bank, a hospital and a court keep such records for ten years or more; "
    "nobody may "
    "take one out, and whoever adds one signs it. On Thursday the clerk counted 1,284 of them. ";

const aioss_engine& ik() {
  static const aioss_engine* const table = [] {
    const os::Fd file(open(AIOSS_IK_PLUGIN, O_RDONLY | O_CLOEXEC));
    const auto opened = engine::open_plugin(file.get());
    EXPECT_TRUE(opened.has_value()) << opened.error().message;
    return opened ? *opened : nullptr;
  }();
  return *table;
}

std::vector<std::int32_t> tokens_of(const char* model_name) {
  const os::Fd fd = open_model_file(model_name);
  const auto model = llama::open_model(fd.get());
  const auto text = llama::open_text(**model);
  return *(*text)->tokenize(kText, true, false);
}

struct Opened {
  std::unique_ptr<engine::Model> model;
  std::unique_ptr<engine::Session> session;

  Opened(const aioss_engine& table, const char* name, aioss_session_options options) {
    const os::Fd fd = open_model_file(name);
    const int number = fd.get();
    aioss_model_options open = {};
    open.struct_size = sizeof open;
    open.fds = &number;
    open.fd_count = 1;
    auto opened = engine::Model::open(table, open);
    EXPECT_TRUE(opened.has_value()) << opened.error().message;
    model = std::move(*opened);
    options.struct_size = sizeof options;
    options.threads = 2;
    auto created = engine::Session::create(*model, options);
    EXPECT_TRUE(created.has_value()) << created.error().message;
    session = std::move(*created);
  }
};

std::vector<float> last_row(const engine::Session& session) {
  const auto row = session.logits(0);
  return {row.begin(), row.end()};
}

// Logits after the last of `tokens`, computed by itself from nothing.
std::vector<float> prefill(engine::Session& session, std::int32_t sequence,
                           const std::vector<std::int32_t>& tokens) {
  BatchBuilder batch;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    batch.add(tokens[i], static_cast<std::int32_t>(i), sequence, i + 1 == tokens.size());
  }
  const Status status = session.decode(batch.view());
  EXPECT_TRUE(status.has_value()) << status.error().message;
  return last_row(session);
}

std::int32_t best(const std::vector<float>& row) {
  return static_cast<std::int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

float largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  float out = a.size() == b.size() ? 0.0F : INFINITY;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    out = std::max(out, std::abs(a[i] - b[i]));
  }
  return out;
}

// Token `i` of a text of so many kinds as wanted: texts share no beginning.
std::vector<std::int32_t> text_number(const std::vector<std::int32_t>& tokens, std::size_t number,
                                      std::size_t length) {
  std::vector<std::int32_t> out;
  for (std::size_t i = 0; i < length; ++i) {
    out.push_back(tokens[(1 + number * 17 + i * (number + 1)) % tokens.size()]);
  }
  return out;
}

engine::ConformanceReport conformance(const char* name, std::vector<std::uint32_t> quick_lengths) {
  const os::Fd fd = open_model_file(name);
  engine::ConformanceOptions options;
  options.fds = {fd.get()};
  options.tokens = tokens_of(name);
  if (!os::environment("AIOSS_LONG").has_value()) {
    options.prompt_lengths = std::move(quick_lengths);
    options.chunk_budgets = {320};
    options.company_seeds = {1};
    options.measure_unpromised = false;
  }
  engine::ConformanceReport report = engine::run_conformance(ik(), options);
  std::fputs(report.text().c_str(), stdout);
  return report;
}

TEST(IkConformance, SmolLm2) {
  AIOSS_REQUIRE_MODEL(kSmolLm2);
  const engine::ConformanceReport report = conformance(kSmolLm2, {155});
  EXPECT_TRUE(report.passed());
  EXPECT_GT(report.checks.size(), 40u);
}

TEST(IkConformance, Gemma3) {
  AIOSS_REQUIRE_MODEL(kGemma3);
  const engine::ConformanceReport report = conformance(kGemma3, {500});
  EXPECT_TRUE(report.passed());
  EXPECT_GT(report.checks.size(), 40u);
}

struct Distance {
  int steps = 0;
  int same_token = 0;
  double mean = 0;
  float largest = 0;
  float range = 0;  // of llama's logits
};

// llama chooses greedily; ik is given the same tokens.
Distance distance_from_llama(const char* name, std::size_t length, int steps) {
  aioss_session_options options = {};
  options.sequences_max = 1;
  options.cells_per_sequence = static_cast<std::uint32_t>(length) + 128;
  options.batch_tokens_max = 512;
  Opened a(*llama::entry(), name, options);
  Opened b(ik(), name, options);
  const auto prompt = text_number(tokens_of(name), 0, length);
  std::vector<float> expected = prefill(*a.session, 0, prompt);
  std::vector<float> actual = prefill(*b.session, 0, prompt);
  Distance out;
  for (int step = 0; step < steps; ++step) {
    ++out.steps;
    out.same_token += best(expected) == best(actual) ? 1 : 0;
    out.largest = std::max(out.largest, largest_difference(expected, actual));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      out.mean +=
          std::abs(double{expected[i]} - double{actual[i]}) / static_cast<double>(expected.size());
    }
    const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
    out.range = std::max(out.range, *high - *low);
    BatchBuilder next;
    next.add(best(expected), static_cast<std::int32_t>(length) + step, 0, true);
    EXPECT_TRUE(a.session->decode(next.view()).has_value());
    EXPECT_TRUE(b.session->decode(next.view()).has_value());
    expected = last_row(*a.session);
    actual = last_row(*b.session);
  }
  out.mean /= out.steps;
  std::printf(
      "%s, %zu tokens: %d of %d greedy tokens as llama's; logits differ by %.3f on average, "
      "%.2f at most, of a range of %.1f\n",
      name, length, out.same_token, out.steps, out.mean, double{out.largest}, double{out.range});
  return out;
}

TEST(IkAgainstLlama, GreedyTokensAndLogits) {
  for (const char* name : {kSmolLm2, kGemma3}) {
    if (model_path(name).empty()) GTEST_SKIP() << name << " is not in AIOSS_MODELS_DIR";
    for (const std::size_t length : {std::size_t{60}, std::size_t{400}}) {
      const Distance distance = distance_from_llama(name, length, 48);
      EXPECT_GE(distance.same_token, distance.steps * 9 / 10) << name;
      EXPECT_LE(distance.mean, double{distance.range} / 50) << name;
      EXPECT_LE(distance.largest, distance.range / 5) << name;
    }
  }
}

// Gives a graph up after so many questions, as a client that leaves does.
struct GivesUp {
  int questions_left = 0;
  static int answer(void* user) {
    return --static_cast<GivesUp*>(user)->questions_left < 0 ? 1 : 0;
  }
};

// Before our patch a thread that looked late left a barrier early, and the others waited for ever;
// with more than 32 tokens there was a second kind of barrier.
TEST(IkAbort, GraphsThatAreGivenUpEndAndTheNextOneIsRight) {
  AIOSS_REQUIRE_MODEL(kSmolLm2);
  const auto tokens = tokens_of(kSmolLm2);
  GivesUp gives_up;
  aioss_session_options options = {};
  options.sequences_max = 1;
  options.cells_per_sequence = 256;
  options.batch_tokens_max = 256;
  options.abort = GivesUp::answer;
  options.abort_user = &gives_up;
  Opened opened(ik(), kSmolLm2, options);
  for (const std::size_t length : {std::size_t{8}, std::size_t{100}}) {
    const auto text = text_number(tokens, 0, length);
    gives_up.questions_left = INT_MAX;
    const auto expected = prefill(*opened.session, 0, text);
    ASSERT_TRUE(opened.session->remove(0, 0, -1).has_value());
    for (int i = 0; i < 100; ++i) {
      gives_up.questions_left = 1 + i * 3;
      BatchBuilder batch;
      for (std::size_t t = 0; t < length; ++t) {
        batch.add(text[t], static_cast<std::int32_t>(t), 0, t + 1 == length);
      }
      const Status status = opened.session->decode(batch.view());
      ASSERT_FALSE(status.has_value()) << length << " tokens, " << i;
      ASSERT_EQ(status.error().code, Code::kCancelled);
    }
    gives_up.questions_left = INT_MAX;
    EXPECT_EQ(prefill(*opened.session, 0, text), expected) << length;
    ASSERT_TRUE(opened.session->remove(0, 0, -1).has_value());
  }
}

// What flash attention got wrong with several sequences before our patch: a block of queries of
// different sequences was computed as far as its last one sees, and a window as if cells stood in
// the order of positions.
class IkSequences : public testing::TestWithParam<const char*> {
 protected:
  void compute_together_and_alone(std::uint32_t kv_type);
};

// Each token is computed over runs of cells and over single ones that were copied together (patch
// 0004): prompts of different lengths, and more steps than a block has cells.
void IkSequences::compute_together_and_alone(std::uint32_t kv_type) {
  constexpr std::size_t kSequences = 8;
  constexpr std::size_t kSteps = 40;
  // Beyond Gemma's window of 512.
  const std::size_t shortest = std::string_view(GetParam()) == kGemma3 ? 600 : 150;
  const auto length_of = [&](std::size_t s) { return shortest + 17 * s; };
  const auto tokens = tokens_of(GetParam());
  const auto text = [&](std::size_t s) { return text_number(tokens, s, length_of(s) + kSteps); };
  aioss_session_options options = {};
  options.sequences_max = kSequences;
  options.cells_per_sequence = 1024;
  options.batch_tokens_max = 1024;
  options.kv_type = kv_type;
  Opened many(ik(), GetParam(), options);
  options.sequences_max = 1;
  Opened one(ik(), GetParam(), options);
  for (std::size_t s = 0; s < kSequences; ++s) {
    prefill(*many.session, static_cast<std::int32_t>(s), text_number(tokens, s, length_of(s)));
  }
  for (std::size_t step = 0; step < kSteps; ++step) {
    BatchBuilder batch;
    for (std::size_t s = 0; s < kSequences; ++s) {
      const std::size_t position = length_of(s) + step;
      batch.add(text(s)[position], static_cast<std::int32_t>(position),
                static_cast<std::int32_t>(s), true);
    }
    ASSERT_TRUE(many.session->decode(batch.view()).has_value());
  }
  for (const std::size_t s : {std::size_t{0}, std::size_t{3}, kSequences - 1}) {
    ASSERT_TRUE(one.session->remove(0, 0, -1).has_value());
    const auto alone = prefill(*one.session, 0, text(s));
    const auto row = many.session->logits(static_cast<std::uint32_t>(s));
    const std::vector<float> together(row.begin(), row.end());
    const auto [low, high] = std::minmax_element(alone.begin(), alone.end());
    EXPECT_LE(largest_difference(alone, together), (*high - *low) / 20) << "sequence " << s;
    EXPECT_EQ(best(alone), best(together)) << "sequence " << s;
  }
}

TEST_P(IkSequences, ComputeTogetherWhatTheyComputeAlone) {
  AIOSS_REQUIRE_MODEL(GetParam());
  compute_together_and_alone(AIOSS_KV_F16);
}

TEST_P(IkSequences, ComputeTogetherWhatTheyComputeAloneOverQuantizedCells) {
  AIOSS_REQUIRE_MODEL(GetParam());
  compute_together_and_alone(AIOSS_KV_Q8_0);
}

// Sequences that decode together interleave their cells; what one of them leaves are single cells,
// and a prefill wants a run.
TEST_P(IkSequences, FindRoomBetweenOthersCells) {
  AIOSS_REQUIRE_MODEL(GetParam());
  constexpr std::int32_t kSequences = 4;
  constexpr std::int32_t kCells = 256;
  const auto tokens = tokens_of(GetParam());
  aioss_session_options options = {};
  options.sequences_max = kSequences;
  options.cells_per_sequence = kCells;
  options.batch_tokens_max = kCells;
  Opened many(ik(), GetParam(), options);
  for (std::int32_t position = 0; position < kCells; ++position) {
    BatchBuilder batch;
    for (std::int32_t s = 0; s < kSequences; ++s) {
      const auto text = text_number(tokens, static_cast<std::size_t>(s), kCells);
      batch.add(text[static_cast<std::size_t>(position)], position, s, s == 0);
    }
    ASSERT_TRUE(many.session->decode(batch.view()).has_value()) << position;
  }
  const auto state = many.session->save(2);
  ASSERT_TRUE(state.has_value()) << state.error().message;
  ASSERT_TRUE(many.session->remove(1, 0, -1).has_value());
  const auto text = text_number(tokens, 5, kCells);
  const auto squeezed_in = prefill(*many.session, 1, text);
  ASSERT_TRUE(many.session->remove(1, 0, -1).has_value());
  ASSERT_TRUE(many.session->load(1, *state).has_value());  // as does a state

  options.sequences_max = 1;
  Opened one(ik(), GetParam(), options);
  const auto alone = prefill(*one.session, 0, text);
  const auto [low, high] = std::minmax_element(alone.begin(), alone.end());
  EXPECT_LE(largest_difference(alone, squeezed_in), (*high - *low) / 20);
  // And the neighbours' cells were not mixed up: their last token once more.
  for (const std::int32_t s : {0, 1, 2, 3}) {
    const auto own = text_number(tokens, static_cast<std::size_t>(s == 1 ? 2 : s), kCells);
    ASSERT_TRUE(many.session->remove(s, kCells - 1, -1).has_value());
    BatchBuilder last;
    last.add(own.back(), kCells - 1, s, true);
    ASSERT_TRUE(many.session->decode(last.view()).has_value());
    const auto again = last_row(*many.session);
    ASSERT_TRUE(one.session->remove(0, 0, -1).has_value());
    const auto expected = prefill(*one.session, 0, own);
    const auto range = std::minmax_element(expected.begin(), expected.end());
    EXPECT_LE(largest_difference(expected, again), (*range.second - *range.first) / 20) << s;
  }
}

INSTANTIATE_TEST_SUITE_P(All, IkSequences, testing::Values(kSmolLm2, kGemma3),
                         [](const auto& test) {
                           return test.param[0] == 'S' ? "SmolLm2" : "Gemma3";
                         });

}  // namespace
}  // namespace aioss::engines::ik
