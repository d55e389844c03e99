#include "cli/inspect_report.h"

#include <gtest/gtest.h>

#include "codec/json.h"

namespace aioss::cli {
namespace {

codec::Json good() {
  return {{"architecture", "llama"},
          {"name", "A\x1b[2J model"},
          {"parameters", 134515008},
          {"context_length", 8192},
          {"embedding_length", 576},
          {"layers", 30},
          {"heads", 9},
          {"heads_kv", nullptr},
          {"vocabulary_size", 49152},
          {"tokenizer", "gpt2"},
          {"quantization",
           {{{"type", "Q4_1"},
             {"tensors", 210},
             {"parameters", 106168320},
             {"bytes", 66355200},
             {"bits_per_weight", 5.0}}}},
          {"tensors", 272},
          {"tensor_bytes", 96000000},
          {"bits_per_weight", 5.7},
          {"chat_template", nullptr},
          {"chat_template_sha3", nullptr},
          {"file_bytes", 98362432},
          {"gguf_version", 3},
          {"alignment", 32},
          {"metadata_entries", 33},
          {"split_count", 1}};
}

TEST(InspectReport, ReadsWhatTheChildWrites) {
  const auto report = parse_inspect_report(good().dump());
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->architecture, "llama");
  EXPECT_EQ(report->parameters, 134515008U);
  EXPECT_FALSE(report->heads_kv);
  ASSERT_EQ(report->quantization.size(), 1U);
  EXPECT_EQ(report->quantization[0].type, "Q4_1");
  const std::string text = inspect_text(*report, 0, false);
  EXPECT_NE(text.find("134.5 M (134515008)"), std::string::npos) << text;
  EXPECT_NE(text.find("none: completions only"), std::string::npos) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos);  // the model's name cannot move the cursor
  const auto json = codec::parse_json(inspect_json(*report));
  ASSERT_TRUE(json);
  EXPECT_EQ(json->at("context_length"), 8192);
}

TEST(InspectReport, TheChildsErrorIsAnErrorWithinLimits) {
  struct Case {
    std::string json;
    Code code;
    std::string message;
  };
  const std::vector<Case> cases{
      {R"({"error":{"code":"model_corrupt","message":"truncated"}})", Code::kModelCorrupt,
       "truncated"},
      {R"({"error":{"code":"io","message":"two\nlines\u001b[2J"}})", Code::kIo,
       "two\\nlines\\x1b[2J"},
      {R"({"error":{"code":"ok?","message":""}})", Code::kModelCorrupt, "the file cannot be read"},
      // A child that is not itself any more chooses neither "cancelled" nor "forbidden".
      {R"({"error":{"code":"cancelled","message":"x"}})", Code::kModelCorrupt, "x"},
      {R"({"error":5})", Code::kModelCorrupt, "the file cannot be read"},
  };
  for (const Case& c : cases) {
    const auto report = parse_inspect_report(c.json);
    ASSERT_FALSE(report) << c.json;
    EXPECT_EQ(report.error().code, c.code) << c.json;
    EXPECT_EQ(report.error().message, c.message);
  }
  const std::string endless(10'000, 'x');
  const auto cut = parse_inspect_report(R"({"error":{"message":")" + endless + R"("}})");
  EXPECT_EQ(cut.error().message.size(), 500U);
}

TEST(InspectReport, EveryFieldIsChecked) {
  const codec::Json whole = good();
  for (auto field = whole.begin(); field != whole.end(); ++field) {
    const std::string key = field.key();
    codec::Json broken = whole;
    broken[key] = codec::Json::array({1});
    const auto report = parse_inspect_report(broken.dump());
    ASSERT_FALSE(report) << key;
    EXPECT_EQ(report.error().code, Code::kCorrupt) << key;
    EXPECT_NE(report.error().message.find("'"), std::string::npos);
  }
  for (const std::string_view json : {"", "[]", "5", "{", "{}", "null"}) {
    EXPECT_FALSE(parse_inspect_report(json)) << json;
  }
  codec::Json negative = good();
  negative["parameters"] = -1;
  EXPECT_FALSE(parse_inspect_report(negative.dump()));
  codec::Json many = good();
  const codec::Json one = many["quantization"][0];
  for (std::size_t i = 0; i < kInspectTypesMax; ++i) many["quantization"].push_back(one);
  EXPECT_FALSE(parse_inspect_report(many.dump()));
}

}  // namespace
}  // namespace aioss::cli
