#include "codec/json.h"

#include <gtest/gtest.h>

namespace aioss::codec {
namespace {

std::string error_of(std::string_view text, const JsonLimits& limits = {}) {
  const auto parsed = parse_json(text, limits);
  return parsed ? "" : parsed.error().message;
}

TEST(Json, ParsesWhatTheRfcAllows) {
  const auto parsed = parse_json(R"( {"a": [1, -2, 3.5, true, null, "x\u00fc\n"], "b": {}} )");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  EXPECT_EQ(dump_json(*parsed), "{\"a\":[1,-2,3.5,true,null,\"x\u00fc\\n\"],\"b\":{}}");
  EXPECT_EQ(parse_json("18446744073709551615")->get<std::uint64_t>(), ~std::uint64_t{0});
  EXPECT_TRUE(parse_json("[[],{},[{}],{\"a\":{\"b\":[]}}]").has_value());
}

TEST(Json, NestedValuesLandWhereTheyBelong) {
  const auto parsed = parse_json(R"({"a":{"b":{"c":1},"d":[{"e":2},3]},"f":[[4]],"g":5})");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(dump_json(*parsed), R"({"a":{"b":{"c":1},"d":[{"e":2},3]},"f":[[4]],"g":5})");
}

TEST(Json, RefusesWhatItDoesNot) {
  for (const char* bad : {"",
                          " ",
                          "{",
                          "[1,]",
                          "{\"a\":1,}",
                          "{a:1}",
                          "'x'",
                          "01",
                          "+1",
                          ".5",
                          "1.",
                          "NaN",
                          "Inf",
                          "[1 2]",
                          "1 2",
                          "nul",
                          "\"\x01\"",
                          "\"\\x\"",
                          "\"\\ud800\"",
                          "\"\\ud800\\u0041\"",
                          "1e999",
                          "// c\n1",
                          "[1]x",
                          "\"a",
                          "\xC3",
                          "\"\xC3\"",
                          "\"\xED\xA0\x80\"",
                          "\"\xC0\x80\"",
                          "{\"a\"}",
                          "{1:2}",
                          "]",
                          "}"}) {
    const auto parsed = parse_json(bad);
    EXPECT_FALSE(parsed.has_value()) << bad;
    if (!parsed) {
      EXPECT_EQ(parsed.error().code, Code::kInvalidArgument);
    }
  }
}

TEST(Json, RefusesADuplicateKeyAtAnyDepth) {
  EXPECT_NE(error_of(R"({"a":1,"a":2})").find("same key twice"), std::string::npos);
  EXPECT_NE(error_of(R"([{"b":{"a":1,"\u0061":2}}])").find("same key twice"), std::string::npos);
  EXPECT_EQ(error_of(R"([{"a":1},{"a":{"a":2}}])"), "");
}

TEST(Json, NamesThePlaceAndNeverQuotesTheDocument) {
  const std::string error = error_of("{\n  \"prompt\": \"secret\",\n  \"x\": secret2\n}");
  EXPECT_NE(error.find("line 3, column 8"), std::string::npos) << error;
  EXPECT_EQ(error.find("secret"), std::string::npos) << error;
  EXPECT_EQ(error_of("\"secret\xFF\"").find("secret"), std::string::npos);
  EXPECT_NE(error_of("{\"a\": [1, 2").find("ends early"), std::string::npos)
      << error_of("{\"a\": [1, 2");
  EXPECT_EQ(error.find('\n'), std::string::npos);
}

TEST(Json, LimitsHold) {
  JsonLimits limits;
  limits.depth_max = 3;
  EXPECT_EQ(error_of("[[[1]]]", limits), "");
  EXPECT_NE(error_of("[[[[1]]]]", limits).find("more than 3 deep"), std::string::npos);
  EXPECT_NE(error_of("[[[{}]]]", limits), "");
  limits.nodes_max = 4;
  EXPECT_EQ(error_of("[1,2,3]", limits), "");
  EXPECT_NE(error_of("[1,2,3,4]", limits).find("more than 4 values"), std::string::npos);
  limits.bytes_max = 5;
  EXPECT_EQ(parse_json("[1,2,3]", limits).error().code, Code::kTooLarge);
  EXPECT_FALSE(parse_json(std::string(1'000'000, '[')).has_value());  // no recursion a million deep
  EXPECT_FALSE(parse_json(std::string(3'000'000, '1')).has_value());  // a number beyond all bounds
}

TEST(Json, OutputIsOneLineOfValidUtf8) {
  EXPECT_EQ(dump_json(Json{{"a", "x\ny"}}), R"({"a":"x\ny"})");
  EXPECT_EQ(dump_json(Json("\xFF")), "\"\uFFFD\"");
  OrderedJson ordered;
  ordered["z"] = 1;
  ordered["a"] = 2;
  EXPECT_EQ(dump_json(ordered), R"({"z":1,"a":2})");
}

}  // namespace
}  // namespace aioss::codec
