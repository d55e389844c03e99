// Patch 0007: a state of a model with a sliding window, saved between two tiles of flash attention,
// goes on with the bits of a sequence that was never saved. Without it the window's first tile is
// cut, so that nothing before the state's end can be gone back to, and what follows lies otherwise
// in tiles.
#include <gtest/gtest.h>

#include <vector>

#include "engine/conformance_harness.h"
#include "engines/llama/invariance.h"
#include "engines/llama/test_models.h"

namespace aioss::engines::llama {
namespace {

constexpr std::uint32_t kGoneBackTo = 640;  // on the grid of prefills
constexpr std::uint32_t kSavedAt = 650;     // behind it, and past Gemma's window of 512
constexpr std::uint32_t kEnd = 700;

std::vector<float> logits_of(engine::Session& session) {
  const auto logits = session.logits(0);
  return {logits.begin(), logits.end()};
}

TEST(LlamaWindowState, GoesOnWithTheSameBits) {
  AIOSS_REQUIRE_MODEL(kGemma3);
  if (!kHasInvariantKernels) GTEST_SKIP() << "this llama.cpp is without our patches";
  const os::Fd file = open_model_file(kGemma3);
  const auto model = open_model(file.get(), AIOSS_PROFILE_REPRODUCIBLE);
  ASSERT_TRUE(model.has_value());
  engine::ConformanceOptions options;
  options.prompt_lengths = {kEnd};
  engine::conformance::Harness harness(**model, options, AIOSS_PROFILE_REPRODUCIBLE);
  const auto expected = harness.session(harness.session_options());
  const auto restored = harness.session(harness.session_options());
  ASSERT_TRUE(expected.has_value() && restored.has_value());

  ASSERT_TRUE(harness.prefill(**expected, 0, 0, 0, kSavedAt).has_value());
  const auto state = (*expected)->save(0);
  ASSERT_TRUE(state.has_value());
  ASSERT_TRUE((*restored)->load(0, *state).has_value());
  for (engine::Session* session : {expected->get(), restored->get()}) {
    const Status cut = session->remove(0, static_cast<std::int32_t>(kGoneBackTo), -1);
    ASSERT_TRUE(cut.has_value()) << cut.error().message;
    ASSERT_TRUE(harness.prefill(*session, 0, 0, kGoneBackTo, kEnd).has_value());
  }
  EXPECT_EQ(logits_of(**restored), logits_of(**expected));
}

}  // namespace
}  // namespace aioss::engines::llama
