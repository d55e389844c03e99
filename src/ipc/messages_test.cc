#include "ipc/messages.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "codec/cbor.h"
#include "ipc/limits.h"

namespace aioss::ipc {
namespace {

using codec::Map;
using codec::Value;

Submit full_submit() {
  Submit m;
  m.id = 77;
  m.tenant = 1ULL << 63;
  m.prompt = std::vector<ChatMessage>{{"system", "Be brief.", ""}, {"user", "Grüße 🙂", "ada"}};
  m.sampling = {.temperature = 0.7F,
                .top_k = 40,
                .top_p = 0.9F,
                .min_p = 0.05F,
                .repetition_penalty = 1.1F,
                .frequency_penalty = -0.5F,
                .presence_penalty = 0.25F,
                .penalty_window = 128,
                .logit_bias = {{5, -100.0F}, {70000, 1.5F}},
                .seed = std::numeric_limits<std::uint64_t>::max()};
  m.choices = 3;
  m.tokens_max = 64;
  m.stop = {"\n\n", "END"};
  m.ignore_eos = true;
  m.logprobs = true;
  m.top_logprobs = 20;
  m.now_unix_s = -1;
  m.credit_bytes = 32'768;
  m.leaves_prefix = false;
  m.prefix_only = true;
  m.priority = Priority::kBatch;
  m.weight = 1000;
  m.prompt_tokens_max = 4096;
  m.deadline_ms = kDeadlineMsMax;
  m.owner = ~0ULL;
  m.adapters = {{Digest{1, 2, 3}, -kAdapterScaleMax}, {Digest{4}, 0.25F}};
  return m;
}

std::vector<ToWorker> all_to_worker() {
  Submit text = full_submit();
  text.prompt = std::string("Once upon a time");
  Submit tokens = full_submit();
  tokens.prompt = std::vector<Token>{0, 1, 151935, std::numeric_limits<Token>::max()};
  Submit resumed = full_submit();
  resumed.resume = {{{1, 2, 3}, false}, {{}, false}, {{7}, true}};
  return {Configure{1, "fake", Profile::kReproducible, 4, 4096, 2, 100, 256, 1U << 30, false, true,
                    "q8_0", true, 3, 128, FlashAttention::kOff, "cuda:0,cuda:1", 17},
          full_submit(),
          text,
          tokens,
          resumed,
          Submit{},
          Cancel{9},
          Credit{9, 8192},
          TakeOver{},
          Forget{},
          Park{},
          Wake{Configure{1, "fake", Profile::kReproducible, 4, 4096, 2, 100, 256, 1U << 30, false,
                         true, "q8_0", true, 512, 1U << 16, FlashAttention::kOn, "vulkan:0", 0}},
          Ping{~0ULL},
          Probe{},
          Shutdown{},
          LoadAdapter{Digest{9}, kAdapterBytesMax},
          UnloadAdapter{Digest{9}}};
}

std::vector<FromWorker> all_from_worker() {
  Ready ready;
  ready.engine = {"llama", "0.5.0", "abc", "g++ 12", "avx512f"};
  ready.architecture = "llama";
  ready.description = "SmolLM2 135M";
  ready.parameter_count = 134'515'008;
  ready.weight_bytes = 98'000'000;
  ready.vocabulary_size = 49152;
  ready.context_tokens_train = 8192;
  ready.has_chat_template = true;
  ready.chat_template_sha3 = std::string(64, 'a');
  ready.profile = Profile::kEvidence;
  ready.streams = 4;
  ready.cells_per_stream = 4096;
  ready.threads = 2;
  Delta delta{3, 1, "naïve", {17, 18}, {}};
  delta.logprobs = {{17, "na", -0.25F, {{"na", -0.25F, 17}, {"\xC3", -9999.0F, 4}}},
                    {18, "\xAF", -1.0F, {}}};
  Finished failed{
      3, 2, FinishReason::kError, 10, 5, {1, 2, 3}, Error{Code::kEngineFailed, "x", "y"}};
  const Error busy =
      Error{Code::kBusy, "full"}.with_backlog({.position = 256, .seconds = kWaitSecondsMax});
  const Error unmeasured = Error{Code::kBusy, "full"}.with_backlog({.position = 1});
  Stats loaded{2, 1, 100, 1000, 500, 1, 7, 1U << 20};
  loaded.waiting_batch = 1;
  loaded.preempted = 3;
  loaded.tokens_per_second = 12.5F;
  loaded.decode_step_ns = 20'000'000;
  loaded.chunk_ns = 90'000'000;
  loaded.wait_seconds = 12;
  loaded.tenants.assign(kStatsTenantsMax, {~0ULL, 5, 1, 1ULL << 40});
  return {Hello{1, 0, "0.1.0", "seccomp"},
          LoadProgress{0.5F},
          ready,
          LoadFailed{{Code::kModelCorrupt, "truncated", ""}},
          Accepted{3, 110, 2},
          Rejected{4, {Code::kContextExceeded, "too long", "max_tokens"}},
          delta,
          Delta{},
          Finished{3, 1, FinishReason::kLength, 110, 64, {5, 6, 7}, {}, 64},
          failed,
          Stats{2, 1, 100, 1000, 500, 1, 7, 1U << 20, 3, 1U << 21, 900, 30, 20},
          Pong{12, true},
          Parked{},
          ProbeReport{{{"open /etc/passwd", true, "EPERM"}, {"socket", false, ""}}},
          Rejected{5, busy},
          Rejected{6, unmeasured},
          loaded,
          AdapterReport{Digest{9}, true, 1 << 20, 1 << 10, 8, "Pirate", {}},
          AdapterReport{Digest{9}, false, 0, 0, 0, "", Error{Code::kModelCorrupt, "x"}}};
}

TEST(Messages, EveryMessageToAWorkerComesBackTheSame) {
  for (const ToWorker& message : all_to_worker()) {
    const Bytes frame = encode(message);
    const Result<ToWorker> back = decode_to_worker(frame);
    ASSERT_TRUE(back) << message.index() << ": " << back.error().message;
    EXPECT_EQ(back->index(), message.index());
    EXPECT_EQ(encode(*back), frame);
  }
}

TEST(Messages, EveryMessageFromAWorkerComesBackTheSame) {
  for (const FromWorker& message : all_from_worker()) {
    const Bytes frame = encode(message);
    const Result<FromWorker> back = decode_from_worker(frame);
    ASSERT_TRUE(back) << message.index() << ": " << back.error().message;
    EXPECT_EQ(back->index(), message.index());
    EXPECT_EQ(encode(*back), frame);
  }
}

TEST(Messages, WhatIsToldOfAQueueComesBack) {
  const auto back = decode_from_worker(
      encode(FromWorker{Rejected{5, Error{Code::kBusy, "full"}.with_backlog({7, 30})}}));
  ASSERT_TRUE(back);
  const Error& error = std::get<Rejected>(*back).error;
  ASSERT_TRUE(error.backlog && error.backlog->seconds);
  EXPECT_EQ(error.backlog->position, 7U);
  EXPECT_EQ(*error.backlog->seconds, 30U);
  Stats stats;
  stats.tenants.assign(kStatsTenantsMax + 9, {1, 2, 3, 4});
  const auto cut = decode_from_worker(encode(FromWorker{stats}));
  ASSERT_TRUE(cut) << cut.error().message;
  EXPECT_EQ(std::get<Stats>(*cut).tenants.size(), kStatsTenantsMax);
  EXPECT_EQ(std::get<Stats>(*cut).tenants[0], (TenantLoad{1, 2, 3, 4}));
  EXPECT_FALSE(std::get<Stats>(*cut).wait_seconds);
}

TEST(Messages, PrioritiesWeightsAndDeadlinesHaveBounds) {
  const auto refused = [](auto change) {
    Submit submit = full_submit();
    change(submit);
    return !decode_to_worker(encode(ToWorker{submit})).has_value();
  };
  EXPECT_FALSE(refused([](Submit&) {}));
  EXPECT_TRUE(refused([](Submit& m) { m.weight = 0; }));
  EXPECT_TRUE(refused([](Submit& m) { m.weight = kWeightMax + 1; }));
  EXPECT_TRUE(refused([](Submit& m) { m.deadline_ms = kDeadlineMsMax + 1; }));
  EXPECT_TRUE(refused([](Submit& m) { m.priority = static_cast<Priority>(2); }));
}

TEST(Messages, ASubmitKeepsEveryField) {
  const Result<ToWorker> back = decode_to_worker(encode(ToWorker{full_submit()}));
  ASSERT_TRUE(back);
  EXPECT_EQ(std::get<Submit>(*back), full_submit());
}

TEST(Messages, ADeltaKeepsEveryField) {
  const Delta sent = std::get<Delta>(all_from_worker()[6]);
  const Result<FromWorker> back = decode_from_worker(encode(FromWorker{sent}));
  ASSERT_TRUE(back);
  const Delta& got = std::get<Delta>(*back);
  EXPECT_EQ(got.id, 3U);
  EXPECT_EQ(got.choice, 1U);
  EXPECT_EQ(got.text, "naïve");
  EXPECT_EQ(got.tokens, (std::vector<Token>{17, 18}));
  ASSERT_EQ(got.logprobs.size(), 2U);
  EXPECT_EQ(got.logprobs[0].top[1].text, "\xC3");  // part of a character stays as it is
  EXPECT_EQ(got.logprobs[0].top[1].logprob, -9999.0F);
  EXPECT_EQ(got.logprobs[0].top[1].token, 4);
}

TEST(Messages, TheWrongDirectionIsRefused) {
  for (const ToWorker& message : all_to_worker()) {
    EXPECT_FALSE(decode_from_worker(encode(message)));
  }
  for (const FromWorker& message : all_from_worker()) {
    EXPECT_FALSE(decode_to_worker(encode(message)));
  }
}

TEST(Messages, TextThatIsNotUtf8IsRepairedWhenEncoded) {
  const LoadFailed sent{{Code::kModelCorrupt, "bad \xFF name", ""}};
  const Result<FromWorker> back = decode_from_worker(encode(FromWorker{sent}));
  ASSERT_TRUE(back);
  EXPECT_EQ(std::get<LoadFailed>(*back).error.message, "bad \xEF\xBF\xBD name");
}

TEST(Messages, LongErrorsAreCutAtACharacter) {
  std::string message(kErrorBytesMax - 1, 'x');
  message += "é and more";
  const Result<FromWorker> back =
      decode_from_worker(encode(FromWorker{LoadFailed{{Code::kIo, message, ""}}}));
  ASSERT_TRUE(back);
  EXPECT_EQ(std::get<LoadFailed>(*back).error.message, std::string(kErrorBytesMax - 1, 'x'));
}

// Each case breaks one bound of a message that is right otherwise.
TEST(Messages, EveryBoundOfASubmitIsChecked) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<std::pair<const char*, void (*)(Submit&)>> cases = {
      {"no choices", [](Submit& m) { m.choices = 0; }},
      {"choices", [](Submit& m) { m.choices = kChoicesMax + 1; }},
      {"top_logprobs", [](Submit& m) { m.top_logprobs = kTopLogprobsMax + 1; }},
      {"tokens_max", [](Submit& m) { m.tokens_max = kTokensMaxMax + 1; }},
      {"stops", [](Submit& m) { m.stop.assign(kStopsMax + 1, "x"); }},
      {"empty stop", [](Submit& m) { m.stop = {""}; }},
      {"biases", [](Submit& m) { m.sampling.logit_bias.assign(kLogitBiasMax + 1, {1, 0.0F}); }},
      {"bias", [](Submit& m) { m.sampling.logit_bias = {{1, 100.5F}}; }},
      {"bias token", [](Submit& m) { m.sampling.logit_bias = {{-1, 1.0F}}; }},
      {"messages",
       [](Submit& m) { m.prompt = std::vector<ChatMessage>(kMessagesMax + 1, {"user", "", ""}); }},
      {"messages together",
       [](Submit& m) {
         m.prompt = std::vector<ChatMessage>(2, {"user", std::string(3U << 20, 'x'), ""});
       }},
      {"negative token", [](Submit& m) { m.prompt = std::vector<Token>{-1}; }},
      {"tokens", [](Submit& m) { m.prompt = std::vector<Token>(kPromptTokensMax + 1, 1); }},
      {"window", [](Submit& m) { m.sampling.penalty_window = kPenaltyWindowMax + 1; }},
  };
  for (const auto& [what, spoil] : cases) {
    Submit m = full_submit();
    spoil(m);
    EXPECT_FALSE(decode_to_worker(encode(ToWorker{m}))) << what;
  }
  for (const float bad : {infinity, -infinity, std::nanf(""), -0.5F, 101.0F}) {
    Submit m = full_submit();
    m.sampling.temperature = bad;
    EXPECT_FALSE(decode_to_worker(encode(ToWorker{m}))) << bad;
    m = full_submit();
    m.sampling.top_p = bad;
    EXPECT_FALSE(decode_to_worker(encode(ToWorker{m}))) << bad;
    m = full_submit();
    m.sampling.repetition_penalty = bad;
    EXPECT_FALSE(decode_to_worker(encode(ToWorker{m}))) << bad;
  }
}

TEST(Messages, BoundsOfAnswersAreChecked) {
  const auto refused = [](const FromWorker& m) { return !decode_from_worker(encode(m)); };
  EXPECT_TRUE(refused(Delta{1, kChoicesMax, "", {}, {}}));
  EXPECT_TRUE(refused(Delta{1, 0, "", std::vector<Token>(kDeltaTokensMax + 1, 1), {}}));
  EXPECT_TRUE(refused(Delta{1, 0, "", {1, 2}, {{1, "a", -1.0F, {}}}}))
      << "one logprob for two tokens";
  EXPECT_TRUE(refused(Delta{1, 0, "", {1}, {{1, "a", 0.5F, {}}}})) << "a probability above one";
  EXPECT_TRUE(refused(Delta{1, 0, "", {1}, {{1, "a", std::nanf(""), {}}}}));
  EXPECT_TRUE(refused(LoadProgress{1.5F}));
  EXPECT_TRUE(refused(Finished{1, 0, FinishReason::kError, 1, 1, {}, {}})) << "no error";
  EXPECT_TRUE(refused(Finished{1, 0, FinishReason::kStop, 5, 1, {}, {}, 6})) << "more than all";
  EXPECT_TRUE(refused(Finished{1, 0, FinishReason::kStop, 1, 1, {}, Error{Code::kIo, "", ""}}));
  EXPECT_TRUE(refused(Stats{kStreamsMax + 1, 0, 0, 0, 0}));
  EXPECT_TRUE(refused(Stats{.drafted_tokens = 1, .accepted_tokens = 2}));
}

TokenLogprob largest_logprob() {
  const std::string text(kTokenTextBytesMax, '\xFF');
  TokenLogprob logprob{INT32_MAX, text, kLogprobMin, {}};
  logprob.top.assign(kTopLogprobsMax, {text, kLogprobMin, INT32_MAX});
  return logprob;
}

// The bound of a worker's frames is no guess: its largest message fits, with little to spare.
TEST(Messages, TheLargestFrameOfAWorkerFitsItsBound) {
  Delta delta{UINT64_MAX, kChoicesMax - 1, std::string(kDeltaTextBytesMax, 'x'), {}, {}};
  delta.tokens.assign(kDeltaTokensMax, INT32_MAX);
  delta.logprobs.assign(kDeltaTokensMax, largest_logprob());
  const Bytes frame = encode(delta);
  EXPECT_LE(frame.size(), kFrameFromWorkerBytesMax);
  EXPECT_GT(frame.size(), kFrameFromWorkerBytesMax / 100 * 95);
  const auto decoded = decode_from_worker(frame);
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(encode(*decoded), frame);
}

TEST(Messages, AFrameThatNoWorkerHasAReasonToSendIsRefused) {
  const Bytes frame(kFrameFromWorkerBytesMax + 1);
  const auto decoded = decode_from_worker(frame);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, Code::kCorrupt);
  EXPECT_NE(decoded.error().message.find(std::to_string(frame.size())), std::string::npos);
}

