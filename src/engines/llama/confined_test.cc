// The engine inside the sandbox that workers live in: after the model's descriptor is handed over
// it opens nothing, so it must work where opening is refused.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "engine/conformance_harness.h"
#include "engines/llama/test_models.h"
#include "os/sandbox.h"

namespace aioss::engines::llama {
namespace {

int fail_with(const char* what, const Error& error) {
  std::fprintf(stderr, "%s: %s\n", what, error.message.c_str());
  return 1;
}

int load_and_decode(int fd, aioss_profile profile) {
  if (const auto stage = os::enter_stage_one(); !stage) return fail_with("one", stage.error());
  if (const auto stage = os::enter_stage_two(); !stage) return fail_with("two", stage.error());
  if (const auto all = engine::devices(*entry()); !all) return fail_with("devices", all.error());
  const auto model = open_model(fd, profile);
  if (!model) return fail_with("model", model.error());
  const auto text = open_text(**model);
  if (!text) return fail_with("text", text.error());
  std::vector<std::int32_t> tokens = *(*text)->tokenize("The record of the court", true, false);
  if ((*text)->facts().has_chat_template) {
    const auto chat = (*text)->apply_chat_template({{"user", "hi", ""}}, 1'700'000'000);
    if (!chat) return fail_with("template", chat.error());
    tokens = *chat;
  }
  aioss_session_options options = {};
  options.struct_size = sizeof options;
  options.sequences_max = 2;
  options.cells_per_sequence = 256;
  options.batch_tokens_max = 256;
  options.threads = 2;
  const auto session = engine::Session::create(**model, options);
  if (!session) return fail_with("session", session.error());
  engine::conformance::BatchBuilder batch;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    batch.add(tokens[i], static_cast<std::int32_t>(i), 0, i + 1 == tokens.size());
  }
  if (const Status status = (*session)->decode(batch.view()); !status) {
    return fail_with("decode", status.error());
  }
  if (const Status status = (*session)->copy(0, 1); !status)
    return fail_with("copy", status.error());
  std::fprintf(stderr, "decoded\n");
  return 0;
}

class LlamaConfinedDeathTest : public testing::TestWithParam<const char*> {};

TEST_P(LlamaConfinedDeathTest, LoadsAndDecodes) {
  AIOSS_REQUIRE_MODEL(GetParam());
  // In a process that runs this test alone: the sandbox wants a single thread.
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const os::Fd fd = open_model_file(GetParam());
  for (const aioss_profile profile : {AIOSS_PROFILE_FAST, AIOSS_PROFILE_REPRODUCIBLE}) {
    EXPECT_EXIT(std::_Exit(load_and_decode(fd.get(), profile)), testing::ExitedWithCode(0),
                "decoded");
  }
}

INSTANTIATE_TEST_SUITE_P(All, LlamaConfinedDeathTest, testing::Values(kSmolLm2, kGemma3),
                         [](const auto& test) {
                           return test.param[0] == 'S' ? "SmolLm2" : "Gemma3";
                         });

}  // namespace
}  // namespace aioss::engines::llama
