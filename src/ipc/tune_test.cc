#include "ipc/tune.h"

#include <gtest/gtest.h>

#include "ipc/fields.h"
#include "ipc/limits.h"

namespace aioss::ipc {
namespace {

const Knobs kKnobs{2, 3, 128, FlashAttention::kOff};

TEST(Tune, AsksComeBackAsTheyWere) {
  const TuneAsk asks[] = {
      TuneOpen{"fake", Profile::kReproducible, 4, 1024, 256, "q4_0", false},
      TuneBegin{1, kKnobs},
      TuneRun{1, Regime::kPrefill, kTuneTokensMax},
      TuneEnd{1},
  };
  for (const TuneAsk& ask : asks) {
    const auto back = decode_tune_ask(encode(ask));
    ASSERT_TRUE(back.has_value()) << back.error().message;
    EXPECT_EQ(*back, ask);
  }
}

TEST(Tune, AsksOutOfBoundsAreRefused) {
  TuneBegin many{0, kKnobs};
  many.knobs.threads = kThreadsMax + 1;
  TuneBegin odd{0, kKnobs};
  odd.knobs.flash_attention = static_cast<FlashAttention>(3);
  const TuneAsk asks[] = {
      TuneBegin{kTuneSlots, kKnobs},
      many,
      odd,
      TuneRun{kTuneSlots, Regime::kDecodeOne, 1},
      TuneRun{0, static_cast<Regime>(kRegimes), 1},
      TuneRun{0, Regime::kDecodeOne, 0},
      TuneRun{0, Regime::kDecodeOne, kTuneTokensMax + 1},
      TuneEnd{kTuneSlots},
  };
  for (const TuneAsk& ask : asks) EXPECT_FALSE(decode_tune_ask(encode(ask)).has_value());
  detail::Map unknown;
  unknown.set(0, detail::Value::uint(4));
  EXPECT_FALSE(decode_tune_ask(codec::encode(std::move(unknown))).has_value());
}

TuneReport tune_report() {
  TuneReport out;
  out.engine_build = "0.5.0 abc";
  out.streams = 4;
  out.canary = {1, 2, 151'935};
  out.tokens = 64;
  out.ns = 12'345'678;
  return out;
}

TEST(Tune, AReportComesBackAsItWas) {
  const TuneReport sent = tune_report();
  const auto back = decode_tune_report(encode(sent));
  ASSERT_TRUE(back.has_value()) << back.error().message;
  EXPECT_FALSE(back->error.has_value());
  EXPECT_EQ(back->engine_build, sent.engine_build);
  EXPECT_EQ(back->streams, sent.streams);
  EXPECT_EQ(back->canary, sent.canary);
  EXPECT_EQ(back->tokens, sent.tokens);
  EXPECT_EQ(back->ns, sent.ns);
}

TEST(Tune, AFailureComesBackAsItWas) {
  TuneReport failed = tune_report();
  failed.error = Error{Code::kEngineFailed, "it failed its canary"};
  const auto back = decode_tune_report(encode(failed));
  ASSERT_TRUE(back.has_value()) << back.error().message;
  ASSERT_TRUE(back->error.has_value());
  EXPECT_EQ(back->error->code, Code::kEngineFailed);
  EXPECT_EQ(back->error->message, "it failed its canary");
}

TEST(Tune, ReportsOutOfBoundsAreRefused) {
  TuneReport long_one = tune_report();
  long_one.canary.resize(kCanaryTokensMax + 1);
  EXPECT_FALSE(decode_tune_report(encode(long_one)).has_value());
  TuneReport slow = tune_report();
  slow.ns = kTuneRunNsMax + 1;
  EXPECT_FALSE(decode_tune_report(encode(slow)).has_value());
  TuneReport wide = tune_report();
  wide.streams = kStreamsMax + 1;
  EXPECT_FALSE(decode_tune_report(encode(wide)).has_value());
  EXPECT_LE(encode(tune_report()).size(), kTuneFrameBytesMax);
  TuneReport largest = tune_report();
  largest.canary.resize(kCanaryTokensMax);
  largest.engine_build.assign(kFactBytesMax, 'x');
  EXPECT_LE(encode(largest).size(), kTuneFrameBytesMax);
}

// A byte less or more, and every byte another: nothing but an error or some other message.
TEST(Tune, DamagedFramesAreReadSafely) {
  for (const Bytes& good : {encode(tune_report()), encode(TuneAsk{TuneOpen{}})}) {
    for (std::size_t i = 0; i < good.size(); ++i) {
      EXPECT_FALSE(decode_tune_report(ByteView(good).first(i)).has_value()) << i;
      EXPECT_FALSE(decode_tune_ask(ByteView(good).first(i)).has_value()) << i;
      Bytes bad = good;
      bad[i] ^= 0x21;
      (void)decode_tune_report(bad);
      (void)decode_tune_ask(bad);
    }
  }
}

}  // namespace
}  // namespace aioss::ipc
