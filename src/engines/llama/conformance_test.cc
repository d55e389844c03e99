// The conformance suite against llama.cpp, with real models, in both profiles. The quick form, one
// prompt length a model, is for every run; AIOSS_LONG=1 takes all lengths and chunk budgets.
#include "engine/conformance.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "engines/llama/invariance.h"
#include "engines/llama/test_adapter.h"
#include "engines/llama/test_models.h"

namespace aioss::engines::llama {
namespace {

constexpr const char* kText =
    "The chain of custody is verified by anyone who holds an earlier checkpoint and the public "
    "key of the log. A bank, a hospital and a court keep such records for ten years or more; "
    "nobody may "
    "take one out, and whoever adds one signs it. On Thursday the clerk counted 1,284 of them. ";

// The engine itself is never instrumented: under sanitizers the same arithmetic would only run
// again.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define AIOSS_ONCE_PER_ENGINE() \
  GTEST_SKIP() << "llama.cpp is not instrumented: see the release build"
#else
#define AIOSS_ONCE_PER_ENGINE() static_cast<void>(0)
#endif

engine::ConformanceReport run(const char* name, std::vector<std::uint32_t> quick_lengths,
                              aioss_kv_type kv_type = AIOSS_KV_F16) {
  const os::Fd fd = open_model_file(name);
  const bool adapted = std::string_view(name) == kSmolLm2;
  const os::Fd adapter = adapted ? TestAdapter().file() : os::Fd();
  engine::ConformanceOptions options;
  options.fds = {fd.get()};
  options.kv_type = kv_type;
  if (adapted) options.adapter_fd = adapter.get();
  const bool quantized = kv_type != AIOSS_KV_F16;
  if (quantized) options.profiles = {AIOSS_PROFILE_REPRODUCIBLE};
  if (quantized || !long_form()) {  // quantized ones go token by token
    options.prompt_lengths = std::move(quick_lengths);
    options.chunk_budgets = {64, 320};
    options.company_seeds = {1};
    options.measure_unpromised = false;
  }
  {
    const auto model = open_model(fd.get());
    EXPECT_TRUE(model.has_value());
    const auto text = open_text(**model);
    EXPECT_TRUE(text.has_value());
    options.tokens = *(*text)->tokenize(kText, false, false);
  }
  engine::ConformanceReport report = engine::run_conformance(*entry(), options);
  std::fputs(report.text().c_str(), stdout);
  return report;
}

// A row that was skipped, or that is not there, is not a failure of the suite; here it would be.
void expect_proven(const engine::ConformanceReport& report) {
  for (const char* row : {"copied", "moved", "come_and_go_1"}) {
    const std::string name = std::string("same_bits.") + row + ".at_";
    int proven = 0;
    for (const engine::ConformanceCheck& check : report.checks) {
      if (check.profile != "reproducible" || !check.name.starts_with(name)) continue;
      EXPECT_EQ(check.verdict, engine::Verdict::kPass) << check.name << ": " << check.detail;
      EXPECT_TRUE(check.detail.starts_with("equal ")) << check.name << ": " << check.detail;
      ++proven;
    }
    EXPECT_GT(proven, 0) << name;
  }
}

// The second pair fits in 32 bits until cells are rounded up to llama.cpp's multiples.
TEST(LlamaLimits, CellsOfAllSequencesAreCountedIn64Bits) {
  AIOSS_REQUIRE_MODEL(kSmolLm2);
  const os::Fd file = open_model_file(kSmolLm2);
  const int fd = file.get();
  aioss_model_options model = {};
  model.struct_size = sizeof model;
  model.fds = &fd;
  model.fd_count = 1;
  aioss_session_options session = {};
  session.struct_size = sizeof session;
  session.sequences_max = AIOSS_SEQUENCES_MAX;
  session.batch_tokens_max = AIOSS_SEQUENCES_MAX;
  for (const std::uint32_t less : {0u, 1u}) {
    session.cells_per_sequence = AIOSS_CELLS_PER_SEQUENCE_MAX - less;
    const auto planned = engine::plan(*entry(), model, session);
    ASSERT_FALSE(planned.has_value());
    EXPECT_EQ(planned.error().code, Code::kInvalidArgument);
    EXPECT_NE(planned.error().message.find("256 sequences of 16777216 cells"), std::string::npos)
        << planned.error().message;
    EXPECT_NE(planned.error().message.find("4294967296 cells; a session holds at most 4294967295"),
              std::string::npos)
        << planned.error().message;
  }
}

// 520: past 512 cells a lone sequence's are split over the threads, unless patch 0006 is asked not
// to; and the tail of 8 is too short for tiles of flash attention, as is that of 79, just so.
TEST(LlamaConformance, SmolLm2) {
  AIOSS_ONCE_PER_ENGINE();
  AIOSS_REQUIRE_MODEL(kSmolLm2);
  const engine::ConformanceReport report = run(kSmolLm2, {79, 520});
  EXPECT_TRUE(report.passed());
  EXPECT_GT(report.checks.size(), 50u);
  expect_proven(report);
  EXPECT_NE(report.text().find("reproducible: adapters.base_beside  (equal 15/15)"),
            std::string::npos);
  EXPECT_NE(report.text().find("reproducible: adapters.together  (equal 15/15)"),
            std::string::npos);
}

TEST(LlamaConformance, SmolLm2WithKeysAndValuesInEightBits) {
  AIOSS_ONCE_PER_ENGINE();
  if (!kHasInvariantKernels) GTEST_SKIP() << "this llama.cpp is without our patches";
  AIOSS_REQUIRE_MODEL(kSmolLm2);
  const auto report = run(kSmolLm2, {155}, AIOSS_KV_Q8_0);
  EXPECT_TRUE(report.passed());
  expect_proven(report);
}

TEST(LlamaConformance, Gemma3) {
  AIOSS_ONCE_PER_ENGINE();
  AIOSS_REQUIRE_MODEL(kGemma3);
  // 500: decoding crosses 512, the width of this model's sliding window.
  const engine::ConformanceReport report = run(kGemma3, {500});
  EXPECT_TRUE(report.passed());
  EXPECT_GT(report.checks.size(), 50u);
  expect_proven(report);
}

}  // namespace
}  // namespace aioss::engines::llama
