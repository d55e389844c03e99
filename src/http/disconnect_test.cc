// Clients that leave, stall or send out of turn while their answer is being made.
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>

#include "http/test_server.h"

namespace aioss::http {
namespace {

using testing::Client;
using testing::eventually;
using testing::get;
using testing::Observed;
using testing::Reply;
using testing::TestServer;

bool begun(TestServer& server, int count = 1) {
  return eventually([&server, count] { return server.observed().handling == count; });
}
bool noticed(TestServer& server, int count = 1) {
  Observed& observed = server.observed();
  return eventually([&observed, count] { return observed.gone == count; });
}

TEST(Disconnect, IsNoticedBeforeAnythingWasSent) {
  TestServer server;
  for (int way = 0; way < 3; ++way) {
    Client client(server.port());
    client.send(get("/wait"));
    ASSERT_TRUE(begun(server, way + 1));
    EXPECT_EQ(server.observed().gone, way);
    if (way == 0) client.close();
    if (way == 1) client.reset();
    if (way == 2) client.end_sending();  // a client that will send no more counts as gone
    EXPECT_TRUE(noticed(server, way + 1)) << way;
  }
  EXPECT_TRUE(eventually([&] { return server.observed().finished == 3; }));
  EXPECT_EQ(server.observed().write_failures, 3);
  EXPECT_TRUE(eventually([&] { return server.counters().connections_open == 0; }));
}

TEST(Disconnect, IsNoticedAmidAStream) {
  TestServer server;
  for (int way = 0; way < 2; ++way) {
    Client client(server.port());
    client.send(get("/stream-wait"));
    EXPECT_TRUE(client.read_some().starts_with("HTTP/1.1 200 "));
    if (way == 0) client.close();
    if (way == 1) client.reset();
    EXPECT_TRUE(noticed(server, way + 1)) << way;
  }
  EXPECT_TRUE(eventually([&] { return server.observed().finished == 2; }));
  EXPECT_EQ(server.observed().write_failures, 2);
}

TEST(Disconnect, IsNoticedOnAUnixSocket) {
  const std::string path = "/tmp/aioss-http-gone-" + std::to_string(::getpid());
  TestServer server({}, path);
  Client client(path);
  client.send(get("/wait"));
  ASSERT_TRUE(begun(server));
  client.close();
  EXPECT_TRUE(noticed(server));
}

// Bytes of the next request stand in front of the end, and are no end themselves.
TEST(Disconnect, IsNoticedBehindPipelinedBytes) {
  TestServer server;
  Client client(server.port());
  client.send(get("/wait") + get("/echo"));
  ASSERT_TRUE(begun(server));
  server.observed().release->notify();
  EXPECT_EQ(client.read().body, "released");
  EXPECT_EQ(client.read().body, "GET /echo? ");
  EXPECT_EQ(server.observed().gone, 0);
  client.send(get("/wait"));
  client.send(get("/echo"));
  ASSERT_TRUE(begun(server, 3));
  client.close();
  EXPECT_TRUE(noticed(server));
}

TEST(Disconnect, IsNotCalledForAnAnswerThatHasEnded) {
  TestServer server;
  {
    Client client(server.port());
    client.send(get("/wait"));
    ASSERT_TRUE(begun(server));
    server.observed().release->notify();
    EXPECT_EQ(client.read().status, 200);
  }
  EXPECT_TRUE(eventually([&] { return server.counters().connections_open == 0; }));
  EXPECT_EQ(server.observed().gone, 0);
}

// The wait for the kernel to take bytes is what stops the producer.
TEST(Backpressure, AStoppedReaderParksTheProducerAndLosesNothing) {
  TestServer server;
  Client client(server.port(), 4096);
  client.send(get("/flood"));
  ASSERT_TRUE(begun(server));
  // Until the producer makes no progress any more.
  std::uint64_t before = 1, now = 0;
  ASSERT_TRUE(eventually([&] {
    before = now;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    now = server.observed().bytes_written;
    return now == before;
  }));
  EXPECT_LE(now, 512u * 1024);  // of 32 MiB: what the kernel's buffers of both ends hold
  EXPECT_EQ(server.observed().finished, 0);
  Client other(server.port());  // nobody else waits for it
  EXPECT_EQ(other.ask(get("/echo")).status, 200);
  const Reply reply = client.read();
  ASSERT_EQ(reply.body.size(), 2048u * 16 * 1024);
  for (std::size_t i = 0; i < 2048; ++i) {
    const std::string number = std::to_string(i) + ":.";
    ASSERT_EQ(reply.body.compare(i * 16 * 1024, number.size(), number), 0) << i;
  }
  EXPECT_EQ(client.ask(get("/echo")).status, 200);
}

TEST(Backpressure, AReaderThatNeverReadsIsGoneInTheEnd) {
  Limits limits;
  limits.write_timeout = std::chrono::milliseconds{100};
  TestServer server(limits);
  Client client(server.port(), 4096);
  client.send(get("/flood"));
  EXPECT_TRUE(noticed(server));
  EXPECT_TRUE(eventually([&] { return server.observed().finished == 1; }));
  EXPECT_EQ(server.observed().write_failures, 1);
  EXPECT_EQ(server.observed().stalled, 1);
}

TEST(Backpressure, AProducerThatWaitsLearnsOfTheEnd) {
  TestServer server;
  auto client = std::make_unique<Client>(server.port(), 4096);
  client->send(get("/flood"));
  ASSERT_TRUE(eventually([&] { return server.observed().bytes_written > 0; }));
  client.reset();
  EXPECT_TRUE(noticed(server));
  EXPECT_TRUE(eventually([&] { return server.observed().finished == 1; }));
  EXPECT_EQ(server.observed().stalled, 0) << "it left";
}

}  // namespace
}  // namespace aioss::http
