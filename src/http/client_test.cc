#include "http/client.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "http/test_server.h"

namespace aioss::http {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kPatience{30'000};

TEST(GetClient, ReadsAnAnswerOverTcpAndOverAUnixSocket) {
  const std::string path = "/tmp/aioss-client-" + std::to_string(::getpid());
  testing::TestServer server({}, path);
  const auto tcp = get({"", "127.0.0.1", server.port()}, "/hello", {}, kPatience);
  ASSERT_TRUE(tcp) << tcp.error().message;
  EXPECT_EQ(tcp->status, 200);
  const auto local = get({path, "", 0}, "/hello", {}, kPatience);
  ASSERT_TRUE(local) << local.error().message;
  EXPECT_EQ(local->body, tcp->body);
  const auto unspecified = get({"", "0.0.0.0", server.port()}, "/hello", {}, kPatience);
  EXPECT_TRUE(unspecified) << "all addresses: the loopback is one";
}

TEST(GetClient, SaysThatNobodyIsThere) {
  std::uint16_t port = 0;
  {
    testing::TestServer server;
    port = server.port();
  }
  const auto gone = get({"", "127.0.0.1", port}, "/", {}, kPatience);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Code::kNotFound);
  EXPECT_NE(gone.error().message.find("http://127.0.0.1:" + std::to_string(port)),
            std::string::npos);
  EXPECT_EQ(get({"/nonexistent/socket", "", 0}, "/", {}, kPatience).error().code, Code::kNotFound);
  // There may be one, behind a path that is none: a command must not act as if nobody listened.
  EXPECT_EQ(get({"/dev/null/socket", "", 0}, "/", {}, kPatience).error().code, Code::kIo);
  EXPECT_EQ(get({std::string(200, 'x'), "", 0}, "/", {}, kPatience).error().code, Code::kUsage);
  EXPECT_EQ(get({"", "example.org", 80}, "/", {}, kPatience).error().code, Code::kUsage)
      << "names are not looked up";
}

TEST(GetClient, DoesNotWaitForEver) {
  testing::TestServer server;
  const auto late = get({"", "127.0.0.1", server.port()}, "/wait", {}, milliseconds(50));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::kTimeout);
}

TEST(GetClient, IsLeftWhenSomebodySaysSo) {
  testing::TestServer server;
  int asked = 0;
  const auto left = get({"", "127.0.0.1", server.port()}, "/wait", {}, std::chrono::hours(1),
                        [&] { return ++asked == 3; });
  ASSERT_FALSE(left);
  EXPECT_EQ(left.error().code, Code::kCancelled);
  EXPECT_EQ(asked, 3);
}

}  // namespace
}  // namespace aioss::http
