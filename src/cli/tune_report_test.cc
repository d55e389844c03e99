#include "cli/tune_report.h"

#include <gtest/gtest.h>

namespace aioss::cli {
namespace {

runtime::Tuning tuning() {
  runtime::Tuning out;
  out.model = "m";
  out.wall_ns = 1'772'368'205'000'000'000;
  out.result.streams = 4;
  runtime::TuneMeasurement plain{{"llama", {}}, runtime::TuneState::kMeasured, "", {}};
  plain.regimes = {{{10'000'000, 10'000'000}, {4'000'000, 4'000'000}, {2'000'000, 2'000'000}}};
  runtime::TuneMeasurement fast{
      {"ik", {0, 0, 0, ipc::FlashAttention::kOff}}, runtime::TuneState::kMeasured, "", {}};
  fast.regimes = {{{5'000'000, 10'000'000}, {4'000'000, 4'000'000}, {1'000'000, 2'000'000}}};
  runtime::TuneMeasurement bad{{"ik", {}}, runtime::TuneState::kUnsafe, "sig\x1b[2Jnal 6", {}};
  out.result.measurements = {plain, fast, bad};
  out.result.choice = {1, "1.59 times as fast on the whole, and nowhere slower"};
  return out;
}

TEST(TuneReport, ShowsEachCandidateAndTheChoice) {
  EXPECT_EQ(tune_text(tuning(), 0, false),
            "m, measured 2026-03-01 12:30:05Z; tokens a second, × the default's\n"
            "\n"
            "CANDIDATE           DECODE 1     DECODE 4       PREFILL  STATE\n"
            "llama (default)  100.0 ×1.00  250.0 ×1.00   500.0 ×1.00  measured\n"
            "ik flash=off     200.0 ×2.00  250.0 ×1.00  1000.0 ×2.00  chosen\n"
            "ik                                                       unsafe: sig[2Jnal 6\n"
            "\n"
            "chosen: ik flash=off, 1.59 times as fast on the whole, and nowhere slower\n");
}

TEST(TuneReport, OneStreamDecodesInOneWayOnly) {
  runtime::Tuning one = tuning();
  one.result.streams = 1;
  const std::string text = tune_text(one, 0, false);
  EXPECT_NE(text.find("CANDIDATE"), std::string::npos);
  EXPECT_EQ(text.find("DECODE 1"), text.rfind("DECODE 1"));
  EXPECT_NE(text.find("ik flash=off     200.0 ×2.00  1000.0 ×2.00  chosen"), std::string::npos)
      << text;
}

TEST(TuneReport, SaysThatTheTimeWasOver) {
  runtime::Tuning late = tuning();
  late.result.in_time = false;
  EXPECT_NE(tune_text(late, 0, false).find("there was no time for all of them; see --budget"),
            std::string::npos);
}

TEST(TuneReport, JsonHasAllOfIt) {
  const auto out = tune_json(tuning());
  EXPECT_EQ(out["chosen"]["engine"], "ik");
  EXPECT_EQ(out["chosen"]["flash_attention"], "off");
  ASSERT_EQ(out["candidates"].size(), 3U);
  EXPECT_EQ(out["candidates"][1]["decode_one"]["of_default"], 2.0);
  EXPECT_EQ(out["candidates"][1]["decode_one"]["tokens_per_second"], 200.0);
  EXPECT_EQ(out["candidates"][2]["state"], "unsafe");
  EXPECT_TRUE(out["candidates"][2]["prefill"].is_null());
  EXPECT_EQ(out["in_time"], true);
}

TEST(TuneReport, ALineForEachWhileItMeasures) {
  EXPECT_EQ(tune_line(tuning().result.measurements[1]),
            "ik flash=off: measured, decode_one 2.00, decode_many 1.00, prefill 2.00");
}

}  // namespace
}  // namespace aioss::cli
