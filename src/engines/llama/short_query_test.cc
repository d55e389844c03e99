// Patch 0005: the ends of prompts, 16 to 63 tokens, take the tiles of flash attention that longer
// calls take. Without it they differ from one whole prefill by 0.5 to 1.6 in a logit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "engine/conformance_harness.h"
#include "engines/llama/test_models.h"

namespace aioss::engines::llama {
namespace {

constexpr std::size_t kBeginning = 600;  // past 512, where the decode kernel splits the cache
constexpr float kTolerance = 1e-3F;

std::vector<std::int32_t> tokens_for(const engine::TextModel& text, std::size_t count) {
  std::string words;
  for (std::size_t i = 0; i < count; ++i) words += " ledger" + std::to_string(i);
  std::vector<std::int32_t> tokens = *text.tokenize(words, true, false);
  tokens.resize(count);
  return tokens;
}

// The logits behind the last of the tokens, computed in calls that end there.
std::vector<float> logits_of(engine::Model& model, const std::vector<std::int32_t>& tokens,
                             const std::vector<std::size_t>& ends) {
  aioss_session_options options = {};
  options.struct_size = sizeof options;
  options.sequences_max = 1;
  options.cells_per_sequence = 1024;
  options.batch_tokens_max = 1024;
  options.threads = 2;
  const auto session = engine::Session::create(model, options);
  if (!session) return {};
  std::size_t position = 0;
  for (const std::size_t end : ends) {
    engine::conformance::BatchBuilder batch;
    for (; position < end; ++position) {
      batch.add(tokens[position], static_cast<std::int32_t>(position), 0,
                position + 1 == tokens.size());
    }
    if (!(*session)->decode(batch.view())) return {};
  }
  const auto logits = (*session)->logits(0);
  return {logits.begin(), logits.end()};
}

class ShortQueryTest : public testing::TestWithParam<const char*> {};

TEST_P(ShortQueryTest, EndsAreComputedAsInOneWholePrefill) {
  AIOSS_REQUIRE_MODEL(GetParam());
  const os::Fd file = open_model_file(GetParam());
  const auto model = open_model(file.get());
  ASSERT_TRUE(model);
  const auto text = open_text(**model);
  ASSERT_TRUE(text);
  const auto ends =
      long_form() ? std::vector<std::size_t>{16, 17, 30, 63} : std::vector<std::size_t>{16, 63};
  for (const std::size_t end : ends) {
    const std::vector<std::int32_t> tokens = tokens_for(**text, kBeginning + end);
    const std::vector<float> whole = logits_of(**model, tokens, {tokens.size()});
    const std::vector<float> parts = logits_of(**model, tokens, {kBeginning, tokens.size()});
    ASSERT_FALSE(whole.empty());
    ASSERT_EQ(whole.size(), parts.size());
    float most = 0;
    for (std::size_t i = 0; i < whole.size(); ++i) {
      most = std::max(most, std::abs(whole[i] - parts[i]));
    }
    EXPECT_LE(most, kTolerance) << "an end of " << end << " tokens";
  }
}

INSTANTIATE_TEST_SUITE_P(All, ShortQueryTest, testing::Values(kSmolLm2, kGemma3),
                         [](const auto& test) {
                           return test.param[0] == 'S' ? "SmolLm2" : "Gemma3";
                         });

}  // namespace
}  // namespace aioss::engines::llama
