#include "cli/generation.h"

#include <gtest/gtest.h>

#include <csignal>

#include "codec/json.h"
#include "runtime/testing/test_bench.h"

namespace aioss::cli {
namespace {

// A gateway with a ledger and real worker processes over the fake engine.
class GenerationTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Interrupt::create();  // before the bench starts its threads
    ASSERT_TRUE(made) << made.error().message;
    interrupt_ = std::move(*made);
    bench_.emplace();
    bench_->add_model("m", "aioss-fake 1\nreply Hello there.\ndelay_us_per_call 2000\n");
    bench_->start();
  }
  GenerationResult run(const std::string& prompt,
                       const std::function<bool(std::string_view)>& show) {
    return generate(bench_->gateway(), clock_, *interrupt_, bench_->call("m", prompt), show);
  }
  static bool ignore(std::string_view) { return true; }

  const os::SystemClock clock_;
  std::unique_ptr<Interrupt> interrupt_;
  std::optional<runtime::testing::TestBench> bench_;
};

TEST_F(GenerationTest, ShowsTextAndKeepsTheFacts) {
  std::string shown;
  const GenerationResult result = run("hi", [&](std::string_view text) {
    shown += text;
    return true;
  });
  ASSERT_FALSE(result.error) << result.error->message;
  EXPECT_EQ(shown, "Hello there.");
  EXPECT_EQ(result.text, shown);
  const auto json = codec::parse_json(as_json(result, "m"));
  ASSERT_TRUE(json);
  EXPECT_EQ(json->at("text"), shown);
  EXPECT_EQ(json->at("finish_reason"), "stop");
  EXPECT_EQ(json->at("usage").at("completion_tokens"), result.completion_tokens);
  EXPECT_EQ(json->at("seed"), result.seed);
  EXPECT_LT(json->at("request_record"), json->at("result_record"));
  const std::string facts = describe(result);
  EXPECT_NE(facts.find("ended by stop, records " + std::to_string(*result.request_record)),
            std::string::npos)
      << facts;
}

TEST_F(GenerationTest, CancelsWhenNobodyReadsAndWaitsForTheRecord) {
  int calls = 0;
  const GenerationResult result =
      run("[[long 2000]]", [&](std::string_view) { return ++calls < 3; });
  EXPECT_EQ(calls, 3);  // and none after the reader was gone
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->code, Code::kCancelled);
  ASSERT_TRUE(result.end_record);
  EXPECT_EQ(bench_->records().at(*result.end_record).type, ledger::RecordType::kInferAbort);
}

TEST_F(GenerationTest, CtrlCCancelsThisAnswerAndNotTheNext) {
  int calls = 0;
  const GenerationResult result = run("[[long 2000]]", [&](std::string_view) {
    if (++calls == 5) (void)std::raise(SIGINT);
    return true;
  });
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->code, Code::kCancelled);
  EXPECT_EQ(codec::parse_json(as_json(result, "m"))->at("finish_reason"), "cancelled");
  EXPECT_FALSE(interrupt_->terminated());
  EXPECT_FALSE(run("hi", ignore).error);
}

TEST_F(GenerationTest, SigtermStays) {
  (void)std::raise(SIGTERM);
  ASSERT_TRUE(interrupt_->wait_for(std::chrono::seconds(10)));
  EXPECT_TRUE(interrupt_->take());
  EXPECT_TRUE(interrupt_->take());
  EXPECT_TRUE(interrupt_->terminated());
}

TEST_F(GenerationTest, RefusalsAndFailuresAreErrors) {
  runtime::GenerateCall unknown = bench_->call("nobody", "hi");
  EXPECT_EQ(generate(bench_->gateway(), clock_, *interrupt_, unknown, ignore).error->code,
            Code::kNotFound);
  const GenerationResult failed = run("[[fail 4]]", ignore);
  ASSERT_TRUE(failed.error);
  EXPECT_EQ(failed.error->code, Code::kEngineFailed) << failed.error->message;
  EXPECT_FALSE(failed.text.empty());  // what came before is kept
  EXPECT_EQ(codec::parse_json(as_json(failed, "m"))->at("error").at("code"), "engine_failed");
}

}  // namespace
}  // namespace aioss::cli
