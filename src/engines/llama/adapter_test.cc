// Adapters that are none, or none of this model: each is an error that says what is wrong, before
// llama.cpp would assert, and the model goes on.
#include <gtest/gtest.h>

#include <string>

#include "engine/conformance_harness.h"
#include "engines/llama/test_adapter.h"
#include "engines/llama/test_models.h"

namespace aioss::engines::llama {
namespace {

struct Wrong {
  const char* name;
  void (*spoil)(TestAdapter& adapter);
  Code code;
  const char* says;
};

const Wrong kWrong[] = {
    {"Model", [](TestAdapter& a) { a.general_type = "model"; }, Code::kUnsupported, "not a LoRA"},
    {"ControlVector", [](TestAdapter& a) { a.adapter_type = "controlvector"; }, Code::kUnsupported,
     "not a LoRA"},
    {"OtherArchitecture", [](TestAdapter& a) { a.architecture = "gemma3"; }, Code::kUnsupported,
     "for models of architecture \"gemma3\""},
    {"AlphaAsText", [](TestAdapter& a) { a.alpha_is_text = true; }, Code::kModelCorrupt, "alpha"},
    {"Activated", [](TestAdapter& a) { a.activated = true; }, Code::kUnsupported, "aLoRA"},
    {"NoTensors", [](TestAdapter& a) { a.tensors.clear(); }, Code::kModelCorrupt, "no tensors"},
    {"HalfAPair", [](TestAdapter& a) { a.tensors.pop_back(); }, Code::kModelCorrupt, "one half"},
    {"UnknownSuffix", [](TestAdapter& a) { a.tensors[0].name = "blk.0.attn_q.weight"; },
     Code::kUnsupported, "neither .lora_a nor .lora_b"},
    {"UnknownWeight",
     [](TestAdapter& a) {
       a.tensors[0].name = "blk.99.attn_q.weight.lora_a";
       a.tensors[1].name = "blk.99.attn_q.weight.lora_b";
     },
     Code::kUnsupported, "made for another model"},
    {"OtherWidth", [](TestAdapter& a) { a.tensors[0].dimensions[0] = 640; }, Code::kUnsupported,
     "shape"},
    {"RanksDiffer", [](TestAdapter& a) { a.tensors[0].dimensions[1] = 4; }, Code::kUnsupported,
     "shape"},
    {"ThreeDimensions", [](TestAdapter& a) { a.tensors[0].dimensions.push_back(2); },
     Code::kUnsupported, "shape"},
    {"IntegerTensors", [](TestAdapter& a) { a.tensors[0].type = 26; }, Code::kUnsupported,
     "of type i32"},
    {"Truncated", [](TestAdapter& a) { a.cut_bytes = 4096; }, Code::kModelCorrupt, "truncated"},
    {"TiedEmbedding",
     [](TestAdapter& a) {
       a.tensors = {{"token_embd.weight.lora_a", {8, 49152}},
                    {"token_embd.weight.lora_b", {8, 576}}};
     },
     Code::kUnsupported, "also this model's output"},
};

TEST(LlamaAdapter, WhatIsWrongIsSaid) {
  AIOSS_REQUIRE_MODEL(kSmolLm2);
  const os::Fd file = open_model_file(kSmolLm2);
  const auto model = open_model(file.get());
  ASSERT_TRUE(model.has_value());
  for (const Wrong& wrong : kWrong) {
    TestAdapter adapter;
    wrong.spoil(adapter);
    const os::Fd fd = adapter.file();
    const auto opened = engine::Adapter::open(**model, fd.get());
    ASSERT_FALSE(opened.has_value()) << wrong.name;
    EXPECT_EQ(opened.error().code, wrong.code) << wrong.name << ": " << opened.error().message;
    EXPECT_NE(opened.error().message.find(wrong.says), std::string::npos)
        << wrong.name << ": " << opened.error().message;
  }
  const os::Fd fd = TestAdapter().file();
  EXPECT_TRUE(engine::Adapter::open(**model, fd.get()).has_value());
}

TEST(LlamaAdapter, FactsAreThoseOfTheFile) {
  AIOSS_REQUIRE_MODEL(kSmolLm2);
  const os::Fd file = open_model_file(kSmolLm2);
  const auto model = open_model(file.get());
  ASSERT_TRUE(model.has_value());
  const os::Fd fd = TestAdapter().file();
  const auto adapter = engine::Adapter::open(**model, fd.get());
  ASSERT_TRUE(adapter.has_value()) << adapter.error().message;
  const aioss_adapter_facts facts = (*adapter)->facts();
  EXPECT_EQ(facts.rank, 8U);
  EXPECT_EQ(facts.pair_count, 8U);
  EXPECT_EQ(facts.bytes, 4U * (8U * (576 + 576 + 1536 + 576)) * sizeof(float));
  EXPECT_STREQ(facts.architecture, "llama");
}

// An adapter's end is told to the session that used it last: one at the same address is another.
TEST(LlamaAdapter, AnotherOneAfterItIsNotTakenForIt) {
  AIOSS_REQUIRE_MODEL(kSmolLm2);
  const os::Fd file = open_model_file(kSmolLm2);
  const auto model = open_model(file.get());
  ASSERT_TRUE(model.has_value());
  aioss_session_options options = {};
  options.struct_size = sizeof options;
  options.sequences_max = 1;
  options.cells_per_sequence = options.batch_tokens_max = 64;
  options.threads = 1;
  const auto session = engine::Session::create(**model, options);
  ASSERT_TRUE(session.has_value());
  const auto row_under = [&](std::uint32_t seed) {
    TestAdapter made;
    made.seed = seed;
    const os::Fd fd = made.file();
    auto adapter = engine::Adapter::open(**model, fd.get());
    EXPECT_TRUE(adapter.has_value());
    const aioss_adapter_use use = {(*adapter)->handle(), 1.0F, 0};
    engine::conformance::BatchBuilder builder;
    for (std::int32_t i = 0; i < 8; ++i) builder.add(100 + i, i, 0, i == 7);
    aioss_batch batch = builder.view();
    batch.adapters = &use;
    batch.adapter_count = 1;
    EXPECT_TRUE((*session)->decode(batch).has_value());
    const auto logits = (*session)->logits(0);
    std::vector<float> row(logits.begin(), logits.end());
    EXPECT_TRUE((*session)->remove(0, 0, -1).has_value());
    return row;
  };
  const std::vector<float> first = row_under(1);
  const std::vector<float> second = row_under(2);
  const std::vector<float> third = row_under(1);
  EXPECT_NE(first, second);
  EXPECT_EQ(first, third);
}

}  // namespace
}  // namespace aioss::engines::llama