TEST(Messages, UnknownAndMissingFieldsAreRefused) {
  Map extra;
  extra.set(0, Value::uint(3)).set(1, Value::uint(9)).set(2, Value::uint(1));
  EXPECT_FALSE(decode_to_worker(codec::encode(extra)));
  Map missing;
  missing.set(0, Value::uint(3));
  EXPECT_FALSE(decode_to_worker(codec::encode(missing)));
  Map kind;
  kind.set(0, Value::uint(7));
  EXPECT_FALSE(decode_to_worker(codec::encode(kind)));
  EXPECT_FALSE(decode_to_worker({}));
}

TEST(Messages, ThereIsNoMessageOfAKindInBetween) {
  codec::Map map;
  map.set(0, codec::Value::uint(50));
  const auto decoded = decode_to_worker(codec::encode(std::move(map)));
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().code, Code::kCorrupt);
}

TEST(Messages, EveryTruncationIsRefused) {
  for (const ToWorker& message : all_to_worker()) {
    const Bytes frame = encode(message);
    for (std::size_t size = 0; size < frame.size(); ++size) {
      EXPECT_FALSE(decode_to_worker(ByteView(frame).first(size)));
    }
  }
  for (const FromWorker& message : all_from_worker()) {
    const Bytes frame = encode(message);
    for (std::size_t size = 0; size < frame.size(); ++size) {
      EXPECT_FALSE(decode_from_worker(ByteView(frame).first(size)));
    }
  }
}

