// The whole conformance suite against the fake engine, and against the fake engine with one promise
// broken at a time: a suite that cannot fail proves nothing.
#include "engine/conformance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "engines/fake/fake_engine.h"
#include "engines/fake/test_gguf.h"
#include "engines/fake/test_model_file.h"

namespace aioss::engines::fake {
namespace {

using engine::ConformanceCheck;
using engine::ConformanceOptions;
using engine::ConformanceReport;
using engine::Verdict;

ConformanceReport run(const std::string& lines) {
  const TestModelFile file(lines);
  const TestModelFile adapter("aioss-fake-lora 1\nsay Arr.\n", true);
  ConformanceOptions options;
  options.fds = {file.fd()};
  options.adapter_fd = adapter.fd();
  options.prompt_lengths = {155, 500};
  return engine::run_conformance(*entry(), options);
}

std::vector<std::string> failures(const ConformanceReport& report) {
  std::vector<std::string> out;
  for (const ConformanceCheck& check : report.checks) {
    if (check.verdict == Verdict::kFail) out.push_back(check.profile + ":" + check.name);
  }
  return out;
}

TEST(FakeConformance, KeepsEveryPromise) {
  const ConformanceReport report = run("");
  EXPECT_TRUE(report.passed()) << report.text();
  // All three profiles ran through the table, and the graphs were counted.
  const std::string text = report.text();
  for (const char* expected :
       {"fast: same_bits.neighbours_6.at_500", "reproducible: same_bits.neighbours_6.at_500",
        "reproducible: adapters.base_beside  (equal 15/15)",
        "evidence: adapters.together  (equal 15/15)",
        "evidence: same_bits.one_prefill.at_155  (equal 15/15)",
        "graphs.neighbours_6.at_155  (15 graphs in 15 decode calls)",
        "reproducible: same_bits.copied.at_500  (equal 15/15)",
        "reproducible: same_bits.moved.at_500  (equal 15/15)",
        "reproducible: same_bits.come_and_go_2.at_155  (equal 15/15)",
        "graphs.come_and_go_3.at_155  (15 graphs in 15 decode calls, "}) {
    EXPECT_NE(text.find(expected), std::string::npos) << expected << "\n" << text;
  }
}

TEST(FakeConformance, HoldsWhereItStandsInForAModelInGguf) {
  const TestModelFile file(gguf_head(1) + gguf_tokens(400), true);
  ConformanceOptions options;
  options.fds = {file.fd()};
  options.prompt_lengths = {155};
  const ConformanceReport report = engine::run_conformance(*entry(), options);
  EXPECT_TRUE(report.passed()) << report.text();
}

TEST(FakeConformance, PromptOfWhichOneTokenIsAnotherGivesOtherBits) {
  // The comparison itself must see a difference: other prompts, other logits.
  const TestModelFile file("");
  ConformanceOptions options;
  options.fds = {file.fd()};
  options.prompt_lengths = {155};
  options.tokens.assign(200, 'a');
  EXPECT_TRUE(engine::run_conformance(*entry(), options).passed());
}

// Copies are what an engine may do without. Whatever else it calls unsupported was not proven.
TEST(FakeConformance, OnlyCopiesMayBeUnsupported) {
  const ConformanceReport report = run("sabotage no_copy\n");
  EXPECT_TRUE(report.passed()) << report.text();
  std::vector<std::string> skipped;
  for (const ConformanceCheck& check : report.checks) {
    if (check.verdict == Verdict::kSkipped) skipped.push_back(check.profile + ":" + check.name);
  }
  EXPECT_THAT(skipped, testing::IsSupersetOf({"reproducible:same_bits.copied.at_155",
                                              "reproducible:same_bits.moved.at_500"}));
}

struct Sabotage {
  const char* kind;
  const char* seen_by;
};

class FakeSabotage : public testing::TestWithParam<Sabotage> {};

TEST_P(FakeSabotage, IsSeen) {
  const ConformanceReport report = run(std::string("sabotage ") + GetParam().kind + "\n");
  EXPECT_FALSE(report.passed());
  EXPECT_THAT(failures(report), testing::Contains(testing::HasSubstr(GetParam().seen_by)))
      << report.text();
}

INSTANTIATE_TEST_SUITE_P(
    All, FakeSabotage,
    testing::Values(Sabotage{"again", "reproducible:same_bits.again.at_155"},
                    Sabotage{"neighbours", "reproducible:same_bits.neighbours_3.at_155"},
                    Sabotage{"neighbours", "reproducible:mixed_call.step_and_tail"},
                    Sabotage{"neighbours", "reproducible:mixed_call.tails_that_alternate"},
                    Sabotage{"chunks", "reproducible:same_bits.chunks_of_64.at_155"},
                    Sabotage{"reuse", "reproducible:same_bits.after_earlier_use.at_500"},
                    Sabotage{"prefill", "evidence:same_bits.one_prefill.at_155"},
                    Sabotage{"copy", "evidence:session.copy"},
                    Sabotage{"copy", "reproducible:same_bits.copied.at_155"},
                    Sabotage{"copy", "reproducible:same_bits.moved.at_155"},
                    Sabotage{"leave", "reproducible:same_bits.come_and_go_1.at_155"},
                    Sabotage{"no_company", "reproducible:same_bits.neighbours_3.at_155"},
                    Sabotage{"no_company", "reproducible:same_bits.come_and_go_1.at_500"},
                    Sabotage{"graphs", "fast:graphs.come_and_go_1.at_155"},
                    Sabotage{"load", "reproducible:session.load"},
                    Sabotage{"graphs", "fast:graphs.neighbours_3.at_155"},
                    Sabotage{"leak", "reproducible:adapters.base_beside"},
                    Sabotage{"abort", "fast:session.abort"}, Sabotage{"full", "fast:session.full"},
                    Sabotage{"remove", "fast:session.remove_one"}),
    [](const auto& test) {
      return std::string(test.param.kind) + "_" + std::to_string(test.index);
    });

}  // namespace
}  // namespace aioss::engines::fake
