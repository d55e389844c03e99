// Dry runs against what a real session then has. Processes as wholes, with the kernel's numbers:
// src/app/plan_test.py.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engines/llama/invariance.h"
#include "engines/llama/test_models.h"

namespace aioss::engines::llama {
namespace {

aioss_model_options model_options(const int& fd, aioss_profile profile, bool dry) {
  aioss_model_options options = {};
  options.struct_size = sizeof options;
  options.profile = static_cast<std::uint32_t>(profile);
  options.fds = &fd;
  options.fd_count = 1;
  options.flags = dry ? AIOSS_MODEL_DRY_RUN : 0;
  return options;
}

aioss_session_options session_options(std::uint32_t sequences, std::uint32_t cells,
                                      aioss_kv_type kv_type = AIOSS_KV_F16) {
  aioss_session_options options = {};
  options.struct_size = sizeof options;
  options.sequences_max = sequences;
  options.cells_per_sequence = cells;
  options.batch_tokens_max = 512;
  options.outputs_max = std::max(sequences, 16U);
  options.kv_type = kv_type;
  return options;
}

class LlamaPlan : public testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<engine::Model> open(aioss_profile profile, bool dry) {
    if (file_.get() < 0) file_ = open_model_file(GetParam());
    const int fd = file_.get();
    auto model = engine::Model::open(*entry(), model_options(fd, profile, dry));
    EXPECT_TRUE(model.has_value()) << model.error().message;
    return model ? std::move(*model) : nullptr;
  }
  os::Fd file_;
};

TEST_P(LlamaPlan, ADryModelSaysTheSameOfItself) {
  AIOSS_REQUIRE_MODEL(GetParam());
  for (const aioss_profile profile : {AIOSS_PROFILE_FAST, AIOSS_PROFILE_REPRODUCIBLE}) {
    const auto dry = open(profile, true);
    const auto real = open(profile, false);
    ASSERT_TRUE(dry != nullptr && real != nullptr);
    const aioss_model_facts a = dry->facts();
    const aioss_model_facts b = real->facts();
    EXPECT_EQ(a.vocabulary_size, b.vocabulary_size);
    EXPECT_EQ(a.context_tokens_train, b.context_tokens_train);
    EXPECT_EQ(a.parameter_count, b.parameter_count);
    EXPECT_STREQ(a.architecture, b.architecture);
    EXPECT_TRUE(open_text(*dry).has_value());
  }
}

TEST_P(LlamaPlan, ADryModelRunsNothingAndARealOnePlansNothing) {
  AIOSS_REQUIRE_MODEL(GetParam());
  const auto dry = open(AIOSS_PROFILE_FAST, true);
  const auto real = open(AIOSS_PROFILE_FAST, false);
  ASSERT_TRUE(dry != nullptr && real != nullptr);
  const auto session = engine::Session::create(*dry, session_options(1, 256));
  ASSERT_FALSE(session.has_value());
  EXPECT_EQ(session.error().code, Code::kInvalidArgument);
  const auto planned = real->plan(session_options(1, 256));
  ASSERT_FALSE(planned.has_value());
  EXPECT_EQ(planned.error().code, Code::kInvalidArgument);
}

TEST_P(LlamaPlan, BytesGrowWithWhatTheyAreOf) {
  AIOSS_REQUIRE_MODEL(GetParam());
  const auto dry = open(AIOSS_PROFILE_FAST, true);
  ASSERT_TRUE(dry != nullptr);
  const auto plan = [&](std::uint32_t sequences, std::uint32_t cells, aioss_kv_type type) {
    auto planned = dry->plan(session_options(sequences, cells, type));
    EXPECT_TRUE(planned.has_value()) << planned.error().message;
    return planned ? *planned : aioss_plan{};
  };
  const aioss_plan one = plan(1, 4096, AIOSS_KV_F16);
  EXPECT_EQ(one.exact, 1U);
  EXPECT_GT(one.weight_bytes, 50U << 20);
  EXPECT_GT(one.vocabulary_bytes, 5U << 20);
  EXPECT_GT(one.overhead_bytes, 1U << 20);
  EXPECT_EQ(one.output_bytes, std::uint64_t{16} * dry->facts().vocabulary_size * 4);
  EXPECT_EQ(plan(4, 4096, AIOSS_KV_F16).kv_bytes, one.kv_bytes * 4);
  EXPECT_EQ(plan(1, 4096, AIOSS_KV_F16).weight_bytes, one.weight_bytes);  // again: the same
  // 34 bytes for 32 numbers, and 18.
  EXPECT_EQ(plan(1, 4096, AIOSS_KV_Q8_0).kv_bytes, one.kv_bytes * 34 / 64);
  EXPECT_EQ(plan(1, 4096, AIOSS_KV_Q4_0).kv_bytes, one.kv_bytes * 18 / 64);
  EXPECT_EQ(plan(1, 4096, AIOSS_KV_F32).kv_bytes, one.kv_bytes * 2);
}

// A tree without our patches has no flash attention where bits count, and so no quantized KV.
constexpr std::optional<Code> kRefusedWithoutPatches =
    kHasInvariantKernels ? std::nullopt : std::optional(Code::kUnsupported);

TEST_P(LlamaPlan, QuantizedKvIsRefusedWhereBitsCountWithoutOurPatches) {
  AIOSS_REQUIRE_MODEL(GetParam());
  for (const aioss_profile profile : {AIOSS_PROFILE_FAST, AIOSS_PROFILE_REPRODUCIBLE}) {
    const auto dry = open(profile, true);
    const auto real = open(profile, false);
    ASSERT_TRUE(dry != nullptr && real != nullptr);
    const auto refused = profile == AIOSS_PROFILE_FAST ? std::nullopt : kRefusedWithoutPatches;
    aioss_session_options options = session_options(1, 256, AIOSS_KV_Q8_0);
    const auto planned = dry->plan(options);
    const auto session = engine::Session::create(*real, options);
    EXPECT_EQ(planned.has_value(), !refused);
    EXPECT_EQ(session.has_value(), !refused);
    if (refused) {
      EXPECT_EQ(planned.error().code, *refused);
      EXPECT_NE(planned.error().message.find("flash attention"), std::string::npos)
          << planned.error().message;
      EXPECT_EQ(session.error().code, *refused);
    }
    options.kv_type = 99;
    EXPECT_EQ(dry->plan(options).error().code, Code::kInvalidArgument);
  }
}

TEST_P(LlamaPlan, FlashAttentionIsRefusedWhereItCannotBe) {
  AIOSS_REQUIRE_MODEL(GetParam());
  struct Case {
    aioss_profile profile;
    aioss_kv_type kv_type;
    std::uint32_t flash_attention;
    std::optional<Code> refused;
  };
  const Case cases[] = {
      {AIOSS_PROFILE_FAST, AIOSS_KV_F16, AIOSS_FLASH_ON, {}},
      {AIOSS_PROFILE_FAST, AIOSS_KV_F16, AIOSS_FLASH_OFF, {}},
      {AIOSS_PROFILE_FAST, AIOSS_KV_Q8_0, AIOSS_FLASH_OFF, Code::kUnsupported},
      {AIOSS_PROFILE_REPRODUCIBLE, AIOSS_KV_F16, AIOSS_FLASH_ON, kRefusedWithoutPatches},
      {AIOSS_PROFILE_REPRODUCIBLE, AIOSS_KV_Q8_0, AIOSS_FLASH_OFF, Code::kUnsupported},
      {AIOSS_PROFILE_REPRODUCIBLE, AIOSS_KV_F16, AIOSS_FLASH_OFF, {}},
      {AIOSS_PROFILE_FAST, AIOSS_KV_F16, 99, Code::kInvalidArgument},
  };
  for (const Case& one : cases) {
    const auto dry = open(one.profile, true);
    const auto real = open(one.profile, false);
    ASSERT_TRUE(dry != nullptr && real != nullptr);
    aioss_session_options options = session_options(1, 256, one.kv_type);
    options.flash_attention = one.flash_attention;
    const auto planned = dry->plan(options);
    const auto session = engine::Session::create(*real, options);
    EXPECT_EQ(planned.has_value(), !one.refused);
    EXPECT_EQ(session.has_value(), !one.refused);
    if (!one.refused) continue;
    EXPECT_EQ(planned.error().code, *one.refused) << planned.error().message;
    EXPECT_EQ(session.error().code, *one.refused) << session.error().message;
  }
}

// Values lie otherwise without it: a state of one is nothing to the other.
TEST_P(LlamaPlan, AStateIsOfAWayOfAttention) {
  AIOSS_REQUIRE_MODEL(GetParam());
  const auto model = open(AIOSS_PROFILE_FAST, false);
  ASSERT_TRUE(model != nullptr);
  std::unique_ptr<engine::Session> sessions[2];
  for (std::uint32_t i = 0; i < 2; ++i) {
    aioss_session_options options = session_options(1, 256);
    options.flash_attention = i == 0 ? AIOSS_FLASH_ON : AIOSS_FLASH_OFF;
    auto session = engine::Session::create(*model, options);
    ASSERT_TRUE(session.has_value()) << session.error().message;
    sessions[i] = std::move(*session);
    const std::int32_t token = 10, zero = 0;
    const std::uint8_t output = 1;
    aioss_batch batch = {};
    batch.struct_size = sizeof batch;
    batch.token_count = 1;
    batch.tokens = &token;
    batch.positions = batch.sequences = &zero;
    batch.outputs = &output;
    ASSERT_TRUE(sessions[i]->decode(batch).has_value());
  }
  const auto state = sessions[0]->save(0);
  ASSERT_TRUE(state.has_value());
  const Status foreign = sessions[1]->load(0, *state);
  ASSERT_FALSE(foreign.has_value());
  EXPECT_EQ(foreign.error().code, Code::kInvalidArgument);
}

// A state is of its KV type, too.
TEST_P(LlamaPlan, QuantizedKvComputesAndKeepsItsStates) {
  AIOSS_REQUIRE_MODEL(GetParam());
  const auto model = open(AIOSS_PROFILE_FAST, false);
  ASSERT_TRUE(model != nullptr);
  Bytes states[2];
  std::unique_ptr<engine::Session> sessions[2];
  const aioss_kv_type types[2] = {AIOSS_KV_Q8_0, AIOSS_KV_F16};
  for (int i = 0; i < 2; ++i) {
    auto session = engine::Session::create(*model, session_options(1, 256, types[i]));
    ASSERT_TRUE(session.has_value()) << session.error().message;
    sessions[i] = std::move(*session);
    const std::vector<std::int32_t> tokens{10, 20, 30, 40}, positions{0, 1, 2, 3}, zeros(4, 0);
    const std::vector<std::uint8_t> outputs{0, 0, 0, 1};
    aioss_batch batch = {};
    batch.struct_size = sizeof batch;
    batch.token_count = 4;
    batch.tokens = tokens.data();
    batch.positions = positions.data();
    batch.sequences = zeros.data();
    batch.outputs = outputs.data();
    const Status decoded = sessions[i]->decode(batch);
    ASSERT_TRUE(decoded.has_value()) << decoded.error().message;
    auto state = sessions[i]->save(0);
    ASSERT_TRUE(state.has_value()) << state.error().message;
    states[i] = std::move(*state);
  }
  EXPECT_LT(states[0].size(), states[1].size());
  EXPECT_TRUE(sessions[0]->load(0, states[0]).has_value());
  const Status foreign = sessions[0]->load(0, states[1]);
  ASSERT_FALSE(foreign.has_value());
  EXPECT_EQ(foreign.error().code, Code::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(All, LlamaPlan, testing::Values(kSmolLm2, kGemma3), [](const auto& test) {
  return test.param[0] == 'S' ? "SmolLm2" : "Gemma3";
});

}  // namespace
}  // namespace aioss::engines::llama
