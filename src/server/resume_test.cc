// Answers that outlive their clients, over real sockets: X-Aioss-Resume and GET /v1/streams/{id}.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "crypto/random.h"
#include "server/key_file.h"
#include "server/stream_shelf.h"
#include "server/test_support.h"

namespace aioss::server {
namespace {

using test::Client;
using test::kChat;
using test::kStreamedChat;
using test::Reply;
using test::RunningServer;
using testing::HasSubstr;
using testing::Not;

const std::string kResume = "X-Aioss-Resume: 30\r\n";
const std::string kStreamPath = "/v1/streams/req_0001";

// What it says, without the numbers; they must be dense from `first` on.
std::string without_ids(const std::string& body, std::uint64_t first = 1) {
  std::string out;
  std::string_view rest = body;
  while (!rest.empty()) {
    const std::string id = "id: " + std::to_string(first++) + "\n";
    if (!rest.starts_with(id)) return "no '" + id + "' at: " + std::string(rest.substr(0, 99));
    rest.remove_prefix(id.size());
    const std::size_t end = rest.find("\n\n") + 2;
    out += rest.substr(0, end);
    rest.remove_prefix(end);
  }
  return out;
}

// From the n-th event on.
std::string events_behind(const std::string& body, std::uint64_t number) {
  const std::size_t at = body.find("id: " + std::to_string(number + 1) + "\n");
  return at == std::string::npos ? "" : body.substr(at);
}

class ResumeTest : public ::testing::Test {
 protected:
  // A stream that has said one word to a client that is still there.
  std::shared_ptr<test::ScriptedStream> begin(Client& client, const std::string& headers = "") {
    client.post(kChat, kStreamedChat, kResume + headers);
    auto stream = server.gateway.stream();
    if (stream == nullptr) return stream;
    stream->push(test::started());
    stream->push(test::text("one"));
    EXPECT_TRUE(client.read_until("\"content\":\"one\""));
    return stream;
  }
  static void finish(test::ScriptedStream& stream) {
    for (const auto& event : {test::text("two"), test::stop(), test::done()}) stream.push(event);
  }
  // Nobody reads it: the connections of before are gone.
  void wait_until_left() {
    for (int i = 0; i < 3000; ++i) {
      const Reply page = server.get("/metrics");
      if (page.body.find("aioss_connections_open 1\n") != std::string::npos) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    FAIL() << "the connections stay";
  }
  std::string undisturbed() {
    RunningServer other;
    other.gateway.script(
        {test::started(), test::text("one"), test::text("two"), test::stop(), test::done()});
    return other.post(kChat, kStreamedChat).body;
  }

  RunningServer server;
};

TEST_F(ResumeTest, EventsAreNumberedAndOtherwiseTheSame) {
  Client client(server.port());
  finish(*begin(client));
  const Reply reply = client.read_reply();
  EXPECT_TRUE(reply.whole);
  EXPECT_EQ(reply.header("X-Aioss-Resume"), "30");
  EXPECT_EQ(reply.header("X-Aioss-Request-Id"), "req_0001");
  EXPECT_EQ(without_ids(reply.body), undisturbed());
  // The connection lives; and without the header there are no numbers.
  client.post(kChat, kStreamedChat);
  const auto stream = server.gateway.stream(1);
  stream->push(test::started());
  finish(*stream);
  const Reply plain = client.read_reply();
  EXPECT_THAT(plain.body, Not(HasSubstr("id: ")));
  EXPECT_EQ(plain.header("X-Aioss-Resume"), "");
}

TEST_F(ResumeTest, GoesOnExactlyWhereTheClientWas) {
  Client client(server.port());
  const auto stream = begin(client);
  client.close();
  wait_until_left();
  EXPECT_FALSE(stream->cancelled());
  Client again(server.port());
  again.get(kStreamPath + "?from=0");
  ASSERT_TRUE(again.read_until("\"content\":\"one\""));
  finish(*stream);
  const Reply whole = again.read_reply();
  EXPECT_EQ(whole.status, 200);
  EXPECT_TRUE(whole.whole);
  EXPECT_EQ(without_ids(whole.body), undisturbed());
  EXPECT_EQ(whole.header("Content-Type"), "text/event-stream; charset=utf-8");
  for (const auto& [name, value] :
       {std::pair("X-Aioss-Request-Id", "req_0001"), std::pair("X-Aioss-Profile", "reproducible"),
        std::pair("X-Aioss-Request-Record", "7"), std::pair("X-Aioss-Resume", "30"),
        std::pair("Cache-Control", "no-store"), std::pair("X-Accel-Buffering", "no")}) {
    EXPECT_EQ(whole.header(name), value);
  }
  // It has ended, and is still there: from anywhere, by the query or as an EventSource says it.
  for (const std::uint64_t from : {0, 1, 2, 3, 4}) {
    const std::string number = std::to_string(from);
    const std::string rest = events_behind(whole.body, from);
    EXPECT_EQ(server.get(kStreamPath + "?from=" + number).body, rest) << from;
    EXPECT_EQ(server.get(kStreamPath, "Last-Event-ID: " + number + "\r\n").body, rest) << from;
    EXPECT_EQ(server.get(kStreamPath + "?from=0", "Last-Event-ID: " + number + "\r\n").body, rest);
  }
  EXPECT_EQ(server.get(kStreamPath).body, whole.body);
  EXPECT_FALSE(stream->cancelled());
}

TEST_F(ResumeTest, WhatIsMadeWhileNobodyReadsIsKept) {
  Client client(server.port());
  const auto stream = begin(client);
  client.close();
  wait_until_left();
  finish(*stream);
  EXPECT_EQ(without_ids(server.get(kStreamPath).body), undisturbed());
}

TEST_F(ResumeTest, AnErrorIsAnEventLikeAnother) {
  Client client(server.port());
  begin(client)->push(test::failed(Code::kWorkerDied, "gone"));
  const Reply reply = client.read_reply();
  EXPECT_TRUE(reply.whole);
  EXPECT_THAT(reply.body, HasSubstr("id: 3\ndata: {\"error\":{\"message\":\"gone\""));
  EXPECT_EQ(server.get(kStreamPath).body, reply.body);
}

TEST_F(ResumeTest, NobodyComesInTime) {
  Client client(server.port());
  const auto stream = begin(client);
  client.close();
  wait_until_left();
  Client looking(server.port());
  server.clock.advance_ms(29'999);
  looking.get(kStreamPath, "", "HEAD");  // which is no reading
  EXPECT_EQ(looking.read_reply(true).status, 200);
  EXPECT_FALSE(stream->cancelled());
  server.clock.advance_ms(1);
  looking.get(kStreamPath, "", "HEAD");
  EXPECT_EQ(looking.read_reply(true).status, 404);
  EXPECT_TRUE(stream->wait_cancelled());
  EXPECT_EQ(stream->given_up.load(), Code::kCancelled);
  EXPECT_EQ(server.get(kStreamPath).status, 404);
  EXPECT_THAT(server.get("/metrics").body,
              HasSubstr("aioss_generations_total{outcome=\"cancelled\"} 1"));
}

TEST_F(ResumeTest, AStreamThatHasEndedIsForgottenInTime) {
  Client client(server.port());
  finish(*begin(client));
  EXPECT_TRUE(client.read_reply().whole);
  EXPECT_EQ(server.get(kStreamPath).status, 200);
  client.close();
  wait_until_left();
  server.clock.advance_ms(30'000);
  EXPECT_EQ(server.get(kStreamPath).status, 404);
  EXPECT_FALSE(server.gateway.stream()->cancelled());
}

// Whoever has lost its connection must not wait until the server notices, too.
TEST_F(ResumeTest, TheSecondReaderTakesOver) {
  Client first(server.port());
  const auto stream = begin(first);
  Client second(server.port());
  second.get(kStreamPath + "?from=2");
  EXPECT_FALSE(first.read_reply().whole);  // cut: it cannot take this for the end
  finish(*stream);
  const Reply rest = second.read_reply();
  EXPECT_TRUE(rest.whole);
  EXPECT_THAT(rest.body, HasSubstr("\"content\":\"two\""));
  EXPECT_THAT(rest.body, Not(HasSubstr("\"content\":\"one\"")));
  EXPECT_TRUE(rest.body.starts_with("id: 3\n"));
}

TEST_F(ResumeTest, AClientThatHasNoIdYetCancels) {
  Client client(server.port());
  client.post(kChat, kStreamedChat, kResume);
  const auto stream = server.gateway.stream();
  ASSERT_NE(stream, nullptr);
  client.close();
  EXPECT_TRUE(stream->wait_cancelled());
  EXPECT_EQ(server.get(kStreamPath).status, 404);
}

// Nothing is lost, and nothing grows: the stream is not read on, so its worker gets no credit.
TEST_F(ResumeTest, AFullRingStopsTheStream) {
  constexpr std::size_t kEvents = 600, kEventBytes = 4096;
  Client client(server.port());
  const auto stream = begin(client);
  client.close();
  wait_until_left();
  std::string expected = "one";
  for (std::size_t i = 0; i < kEvents; ++i) {
    const std::string text(kEventBytes, static_cast<char>('a' + i % 26));
    stream->push(test::text(text));
    expected += text;
  }
  stream->push(test::stop());
  stream->push(test::done());
  const std::size_t unread = stream->wait_until_still();
  EXPECT_GT(unread, kEvents - kRingBytesMax / kEventBytes);
  EXPECT_LT(unread, kEvents);
  const Reply reply = server.get(kStreamPath);
  EXPECT_TRUE(reply.whole);
  std::string text;
  for (std::size_t at = 0; (at = reply.body.find("\"content\":\"", at)) != std::string::npos;) {
    at += 11;
    text += reply.body.substr(at, reply.body.find('"', at) - at);
  }
  EXPECT_EQ(text, expected);
  EXPECT_TRUE(without_ids(reply.body).ends_with("data: [DONE]\n\n"));
  // Of what was sent, only some is kept.
  const Reply gone = server.get(kStreamPath + "?from=1");
  EXPECT_EQ(gone.status, 410);
  EXPECT_THAT(gone.body, HasSubstr("the events behind 1 are gone"));
  EXPECT_EQ(server.get(kStreamPath + "?from=590").body, events_behind(reply.body, 590));
}

TEST_F(ResumeTest, WishesOutOfBoundsAreRefused) {
  for (const char* wish : {"0", "601", "-1", "1.5", "x", "99999999999999999999"}) {
    // Before the body is looked at, which would be refused, too.
    const Reply reply = server.post(kChat, "{", "X-Aioss-Resume: " + std::string(wish) + "\r\n");
    EXPECT_EQ(reply.status, 400) << wish;
    EXPECT_THAT(reply.body, HasSubstr("whole number of seconds from 1 to 600"));
    EXPECT_THAT(reply.body, HasSubstr("\"param\":\"X-Aioss-Resume\""));
  }
  const Reply whole = server.post(
      kChat, R"({"model":"smol","messages":[{"role":"user","content":"hi"}]})", kResume);
  EXPECT_EQ(whole.status, 400);
  EXPECT_THAT(whole.body, HasSubstr("needs \\\"stream\\\": true"));
  EXPECT_EQ(server.gateway.calls(), 0U);
  ApiOptions options;
  options.resume_seconds_max = 0;
  RunningServer without(options);
  EXPECT_THAT(without.post(kChat, kStreamedChat, kResume).body, HasSubstr("keeps no answers"));
}

TEST_F(ResumeTest, NumbersOutOfBoundsAreRefused) {
  Client client(server.port());
  begin(client);
  for (const char* query : {"?from=x", "?from=", "?from=-1", "?to=1", "?from=1&x=2"})
    EXPECT_EQ(server.get(kStreamPath + query).status, 400) << query;
  const Reply ahead = server.get(kStreamPath + "?from=3");
  EXPECT_EQ(ahead.status, 400);
  EXPECT_THAT(ahead.body, HasSubstr("has 2 events so far"));
  EXPECT_EQ(server.get(kStreamPath, "Last-Event-ID: \r\n").status, 400);
  EXPECT_EQ(server.get("/v1/streams/").status, 404);
  EXPECT_EQ(server.post(kStreamPath, "{}").status, 405);
}

// One tenant does not take all places; and what was got to its end makes room.
TEST_F(ResumeTest, PlacesAreBounded) {
  server.gateway.number_streams();
  std::vector<std::unique_ptr<Client>> clients;
  const auto ask = [&] {
    clients.push_back(std::make_unique<Client>(server.port()));
    clients.back()->post(kChat, kStreamedChat, kResume);
  };
  for (std::size_t i = 0; i < kKeptAnswersTenantMax; ++i) {
    ask();
    const auto stream = server.gateway.stream(i);
    ASSERT_NE(stream, nullptr);
    stream->push(test::started());
  }
  ask();
  const Reply refused = clients.back()->read_reply();
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.header("Retry-After"), "1");
  EXPECT_THAT(refused.body, HasSubstr("too many answers are kept"));
  EXPECT_EQ(server.post(kChat, "{").status, 400);  // others are served
  finish(*server.gateway.stream(0));
  EXPECT_TRUE(clients[0]->read_reply().whole);
  clients[0]->close();
  for (int i = 0; i < 3000; ++i) {  // until the server has noticed that all was taken
    Client last(server.port());
    last.post(kChat, kStreamedChat, kResume);
    const auto stream = server.gateway.stream(kKeptAnswersTenantMax, std::chrono::milliseconds(50));
    if (stream == nullptr) continue;
    EXPECT_EQ(server.get(kStreamPath).status, 404);
    return;
  }
  FAIL() << "no room was made";
}

TEST_F(ResumeTest, AServerThatStopsKeepsNothingForThoseWhoAreAway) {
  server.gateway.number_streams();
  Client away(server.port());
  const auto first = begin(away);
  away.close();
  wait_until_left();
  Client here(server.port());
  here.post(kChat, kStreamedChat, kResume);
  const auto second = server.gateway.stream(1);
  ASSERT_NE(second, nullptr);
  second->push(test::started());
  ASSERT_TRUE(here.read_until("assistant"));
  server.stop();
  EXPECT_TRUE(first->wait_cancelled());
  EXPECT_EQ(first->given_up.load(), Code::kShuttingDown);
  EXPECT_FALSE(second->cancelled());
  finish(*second);
  EXPECT_TRUE(here.read_reply().whole);
}

// Whose it is decides, and a stranger cannot tell it from one that never was.
TEST(ResumeIdentity, OnlyTheCallerMayGoOn) {
  const std::string path = testing::TempDir() + "resume-keys-" + std::to_string(::getpid());
  os::RealFileSystem fs;
  crypto::SystemRandom random;
  std::vector<std::string> keys;
  std::string lines;
  for (const auto& [tenant, user, role] :
       {std::tuple("t", "u", runtime::Role::kUser), std::tuple("t", "u", runtime::Role::kUser),
        std::tuple("t", "v", runtime::Role::kUser), std::tuple("s", "u", runtime::Role::kUser),
        std::tuple("t", "o", runtime::Role::kOperator),
        std::tuple("t", "u", runtime::Role::kAuditor)}) {
    const auto made = make_key(random, "k" + std::to_string(keys.size()), tenant, user, role);
    ASSERT_TRUE(made.has_value());
    lines += made->line + "\n";
    keys.push_back("Authorization: Bearer " + made->key + "\r\n");
  }
  ASSERT_TRUE(os::replace_file(fs, path, as_bytes(lines)).has_value());
  ApiOptions options;
  options.key_file = path;
  RunningServer server(options);
  Client client(server.port());
  client.post(kChat, kStreamedChat, kResume + keys[0]);
  const auto stream = server.gateway.stream();
  ASSERT_NE(stream, nullptr);
  stream->push(test::started());
  ASSERT_TRUE(client.read_until("assistant"));
  for (const std::size_t other : {2, 3, 4}) {
    const Reply hers = server.get(kStreamPath, keys[other]);
    const Reply nobodys = server.get("/v1/streams/req_none", keys[other]);
    EXPECT_EQ(hers.status, 404) << other;
    EXPECT_EQ(hers.body, nobodys.body);
    EXPECT_EQ(server.get(kStreamPath + "?from=99", keys[other]).body, nobodys.body);
  }
  EXPECT_EQ(server.get(kStreamPath, keys[5]).status, 403);  // auditors ask for nothing
  EXPECT_EQ(server.get(kStreamPath).status, 401);
  Client again(server.port());  // the same person, by another key
  again.get(kStreamPath, keys[1]);
  ASSERT_TRUE(again.read_until("assistant"));
  EXPECT_FALSE(stream->cancelled());
}

}  // namespace
}  // namespace aioss::server
