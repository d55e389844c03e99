// How kept connections end: announced, later than announced, and never with a reset.
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "http/test_server.h"

namespace aioss::http {
namespace {

using testing::Client;
using testing::eventually;
using testing::get;
using testing::Reply;
using testing::TestServer;

TEST(KeepAlive, IdleConnectionsCloseWithoutAWord) {
  Limits limits;
  limits.idle_timeout = std::chrono::milliseconds{60};
  limits.idle_grace = std::chrono::milliseconds{0};
  TestServer server(limits);
  Client client(server.port());
  EXPECT_EQ(client.ask(get("/echo")).status, 200);
  EXPECT_TRUE(client.at_end());
  EXPECT_EQ(server.counters().refused, 0u);
}

TEST(KeepAlive, KeptConnectionsAreToldForHowLong) {
  TestServer server;
  Client client(server.port());
  EXPECT_EQ(client.ask(get("/echo")).header("Keep-Alive"), "timeout=120");
  EXPECT_EQ(client.ask(get("/stream")).header("Keep-Alive"), "timeout=120");
  EXPECT_EQ(client.ask(get("/close")).header("Keep-Alive"), "");
  Limits limits;
  limits.idle_timeout = std::chrono::milliseconds{1999};
  TestServer shorter(limits);
  Client hasty(shorter.port());
  EXPECT_EQ(hasty.ask(get("/echo")).header("Keep-Alive"), "timeout=1");  // never more than it gets
}

// The promise is kept with room to spare: here an hour of it.
TEST(KeepAlive, IdleConnectionsOutliveWhatWasAnnounced) {
  Limits limits;
  limits.idle_timeout = std::chrono::milliseconds{20};
  limits.idle_grace = std::chrono::hours{1};
  TestServer server(limits);
  Client client(server.port());
  EXPECT_EQ(client.ask(get("/echo")).status, 200);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // a pause of the client's
  EXPECT_EQ(client.ask(get("/echo")).status, 200);
}

// Clients connect ahead, and ask when they have a question. The limit on headers counts from the
// first byte of a request: the connection that began to ask later is the one that it ends.
TEST(KeepAlive, AConnectionMayWaitForItsFirstRequest) {
  Limits limits;
  limits.header_timeout = std::chrono::milliseconds{20};
  limits.idle_timeout = std::chrono::hours{1};
  TestServer server(limits);
  Client early(server.port());
  ASSERT_TRUE(eventually([&] { return server.counters().connections_open == 1; }));
  Client slow(server.port());
  EXPECT_EQ(slow.ask("GET / HT").status, 408);
  EXPECT_EQ(early.ask(get("/echo")).status, 200);
}

// A request that crosses the end of its connection: nobody handles it, and nobody resets it.
TEST(KeepAlive, ARequestThatMeetsAnIdleEndIsNotReset) {
  Limits limits;
  limits.idle_timeout = limits.idle_grace = std::chrono::milliseconds{20};
  limits.farewell_timeout = std::chrono::minutes{1};
  TestServer server(limits);
  Client client(server.port());
  EXPECT_EQ(client.ask(get("/echo")).status, 200);
  ASSERT_TRUE(client.at_end());
  EXPECT_TRUE(client.send(get("/late")));
  client.end_sending();
  EXPECT_TRUE(eventually([&] { return server.counters().connections_open == 0; }));
  EXPECT_FALSE(client.was_reset());
  EXPECT_EQ(server.counters().requests, 1u);
}

TEST(KeepAlive, ARequestThatMeetsAStopIsNotReset) {
  Limits limits;
  limits.stop_farewell_timeout = std::chrono::minutes{1};
  TestServer server(limits);
  Client client(server.port());
  EXPECT_EQ(client.ask(get("/echo")).status, 200);
  server.stop();
  ASSERT_TRUE(client.at_end());
  EXPECT_TRUE(client.send(get("/late")));
  client.end_sending();
  server.wait_until_dry();
  EXPECT_FALSE(client.was_reset());
}

// What has arrived when the server stops is read, to its end, and answered.
TEST(KeepAlive, ARequestThatHasBegunToArriveIsAnsweredByAServerThatStops) {
  TestServer server;
  Client client(server.port());
  EXPECT_EQ(client.ask(get("/echo")).status, 200);
  server.stop([&] { client.send("GET /late HT"); });
  const Reply reply = client.ask("TP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(reply.body, "GET /late? ");
  EXPECT_EQ(reply.header("Connection"), "close");
  EXPECT_EQ(reply.header("Keep-Alive"), "");
}

}  // namespace
}  // namespace aioss::http
