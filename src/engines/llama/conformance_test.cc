// The conformance suite against llama.cpp, with real models, in both profiles. The quick form, one
// prompt length a model, is for every run; AIOSS_LONG=1 takes all lengths and chunk budgets.
#include "engine/conformance.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "engines/llama/test_models.h"
#include "os/environment.h"

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
#define AIOSS_ONCE_PER_ENGINE() GTEST_SKIP() << "llama.cpp is not instrumented: see the dev build"
#else
#define AIOSS_ONCE_PER_ENGINE() static_cast<void>(0)
#endif

bool long_form() {
  return os::environment("AIOSS_LONG").has_value();
}

engine::ConformanceReport run(const char* name, std::vector<std::uint32_t> quick_lengths) {
  const os::Fd fd = open_model_file(name);
  engine::ConformanceOptions options;
  options.fds = {fd.get()};
  if (!long_form()) {
    options.prompt_lengths = std::move(quick_lengths);
    options.chunk_budgets = {64, 320};
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

TEST(LlamaConformance, SmolLm2) {
  AIOSS_ONCE_PER_ENGINE();
  AIOSS_REQUIRE_MODEL(kSmolLm2);
  const engine::ConformanceReport report = run(kSmolLm2, {155});
  EXPECT_TRUE(report.passed());
  EXPECT_GT(report.checks.size(), 50u);
}

TEST(LlamaConformance, Gemma3) {
  AIOSS_ONCE_PER_ENGINE();
  AIOSS_REQUIRE_MODEL(kGemma3);
  // 500: decoding crosses 512, the width of this model's sliding window.
  const engine::ConformanceReport report = run(kGemma3, {500});
  EXPECT_TRUE(report.passed());
  EXPECT_GT(report.checks.size(), 50u);
}

}  // namespace
}  // namespace aioss::engines::llama
