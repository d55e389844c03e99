// Split models: by descriptor, inside the sandbox, with the bits of the whole file.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "engine/conformance_harness.h"
#include "engines/llama/test_models.h"
#include "engines/llama/test_split.h"
#include "os/sandbox.h"

namespace aioss::engines::llama {
namespace {

constexpr const char* kSplitText = "The record of the court is kept by the clerk, who";
constexpr int kSteps = 4;

Result<std::unique_ptr<engine::Model>> open_parts(const std::vector<int>& fds,
                                                  aioss_profile profile) {
  aioss_model_options options = {};
  options.struct_size = sizeof options;
  options.profile = static_cast<std::uint32_t>(profile);
  options.fds = fds.data();
  options.fd_count = static_cast<std::uint32_t>(fds.size());
  return engine::Model::open(*entry(), options);
}

// The logits behind the text and behind each of a few greedy tokens; empty if something failed.
std::vector<float> logits_of(const std::vector<int>& fds, aioss_profile profile) {
  const auto model = open_parts(fds, profile);
  if (!model) {
    std::fprintf(stderr, "%s\n", model.error().message.c_str());
    return {};
  }
  const auto text = open_text(**model);
  if (!text) return {};
  aioss_session_options options = {};
  options.struct_size = sizeof options;
  options.sequences_max = 1;
  options.cells_per_sequence = 256;
  options.batch_tokens_max = 256;
  options.threads = 2;
  const auto session = engine::Session::create(**model, options);
  if (!session) return {};
  std::vector<std::int32_t> tokens = *(*text)->tokenize(kSplitText, true, false);
  std::vector<float> all;
  std::int32_t position = 0;
  for (int step = 0; step <= kSteps; ++step) {
    engine::conformance::BatchBuilder batch;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      batch.add(tokens[i], position++, 0, i + 1 == tokens.size());
    }
    if (!(*session)->decode(batch.view())) return {};
    const auto logits = (*session)->logits(0);
    all.insert(all.end(), logits.begin(), logits.end());
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    tokens = {static_cast<std::int32_t>(best)};
  }
  return all;
}

std::vector<int> numbers(const std::vector<os::Fd>& parts) {
  std::vector<int> fds;
  for (const os::Fd& part : parts) fds.push_back(part.get());
  return fds;
}

// The first part without a tensor, as `gguf-split --no-tensor-first-split` makes it.
std::vector<os::Fd> three_parts(const Splitter& model) {
  std::vector<os::Fd> parts;
  const std::size_t middle = model.tensors() / 3;
  parts.push_back(model.part(0, 3, 0, 0));
  parts.push_back(model.part(1, 3, 0, middle));
  parts.push_back(model.part(2, 3, middle, model.tensors()));
  return parts;
}

class LlamaSplitTest : public testing::TestWithParam<const char*> {};

TEST_P(LlamaSplitTest, HasTheBitsOfTheWholeFile) {
  AIOSS_REQUIRE_MODEL(GetParam());
  const os::Fd whole = open_model_file(GetParam());
  const std::vector<os::Fd> parts = three_parts(Splitter(model_path(GetParam())));
  for (const aioss_profile profile : {AIOSS_PROFILE_FAST, AIOSS_PROFILE_REPRODUCIBLE}) {
    const std::vector<float> expected = logits_of({whole.get()}, profile);
    ASSERT_FALSE(expected.empty());
    EXPECT_TRUE(logits_of(numbers(parts), profile) == expected) << "other bits";
  }
}

INSTANTIATE_TEST_SUITE_P(All, LlamaSplitTest, testing::Values(kSmolLm2, kGemma3),
                         [](const auto& test) {
                           return test.param[0] == 'S' ? "SmolLm2" : "Gemma3";
                         });

TEST(LlamaSplit, PlansWhatTheWholeFileNeeds) {
  AIOSS_REQUIRE_MODEL(kSmolLm2);
  const os::Fd whole = open_model_file(kSmolLm2);
  const std::vector<os::Fd> parts = three_parts(Splitter(model_path(kSmolLm2)));
  const auto plan_of = [](const std::vector<int>& fds) {
    aioss_model_options model = {};
    model.struct_size = sizeof model;
    model.fds = fds.data();
    model.fd_count = static_cast<std::uint32_t>(fds.size());
    model.profile = AIOSS_PROFILE_FAST;
    aioss_session_options session = {};
    session.struct_size = sizeof session;
    session.sequences_max = 2;
    session.cells_per_sequence = 512;
    session.batch_tokens_max = 64;
    session.threads = session.threads_batch = 1;
    return engine::plan(*entry(), model, session);
  };
  const auto one = plan_of({whole.get()});
  const auto three = plan_of(numbers(parts));
  ASSERT_TRUE(one && three);
  EXPECT_EQ(three->weight_bytes, one->weight_bytes);
  EXPECT_EQ(three->kv_bytes, one->kv_bytes);
}

TEST(LlamaSplit, PartsOutOfOrderOrMissingAreErrors) {
  AIOSS_REQUIRE_MODEL(kSmolLm2);
  const std::vector<os::Fd> parts = three_parts(Splitter(model_path(kSmolLm2)));
  const std::vector<int> fds = numbers(parts);
  for (const std::vector<int>& wrong : std::vector<std::vector<int>>{
           {fds[1], fds[0], fds[2]}, {fds[0], fds[2], fds[1]}, {fds[0], fds[1]}, {fds[0]}}) {
    const auto model = open_parts(wrong, AIOSS_PROFILE_FAST);
    ASSERT_FALSE(model);
    EXPECT_EQ(model.error().code, Code::kModelCorrupt) << model.error().message;
  }
}

int load_confined(const std::vector<int>& fds) {
  if (!os::enter_stage_one() || !os::enter_stage_two()) return 1;
  const bool loaded = !logits_of(fds, AIOSS_PROFILE_FAST).empty();
  if (loaded) std::fprintf(stderr, "decoded\n");
  return loaded ? 0 : 1;
}

TEST(LlamaSplitDeathTest, LoadsWhereNothingCanBeOpened) {
  AIOSS_REQUIRE_MODEL(kSmolLm2);
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const std::vector<os::Fd> parts = three_parts(Splitter(model_path(kSmolLm2)));
  EXPECT_EXIT(std::_Exit(load_confined(numbers(parts))), testing::ExitedWithCode(0), "decoded");
}

}  // namespace
}  // namespace aioss::engines::llama
