// The server as a client sees it: framing of answers, kept connections, limits, timeouts, stopping.
#include "http/server.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "http/test_server.h"

namespace aioss::http {
namespace {

using testing::Client;
using testing::eventually;
using testing::get;
using testing::Reply;
using testing::TestServer;

std::string post(const std::string& path, const std::string& body) {
  return "POST " + path +
         " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}
std::string error_text(const Reply& reply) {
  return reply.body.starts_with("{\"error\":\"") ? reply.body.substr(10) : "(not an error)";
}

TEST(Server, AnswersWithLengthAndDateAndKeepsTheConnection) {
  TestServer server;
  Client client(server.port());
  const Reply reply = client.ask(post("/e%63ho?a=b", "body"));
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "POST /echo?a=b body");
  EXPECT_EQ(reply.header("Content-Length"), "19");
  EXPECT_EQ(reply.header("Content-Type"), "text/plain");
  EXPECT_TRUE(reply.header("Date").ends_with(" GMT"));
  EXPECT_EQ(reply.header("Connection"), "keep-alive");
  EXPECT_EQ(client.ask(get("/again")).body, "GET /again? ");
}

TEST(Server, OneConnectionCarriesAThousandRequests) {
  TestServer server;
  Client client(server.port());
  for (int i = 0; i < 1000; ++i) {
    const std::string body = std::to_string(i) + std::string(static_cast<std::size_t>(i), 'x');
    ASSERT_EQ(client.ask(post("/echo", body)).body, "POST /echo? " + body);
  }
  const Counters counters = server.counters();
  EXPECT_EQ(counters.connections_accepted, 1u);
  EXPECT_EQ(counters.connections_open, 1u);
  EXPECT_EQ(counters.requests, 1000u);
  EXPECT_EQ(counters.refused, 0u);
}

TEST(Server, PipelinedRequestsAreAnsweredInOrder) {
  TestServer server;
  Client client(server.port());
  std::string requests;
  for (int i = 0; i < 200; ++i) {
    requests += i % 3 == 0 ? get("/stream") : post("/echo", std::to_string(i));
  }
  client.send(requests);
  for (int i = 0; i < 200; ++i) {
    const Reply reply = client.read();
    ASSERT_EQ(reply.status, 200) << i;
    ASSERT_EQ(reply.body, i % 3 == 0 ? "onetwo\r\n" + std::string(20, '3')
                                     : "POST /echo? " + std::to_string(i));
  }
}

TEST(Server, RequestsMayArriveByteByByte) {
  TestServer server;
  Client client(server.port());
  const std::string request =
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
  for (const char c : request) client.send({&c, 1});
  EXPECT_EQ(client.read().body, "POST /echo? abc");
}

TEST(Server, CloseIsHonouredAndAnnounced) {
  TestServer server;
  for (const std::string& request : {get("/echo", "Connection: close\r\n"), get("/close"),
                                     std::string("GET /echo HTTP/1.0\r\n\r\n")}) {
    Client client(server.port());
    const Reply reply = client.ask(request);
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.header("Connection"), "close");
    EXPECT_TRUE(client.at_end());
  }
  Client old(server.port());
  const std::string request = "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
  EXPECT_EQ(old.ask(request).header("Connection"), "keep-alive");
  EXPECT_EQ(old.ask(request).status, 200);
}

TEST(Server, StreamsAreChunked) {
  TestServer server;
  Client client(server.port());
  const Reply reply = client.ask(get("/stream"));
  EXPECT_EQ(reply.header("Transfer-Encoding"), "chunked");
  EXPECT_EQ(reply.header("Content-Length"), "");
  EXPECT_EQ(reply.header("Content-Type"), "text/event-stream");
  EXPECT_EQ(reply.chunks, "one|two\r\n|" + std::string(20, '3'));
  EXPECT_EQ(client.ask(get("/echo")).status, 200);
}

TEST(Server, AStreamForHttp10EndsWithTheConnection) {
  TestServer server;
  Client client(server.port());
  const Reply reply = client.ask("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(reply.header("Transfer-Encoding"), "");
  EXPECT_EQ(reply.header("Connection"), "close");
  EXPECT_EQ(reply.body, "onetwo\r\n" + std::string(20, '3'));
  EXPECT_TRUE(client.at_end());
}

TEST(Server, HeadHasTheHeadersAndNoBody) {
  TestServer server;
  Client client(server.port());
  client.send("HEAD /echo HTTP/1.1\r\nHost: a\r\n\r\n");
  const Reply reply = client.read(true);
  EXPECT_EQ(reply.header("Content-Length"), "12");
  client.send("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(client.read(true).header("Transfer-Encoding"), "chunked");
  EXPECT_EQ(client.ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").body, "OPTIONS *? ");
  EXPECT_EQ(client.ask(get("/empty")).header("Content-Length"), "");
  EXPECT_EQ(client.ask(get("/echo")).status, 200);
}

TEST(Server, AHeaderValueCannotBeginANewLine) {
  TestServer server;
  Client client(server.port());
  const Reply reply = client.ask(get("/inject"));
  EXPECT_EQ(reply.header("X-Model"), "a  X-Evil: b");
  EXPECT_EQ(reply.header("X-Evil"), "");
}

TEST(Server, ExceptionsBecome500AndTellNothing) {
  TestServer server;
  Client client(server.port());
  const Reply reply = client.ask(get("/throw"));
  EXPECT_EQ(reply.status, 500);
  EXPECT_EQ(error_text(reply), "the server failed to answer this request\"}");
  EXPECT_EQ(client.ask(get("/nothing")).status, 500);
  EXPECT_EQ(client.ask(get("/echo")).status, 200);  // the connection survived both
  // After an answer has begun, all that is left is to let it end without its end.
  for (const char* path : {"/throw-midway", "/unended"}) {
    Client other(server.port());
    other.send(get(path));
    const std::string all = other.read_all();
    EXPECT_TRUE(all.ends_with("4\r\nhalf\r\n")) << all;
  }
}

TEST(Server, FramingErrorsAreAnsweredAndCloseTheConnection) {
  TestServer server;
  const std::vector<std::pair<std::string, int>> requests = {
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
       400},
      {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(20000, 'a') + "\r\n\r\n", 431},
      {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505},
      {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      {"\x16\x03\x01", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4194305\r\n\r\n", 413},
  };
  for (const auto& [request, status] : requests) {
    Client client(server.port());
    client.send(get("/echo"));
    EXPECT_EQ(client.read().status, 200);
    client.send(request + get("/smuggled"));
    const Reply reply = client.read();
    EXPECT_EQ(reply.status, status) << request.substr(0, 80);
    EXPECT_EQ(reply.header("Connection"), "close");
    EXPECT_NE(error_text(reply), "(not an error)");
    EXPECT_TRUE(client.at_end());
  }
  EXPECT_EQ(server.counters().requests, requests.size());  // no smuggled one among them
  EXPECT_EQ(server.counters().refused, requests.size());
}

// A client that sends all before it reads must still get the answer, not a reset.
TEST(Server, ALargeBodyIsRefusedInAWayTheClientCanRead) {
  TestServer server;
  const std::string body(12 << 20, 'x');
  Client announced(server.port());
  announced.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) +
                 "\r\n\r\n");
  EXPECT_TRUE(announced.send(body));
  EXPECT_EQ(announced.read().status, 413);
  Client chunked(server.port());
  chunked.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (std::size_t at = 0; at < body.size(); at += 65536) {
    chunked.send("10000\r\n" + body.substr(at, 65536) + "\r\n");
  }
  EXPECT_EQ(chunked.read().status, 413);
}

TEST(Server, ContinueIsSentOnlyToWhoWaitsAndMayGoOn) {
  TestServer server;
  Client client(server.port());
  const std::string head = "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n";
  EXPECT_EQ(client.ask(head + "Content-Length: 3\r\n\r\n").status, 100);
  EXPECT_EQ(client.ask("abc").body, "POST /echo? abc");
  EXPECT_EQ(client.ask(head + "Content-Length: 3\r\n\r\nabc").body, "POST /echo? abc");
  EXPECT_EQ(client.ask(head + "Content-Length: 0\r\n\r\n").status, 200);
  EXPECT_EQ(client.ask(head + "Content-Length: 9999999\r\n\r\n").status, 413);
  Client other(server.port());
  const std::string magic = "POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n";
  EXPECT_EQ(other.ask(magic + "Content-Length: 3\r\n\r\n").status, 417);
}

TEST(Server, SlowRequestsTimeOut) {
  Limits limits;
  limits.header_timeout = std::chrono::milliseconds{60};
  limits.body_timeout = std::chrono::milliseconds{60};
  limits.idle_timeout = std::chrono::milliseconds{60};
  limits.idle_grace = std::chrono::milliseconds{0};
  TestServer server(limits);
  Client slow_head(server.port());
  slow_head.send("GET / HTTP/1.1\r\nHost:");
  Client slow_body(server.port());
  slow_body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
  Client silent(server.port());
  for (Client* client : {&slow_head, &slow_body}) {
    const Reply reply = client->read();
    EXPECT_EQ(reply.status, 408);
    EXPECT_EQ(reply.header("Connection"), "close");
    EXPECT_TRUE(client->at_end());
  }
  EXPECT_TRUE(silent.at_end());  // there is no request to answer
}

// A byte now and then does not buy more time.
TEST(Server, TheHeaderDeadlineIsForTheWholeHeader) {
  Limits limits;
  limits.header_timeout = std::chrono::milliseconds{100};
  TestServer server(limits);
  Client client(server.port());
  client.send("GET / HTTP/1.1\r\nX: ");
  std::string answer;
  for (int i = 0; i < 3000 && answer.empty(); ++i) {
    if (!client.send("a")) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (server.counters().refused > 0) answer = client.read_some();
  }
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 408 ")) << answer;
}

TEST(Server, ARequestThatEndsEarlyIsTold) {
  TestServer server;
  for (const char* part :
       {"GET / HT", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"}) {
    Client client(server.port());
    client.send(part);
    client.end_sending();
    EXPECT_EQ(client.read().status, 400) << part;
  }
}

TEST(Server, OverTheConnectionLimitClientsAreTurnedAway) {
  Limits limits;
  limits.connections_max = 2;
  TestServer server(limits);
  Client first(server.port());
  auto second = std::make_unique<Client>(server.port());
  EXPECT_EQ(first.ask(get("/echo")).status, 200);
  EXPECT_EQ(second->ask(get("/echo")).status, 200);
  Client third(server.port());
  const Reply reply = third.ask(get("/echo"));
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.header("Connection"), "close");
  EXPECT_TRUE(third.at_end());
  second.reset();
  EXPECT_TRUE(eventually([&] { return server.counters().connections_open == 1; }));
  Client fourth(server.port());
  EXPECT_EQ(fourth.ask(get("/echo")).status, 200);
  EXPECT_EQ(first.ask(get("/echo")).status, 200);
}

TEST(Server, LargeRequestsTogetherAreBounded) {
  Limits limits;
  limits.bodies_bytes_max = 1 << 20;
  TestServer server(limits);
  Client first(server.port());
  first.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  first.send(std::string(999'999, 'x'));
  ASSERT_TRUE(eventually([&] { return server.counters().body_bytes_held == 999'999; }));
  Client second(server.port());
  const std::string large = post("/echo", std::string(500'000, 'y'));
  EXPECT_EQ(Client(server.port()).ask(large).status, 503);
  EXPECT_EQ(first.ask("x").status, 200);
  EXPECT_EQ(second.ask(large).status, 200);  // what the first held is free again
}

// The body is the handler's once it has the request: answers that take long do not use up what
// others need to be received.
TEST(Server, AnswersUnderWayDoNotCountTheirBodies) {
  Limits limits;
  limits.bodies_bytes_max = 1 << 20;
  TestServer server(limits);
  std::vector<std::unique_ptr<Client>> slow;
  for (int i = 0; i < 8; ++i) {
    slow.push_back(std::make_unique<Client>(server.port()));
    slow.back()->send(post("/stream-wait", std::string(1'000'000, 'x')));
    ASSERT_TRUE(eventually([&] { return server.observed().handling == i + 1; }));
  }
  EXPECT_EQ(server.counters().body_bytes_held, 0u);
  EXPECT_EQ(Client(server.port()).ask(post("/echo", "small")).status, 200);
  EXPECT_EQ(Client(server.port()).ask(post("/echo", std::string(1'000'000, 'y'))).status, 200);
  EXPECT_LE(server.observed().finished, 2);  // the first eight are still being answered
}

std::size_t open_descriptors() {
  namespace fs = std::filesystem;
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
}

TEST(Server, OutOfDescriptorsItWaitsAndGoesOn) {
  TestServer server;
  Client first(server.port());
  EXPECT_EQ(first.ask(get("/echo")).status, 200);
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  Client second(server.port());
  EXPECT_EQ(second.ask(get("/echo")).status, 200);
  // Earlier tests' threads may still close some of theirs.
  std::size_t open_before = 0;
  ASSERT_TRUE(eventually([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return std::exchange(open_before, open_descriptors()) == open_descriptors();
  }));
  // The next connection gets the last descriptor for its client's end, and none for the server's.
  const int lowest_free = ::dup(0);
  ::close(lowest_free);
  rlimit tight = before;
  tight.rlim_cur = static_cast<rlim_t>(lowest_free) + 1;
  ::setrlimit(RLIMIT_NOFILE, &tight);
  Client third(server.port());
  third.send(get("/echo"));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(first.ask(get("/echo")).status, 200);
  EXPECT_EQ(server.counters().connections_accepted, 2u);
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(third.read().status, 200);
}

TEST(Server, StopFinishesWhatItBegan) {
  TestServer server;
  Client idle(server.port());
  EXPECT_EQ(idle.ask(get("/echo")).status, 200);
  Client busy(server.port());
  busy.send(get("/wait"));
  Client reading(server.port());
  reading.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na");
  ASSERT_TRUE(eventually([&] { return server.observed().handling == 2; }));
  ASSERT_TRUE(eventually([&] { return server.counters().connections_open == 3; }));
  server.stop();
  EXPECT_TRUE(idle.at_end());
  EXPECT_TRUE(Client(server.port()).at_end());  // nobody listens
  const Reply late = reading.ask("bc");
  EXPECT_EQ(late.body, "POST /echo? abc");
  EXPECT_EQ(late.header("Connection"), "close");
  server.observed().release->notify();
  const Reply reply = busy.read();
  EXPECT_EQ(reply.body, "released");
  EXPECT_EQ(reply.header("Connection"), "close");
  EXPECT_TRUE(busy.at_end());
  idle.close();
  busy.close();
  reading.close();
  server.wait_until_dry();
}

TEST(Server, DestroyingItTellsTheHandlers) {
  TestServer server;
  Client client(server.port());
  client.send(get("/wait"));
  ASSERT_TRUE(eventually([&] { return server.observed().handling == 1; }));
  server.destroy();
  server.wait_until_dry();
  EXPECT_EQ(server.observed().gone, 1);
  EXPECT_EQ(server.observed().finished, 1);
  EXPECT_TRUE(client.at_end());
}

// ---- listening --------------------------------------------------------------------------------

net::awaitable<void> never(Request, ResponseWriter&) {
  co_return;
}
Response no_body(const Error&) {
  return Response(500, "text/plain", "");
}

Result<std::unique_ptr<Server>> try_listen(net::io_context& io, const Listen& listen) {
  return Server::create(io, listen, Limits{}, never, no_body);
}

TEST(Listening, APortInUseIsNamed) {
  TestServer server;
  net::io_context io;
  Listen listen;
  listen.port = server.port();
  const auto second = try_listen(io, listen);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kConflict);
  EXPECT_NE(second.error().message.find("port " + std::to_string(server.port())),
            std::string::npos);
}

TEST(Listening, NamesAreNotLookedUp) {
  net::io_context io;
  Listen listen;
  listen.host = "localhost";
  EXPECT_TRUE(try_listen(io, listen));
  for (const char* host : {"example.com", "", "127.0.0.1:80", "300.0.0.1"}) {
    listen.host = host;
    const auto server = try_listen(io, listen);
    ASSERT_FALSE(server) << host;
    EXPECT_EQ(server.error().code, Code::kInvalidArgument);
  }
  listen.tcp = false;
  EXPECT_FALSE(try_listen(io, listen));
}

class UnixListening : public ::testing::Test {
 protected:
  UnixListening() {
    char name[] = "/tmp/aioss-http-XXXXXX";
    directory_ = ::mkdtemp(name);
    path_ = directory_ + "/s";
  }
  ~UnixListening() override {
    ::unlink(path_.c_str());
    ::rmdir(directory_.c_str());
  }
  std::string directory_, path_;
};

TEST_F(UnixListening, ThePeerIsWhoTheKernelSays) {
  TestServer server({}, path_);
  Client client(path_);
  EXPECT_EQ(client.ask(get("/peer")).body, "unix:uid=" + std::to_string(::getuid()));
  EXPECT_EQ(client.ask(get("/stream")).chunks, "one|two\r\n|" + std::string(20, '3'));
  Client tcp(server.port());
  EXPECT_TRUE(tcp.ask(get("/peer")).body.starts_with("127.0.0.1:"));
  struct stat info{};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660u);
  server.stop();
  EXPECT_NE(::stat(path_.c_str(), &info), 0);
}

TEST_F(UnixListening, ASocketIsReplacedOnlyIfNobodyListens) {
  Listen listen;
  listen.tcp = false;
  listen.unix_path = path_;
  net::io_context io;
  {
    TestServer server({}, path_);
    const auto second = try_listen(io, listen);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Code::kConflict);
    EXPECT_EQ(Client(path_).ask(get("/echo")).status, 200);  // untouched
  }
  const int stale = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(::bind(stale, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ::close(stale);
  EXPECT_TRUE(try_listen(io, listen));
  std::ofstream(path_) << "precious";
  const auto over_file = try_listen(io, listen);
  ASSERT_FALSE(over_file);
  EXPECT_EQ(over_file.error().code, Code::kConflict);
  listen.unix_path = directory_ + "/" + std::string(200, 'x');
  EXPECT_FALSE(try_listen(io, listen));
}

// Whatever is sent, in whatever pieces, the server goes on.
TEST(Server, RandomBytesDoNotStopIt) {
  Limits limits;
  limits.header_timeout = limits.body_timeout = std::chrono::milliseconds{50};
  limits.farewell_timeout = std::chrono::milliseconds{50};
  TestServer server(limits);
  std::mt19937 random(77);
  const auto below = [&](std::size_t limit) { return static_cast<std::size_t>(random() % limit); };
  const std::vector<std::string> parts = {"GET /echo HTTP/1.1\r\n",
                                          "POST /echo HTTP/1.1\r\n",
                                          "Host: a\r\n",
                                          "\r\n",
                                          "\r\n\r\n",
                                          "Content-Length: 5\r\n",
                                          "Transfer-Encoding: chunked\r\n",
                                          "5\r\nabcde\r\n",
                                          "0\r\n\r\n",
                                          "abcde",
                                          "Expect: 100-continue\r\n",
                                          "Connection: close\r\n",
                                          "GET /stream HTTP/1.0\r\n",
                                          std::string(1, '\0'),
                                          "\xff\xfe",
                                          ":",
                                          " ",
                                          "HEAD /flood HTTP/1.1\r\n"};
  for (int round = 0; round < 400; ++round) {
    Client client(server.port());
    for (std::size_t i = below(12); i > 0; --i) client.send(parts[below(parts.size())]);
    if (below(2) == 0) client.reset();
  }
  Client client(server.port());
  EXPECT_EQ(client.ask(get("/echo")).status, 200);
  EXPECT_TRUE(eventually([&] { return server.counters().connections_open <= 1; }));
}

}  // namespace
}  // namespace aioss::http
