#include "ipc/plan.h"

#include <gtest/gtest.h>

#include "ipc/fields.h"
#include "ipc/limits.h"

namespace aioss::ipc {
namespace {

PlannedSession session(std::uint32_t streams) {
  PlannedSession out;
  out.streams = streams;
  out.cells_per_stream = 4096;
  out.kv_type = "q8_0";
  out.exact = true;
  out.needs = {1, 2, 3, 4, 5, 0, 0, 6};
  return out;
}

PlanReport report() {
  PlanReport out;
  out.asked = session(4);
  out.context_tokens_train = 8192;
  out.options = {session(3), session(1)};
  out.devices = {{"CPU", "a processor", 10, 9}};
  return out;
}

TEST(Plan, AnAskComesBackAsItWas) {
  const PlanAsk ask{"fake",
                    Profile::kReproducible,
                    4,
                    1024,
                    2,
                    256,
                    "q4_0",
                    false,
                    1U << 30,
                    "cuda:0",
                    {1, 2},
                    Digest{7},
                    3,
                    128,
                    FlashAttention::kOff};
  const auto back = decode_plan_ask(encode(ask));
  ASSERT_TRUE(back.has_value()) << back.error().message;
  EXPECT_EQ(*back, ask);
  PlanAsk of_plugin = ask;
  of_plugin.engine_sha256 = Digest{3};
  EXPECT_EQ(decode_plan_ask(encode(of_plugin)).value(), of_plugin);
}

TEST(Plan, AReportComesBackAsItWas) {
  const PlanReport sent = report();
  const auto back = decode_plan_report(encode(sent));
  ASSERT_TRUE(back.has_value()) << back.error().message;
  EXPECT_EQ(back->asked, sent.asked);
  EXPECT_EQ(back->options, sent.options);
  EXPECT_EQ(back->devices, sent.devices);
  EXPECT_EQ(back->context_tokens_train, sent.context_tokens_train);
  EXPECT_FALSE(back->error.has_value());
}

TEST(Plan, AFailureComesBackAsItWas) {
  PlanReport failed;
  failed.error = Error{Code::kModelCorrupt, "not a GGUF file"};
  const auto back = decode_plan_report(encode(failed));
  ASSERT_TRUE(back.has_value()) << back.error().message;
  ASSERT_TRUE(back->error.has_value());
  EXPECT_EQ(back->error->code, Code::kModelCorrupt);
  EXPECT_EQ(back->error->message, "not a GGUF file");
}

TEST(Plan, WhatIsOutOfBoundsIsRefused) {
  PlanReport many = report();
  many.options.assign(kPlanOptionsMax + 1, session(1));
  EXPECT_FALSE(decode_plan_report(encode(many)).has_value());
  many = report();
  many.devices.resize(kPlanDevicesMax + 1);
  EXPECT_FALSE(decode_plan_report(encode(many)).has_value());
  PlanReport large = report();
  large.asked.needs.kv = std::uint64_t{1} << 57;  // sums of such could wrap
  EXPECT_FALSE(decode_plan_report(encode(large)).has_value());
  PlanReport wide = report();
  wide.asked.streams = kStreamsMax + 1;
  EXPECT_FALSE(decode_plan_report(encode(wide)).has_value());
  EXPECT_FALSE(decode_plan_report(as_bytes("this is not CBOR")).has_value());
}

// A byte less or more, and every byte another: nothing but an error or some other report.
TEST(Plan, DamagedReportsAreReadSafely) {
  const Bytes good = encode(report());
  for (std::size_t i = 0; i < good.size(); ++i) {
    EXPECT_FALSE(decode_plan_report(ByteView(good).first(i)).has_value()) << i;
    Bytes bad = good;
    bad[i] ^= 0x21;
    (void)decode_plan_report(bad);
  }
  Bytes longer = good;
  longer.push_back(0);
  EXPECT_FALSE(decode_plan_report(longer).has_value());
}

}  // namespace
}  // namespace aioss::ipc