// Whatever a hostile worker sends is refused or is a message that says the same when it is sent on.
TEST(Messages, MutatedFramesNeverCrash) {
  constexpr std::uint32_t kSeed = 20261122;
  std::mt19937 random(kSeed);
  std::size_t accepted = 0;
  const std::vector<FromWorker> messages = all_from_worker();
  const std::vector<ToWorker> commands = all_to_worker();
  for (int i = 0; i < 30000; ++i) {
    Bytes frame = i % 2 == 0 ? encode(messages[random() % messages.size()])
                             : encode(commands[random() % commands.size()]);
    for (std::uint32_t n = random() % 4 + 1; n > 0; --n) {
      const std::size_t at = random() % frame.size();
      switch (random() % 3) {
        case 0:
          frame[at] = static_cast<std::uint8_t>(random());
          break;
        case 1:
          frame.insert(frame.begin() + static_cast<std::ptrdiff_t>(at),
                       static_cast<std::uint8_t>(random()));
          break;
        default:
          if (frame.size() > 1) frame.erase(frame.begin() + static_cast<std::ptrdiff_t>(at));
      }
    }
    if (const auto m = decode_from_worker(frame)) {
      ++accepted;
      EXPECT_EQ(encode(*m), frame) << "seed " << kSeed << ", frame " << i;
    }
    if (const auto m = decode_to_worker(frame)) {
      ++accepted;
      EXPECT_EQ(encode(*m), frame) << "seed " << kSeed << ", frame " << i;
    }
  }
  EXPECT_GT(accepted, 0U) << "no mutation survived: the test tests nothing";
}

TEST(Messages, NamesGoBothWays) {
  for (const Profile profile : {Profile::kFast, Profile::kReproducible, Profile::kEvidence}) {
    EXPECT_EQ(profile_from_name(name(profile)), profile);
  }
  EXPECT_FALSE(profile_from_name("quick"));
  EXPECT_EQ(name(FinishReason::kStop), "stop");
  EXPECT_EQ(name(FinishReason::kLength), "length");
  EXPECT_EQ(name(FinishReason::kCancelled), "cancelled");
  EXPECT_EQ(name(FinishReason::kError), "error");
}

}  // namespace
}  // namespace aioss::ipc
