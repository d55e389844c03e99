#include "server/review_body.h"

#include <gtest/gtest.h>

namespace aioss::server {
namespace {

// The field that the error names, or what went wrong.
std::string wrong_field(const std::string& body) {
  const auto parsed = parse_review(body);
  if (parsed) return "no error";
  EXPECT_TRUE(parsed.error().code == Code::kInvalidArgument ||
              parsed.error().code == Code::kTooLarge)
      << parsed.error().message;
  EXPECT_EQ(parsed.error().message.find('\n'), std::string::npos);
  return parsed.error().field;
}

TEST(ReviewBody, TakesARequestByIdOrByRecord) {
  const auto by_id = parse_review(R"({"request_id":"req_1","verdict":"approved","comment":null})");
  ASSERT_TRUE(by_id.has_value());
  EXPECT_EQ(by_id->request_id, "req_1");
  EXPECT_FALSE(by_id->record);
  EXPECT_EQ(by_id->comment, "");
  const auto by_record = parse_review(R"({"record":0,"verdict":"escalated","comment":"why"})");
  ASSERT_TRUE(by_record.has_value());
  EXPECT_EQ(by_record->record, 0U);
  EXPECT_EQ(by_record->comment, "why");
}

TEST(ReviewBody, EveryErrorNamesItsField) {
  EXPECT_EQ(wrong_field("{"), "");
  EXPECT_EQ(wrong_field("[]"), "");
  EXPECT_EQ(wrong_field(R"({"verdict":"approved"})"), "request_id");
  EXPECT_EQ(wrong_field(R"({"record":1})"), "verdict");
  EXPECT_EQ(wrong_field(R"({"record":1,"verdict":"Approved"})"), "verdict");
  EXPECT_EQ(wrong_field(R"({"record":-1,"verdict":"approved"})"), "record");
  EXPECT_EQ(wrong_field(R"({"record":"1","verdict":"approved"})"), "record");
  EXPECT_EQ(wrong_field(R"({"record":1,"verdict":"approved","comment":5})"), "comment");
  EXPECT_EQ(wrong_field(R"({"record":1,"verdict":"approved","comments":"x"})"), "comments");
  const std::string long_id(200, 'x');
  EXPECT_EQ(wrong_field(R"({"request_id":")" + long_id + R"(","verdict":"approved"})"),
            "request_id");
  const std::string long_comment(runtime::kReviewCommentBytesMax + 1, 'x');
  EXPECT_EQ(wrong_field(R"({"record":1,"verdict":"approved","comment":")" + long_comment + R"("})"),
            "comment");
}

}  // namespace
}  // namespace aioss::server
