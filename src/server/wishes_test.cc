#include "server/wishes.h"

#include <gtest/gtest.h>

namespace aioss::server {
namespace {

http::Request with(const std::string& name, const std::string& value) {
  http::Request request;
  request.headers.emplace_back(name, value);
  return request;
}

constexpr std::uint32_t kResumeMax = 600;

Result<Wishes> parse(const http::Request& request) {
  return parse_wishes(request, kResumeMax);
}

TEST(Wishes, NoneMeansInteractiveAndNoDeadline) {
  const auto wishes = parse(http::Request());
  ASSERT_TRUE(wishes);
  EXPECT_FALSE(wishes->priority);
  EXPECT_EQ(wishes->deadline_ms, 0U);
  EXPECT_FALSE(wishes->resume);
}

TEST(Wishes, AreRead) {
  EXPECT_EQ(parse(with("x-aioss-priority", "batch"))->priority, ipc::Priority::kBatch);
  EXPECT_EQ(parse(with("X-Aioss-Priority", " interactive "))->priority,
            ipc::Priority::kInteractive);
  EXPECT_EQ(parse(with("X-Aioss-Deadline", "1"))->deadline_ms, 1'000U);
  EXPECT_EQ(parse(with("X-Aioss-Deadline", "86400"))->deadline_ms, 86'400'000U);
  EXPECT_EQ(parse(with("X-Aioss-Resume", " 1 "))->resume, std::chrono::seconds(1));
  EXPECT_EQ(parse(with("x-aioss-resume", "600"))->resume, std::chrono::seconds(600));
}

TEST(Wishes, BadOnesAreRefusedByName) {
  for (const std::string value : {"", "Batch", "urgent", "batch,batch"}) {
    const auto wishes = parse(with("X-Aioss-Priority", value));
    ASSERT_FALSE(wishes) << value;
    EXPECT_EQ(wishes.error().code, Code::kInvalidArgument);
    EXPECT_EQ(wishes.error().field, "X-Aioss-Priority");
  }
  for (const std::string value : {"", "0", "86401", "-1", "1.5", "1s", "99999999999999999999"}) {
    const auto wishes = parse(with("X-Aioss-Deadline", value));
    ASSERT_FALSE(wishes) << value;
    EXPECT_EQ(wishes.error().field, "X-Aioss-Deadline");
  }
  for (const std::string value : {"", "0", "601", "-1", "1.5", "x", "99999999999999999999"}) {
    const auto wishes = parse(with("X-Aioss-Resume", value));
    ASSERT_FALSE(wishes) << value;
    EXPECT_EQ(wishes.error().field, "X-Aioss-Resume");
  }
  const auto none = parse_wishes(with("X-Aioss-Resume", "1"), 0);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("keeps no answers"), std::string::npos);
}

}  // namespace
}  // namespace aioss::server
