// Answers over a real socket, with a gateway that says what the test tells it.
#include "server/generation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <memory>
#include <string>
#include <vector>

#include "server/test_support.h"

namespace aioss::server {
namespace {

using test::Client;
using test::kChat;
using test::Reply;
using test::RunningServer;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string chat(const std::string& more = "") {
  return R"({"model":"smol","messages":[{"role":"user","content":"hi"}])" + more + "}";
}
const std::string kStreamed = chat(R"(,"stream":true)");

TEST(Generation, WholeChat) {
  RunningServer server;
  server.gateway.script(
      {test::started(), test::text("Hel"), test::text("lo"), test::stop(), test::done()});
  const Reply reply = server.post(kChat, chat(R"(,"seed":5,"max_tokens":9)"));
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("Content-Type"), "application/json");
  EXPECT_EQ(reply.header("X-Aioss-Request-Id"), "req_0001");
  EXPECT_EQ(reply.header("X-Aioss-Profile"), "reproducible");
  EXPECT_EQ(reply.header("X-Aioss-Request-Record"), "7");
  EXPECT_EQ(reply.header("X-Aioss-Result-Record"), "8");
  EXPECT_EQ(reply.body,
            R"({"id":"chatcmpl-0001","object":"chat.completion","created":1700000000,)"
            R"("model":"smol","system_fingerprint":"aioss-)" AIOSS_VERSION
            R"(-fake-b1-reproducible","choices":[{"index":0,"message":{"role":"assistant",)"
            R"("content":"Hello","refusal":null},"logprobs":null,"finish_reason":"stop"}],)"
            R"("usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,)"
            R"("prompt_tokens_details":{"cached_tokens":0}},"aioss":{"request_id":"req_0001",)"
            R"("request_record":7,"result_record":8,"profile":"reproducible","seed":42}})");

  const runtime::GenerateCall call = server.gateway.call();
  EXPECT_EQ(call.model, "smol");
  EXPECT_EQ(call.endpoint, kChat);
  EXPECT_EQ(call.principal.source, "local");
  EXPECT_TRUE(call.seed_given);
  EXPECT_EQ(call.request.sampling.seed, 5U);
  EXPECT_EQ(call.request.tokens_max, 9U);
  EXPECT_EQ(call.request.now_unix_s, 1700000000);
  EXPECT_EQ(call.request.prompt, ipc::Prompt(std::vector<ipc::ChatMessage>{{"user", "hi", ""}}));
  EXPECT_FALSE(server.gateway.stream()->cancelled());
}

TEST(Generation, WholeCompletion) {
  RunningServer server;
  server.gateway.script({test::started(), test::text("x"), test::stop(), test::done(1)});
  const Reply reply = server.post("/v1/completions", R"({"model":"smol","prompt":[1,2]})");
  EXPECT_EQ(reply.status, 200);
  EXPECT_THAT(reply.body, HasSubstr(R"("choices":[{"index":0,"text":"x","logprobs":null,)"
                                    R"("finish_reason":"stop"}])"));
  EXPECT_EQ(server.gateway.call().endpoint, "/v1/completions");
  EXPECT_EQ(server.gateway.call().request.prompt, ipc::Prompt(std::vector<ipc::Token>{1, 2}));
}

std::size_t heap_bytes() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

// The HTTP server counts bodies only while they are received. (Sanitizers count nothing here.)
TEST(Generation, NoBodyIsKeptWhileItsAnswerIsMade) {
  constexpr std::size_t kStreams = 16, kBodyBytes = 3 << 20;
  RunningServer server;
  server.gateway.script({test::started(), test::text("one")});
  const std::string body = kStreamed + std::string(kBodyBytes, ' ');
  std::vector<std::unique_ptr<Client>> clients;
  const std::size_t before = heap_bytes();
  for (std::size_t i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<Client>(server.port()));
    clients.back()->post(kChat, body);
    ASSERT_TRUE(clients.back()->read_until("\"content\":\"one\""));
  }
  EXPECT_LT(heap_bytes(), before + kStreams * kBodyBytes / 4);
}

TEST(Generation, StreamedChatComesTokenByToken) {
  RunningServer server;
  Client client(server.port());
  client.post(kChat, chat(R"(,"stream":true,"stream_options":{"include_usage":true})"));
  const auto stream = server.gateway.stream();
  ASSERT_NE(stream, nullptr);
  stream->push(test::started());
  ASSERT_TRUE(client.read_until("\"role\":\"assistant\""));
  stream->push(test::text("one"));
  ASSERT_TRUE(client.read_until("\"content\":\"one\""));  // before the next was said
  stream->push(test::text("two"));
  stream->push(test::stop());
  stream->push(test::done());
  const Reply reply = client.read_reply();
  EXPECT_TRUE(reply.whole);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("Content-Type"), "text/event-stream; charset=utf-8");
  EXPECT_EQ(reply.header("Cache-Control"), "no-store");
  EXPECT_EQ(reply.header("X-Accel-Buffering"), "no");
  EXPECT_EQ(reply.header("X-Aioss-Request-Record"), "7");
  EXPECT_THAT(reply.body, HasSubstr("\"content\":\"two\""));
  EXPECT_TRUE(reply.body.ends_with(
      R"("choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,)"
      R"("prompt_tokens_details":{"cached_tokens":0}},"aioss":{"request_id":"req_0001",)"
      R"("request_record":7,"result_record":8,"profile":"reproducible","seed":42}})"
      "\n\ndata: [DONE]\n\n"));
}

TEST(Generation, StreamedCompletion) {
  RunningServer server;
  server.gateway.script({test::started(), test::text("x"), test::stop(), test::done(1)});
  const Reply reply =
      server.post("/v1/completions", R"({"model":"smol","prompt":"p","stream":true})");
  EXPECT_TRUE(reply.whole);
  EXPECT_THAT(reply.body, AllOf(HasSubstr("\"object\":\"text_completion\""),
                                HasSubstr("\"text\":\"x\""), HasSubstr("data: [DONE]")));
}

TEST(Generation, NoStatusBeforeTheStreamHasBegun) {
  RunningServer server;
  Client client(server.port());
  client.post(kChat, kStreamed);
  const auto stream = server.gateway.stream();
  ASSERT_NE(stream, nullptr);
  stream->push(test::failed(Code::kContextExceeded, "10 tokens do not fit into 5"));
  const Reply reply = client.read_reply();
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.header("Content-Type"), "application/json");
  EXPECT_EQ(reply.header("X-Aioss-Request-Id"), "req_0001");
  EXPECT_EQ(reply.header("X-Aioss-Abort-Record"), "9");
  EXPECT_EQ(reply.header("X-Aioss-Request-Record"), "7");
  EXPECT_EQ(reply.header("X-Aioss-Profile"), "reproducible");
  EXPECT_EQ(reply.body,
            R"({"error":{"message":"10 tokens do not fit into 5","type":"invalid_request_error",)"
            R"("param":null,"code":"context_length_exceeded"}})");
  EXPECT_FALSE(stream->cancelled());
}

TEST(Generation, RefusalsOfTheGatewayKeepTheirStatus) {
  struct Case {
    Code code;
    int status;
    std::string header, value;
  };
  for (const Case& c :
       {Case{Code::kNotFound, 404, "Retry-After", ""}, Case{Code::kBusy, 429, "Retry-After", "1"},
        Case{Code::kLedgerUnavailable, 503, "X-Should-Retry", "false"},
        Case{Code::kNoMemory, 507, "X-Should-Retry", "false"},
        Case{Code::kShuttingDown, 503, "Retry-After", "5"}}) {
    RunningServer server;
    server.gateway.refuse(Error(c.code, "no"));
    const Reply reply = server.post(kChat, kStreamed);
    EXPECT_EQ(reply.status, c.status);
    EXPECT_EQ(reply.header(c.header), c.value);
    EXPECT_THAT(reply.body, HasSubstr(std::string(info(c.code).name)));
  }
}

// OpenAI's clients ask again after a 408 unless they are told not to.
TEST(Generation, ADeadlineThatHasPassedIsNotTriedAgain) {
  RunningServer server;
  server.gateway.script({test::failed(Code::kTimeout, "too late")});
  const Reply late = server.post(kChat, kStreamed, "X-Aioss-Deadline: 1\r\n");
  EXPECT_EQ(late.status, 408);
  EXPECT_EQ(late.header("X-Should-Retry"), "false");
  const Reply other = server.post(kChat, kStreamed);
  EXPECT_EQ(other.status, 408);
  EXPECT_EQ(other.header("X-Should-Retry"), "");
}

TEST(Generation, AnErrorAfterTheBeginningIsAnEvent) {
  RunningServer server;
  server.gateway.script(
      {test::started(), test::text("x"), test::failed(Code::kWorkerDied, "gone")});
  Client client(server.port());
  client.post(kChat, kStreamed);
  const Reply reply = client.read_reply();
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.whole);  // the framing is intact, so the client sees the event
  EXPECT_TRUE(
      reply.body.ends_with(R"(data: {"error":{"message":"gone","type":"server_error","param":null,)"
                           R"("code":"worker_died"},"aioss":{"request_id":"req_0001",)"
                           R"("request_record":7,"abort_record":9,"profile":"reproducible",)"
                           R"("seed":42}})"
                           "\n\n"));
  EXPECT_THAT(reply.body, Not(HasSubstr("[DONE]")));
  client.post(kChat, kStreamed);  // and the connection lives
  EXPECT_EQ(client.read_reply().status, 200);
}

TEST(Generation, AnErrorInAWholeAnswerIsItsStatus) {
  RunningServer server;
  server.gateway.script(
      {test::started(), test::text("x"), test::failed(Code::kWorkerDied, "gone")});
  const Reply reply = server.post(kChat, chat());
  EXPECT_EQ(reply.status, 500);
  EXPECT_THAT(reply.body, AllOf(HasSubstr("worker_died"), Not(HasSubstr("\"x\""))));
  EXPECT_EQ(reply.header("X-Aioss-Request-Id"), "req_0001");
  EXPECT_EQ(reply.header("X-Aioss-Profile"), "reproducible");
  EXPECT_EQ(reply.header("X-Aioss-Request-Record"), "7");
  EXPECT_EQ(reply.header("X-Aioss-Abort-Record"), "9");
}

// Refused before it reached a worker: it has an end in the ledger and no beginning.
TEST(Generation, AnErrorNamesOnlyTheRecordsThereAre) {
  RunningServer server;
  server.gateway.script({runtime::StreamFailed{Error(Code::kModelCorrupt, "no"), 9, std::nullopt}});
  const Reply reply = server.post(kChat, chat());
  EXPECT_EQ(reply.header("X-Aioss-Profile"), "reproducible");
  EXPECT_EQ(reply.header("X-Aioss-Request-Record"), "");
  EXPECT_EQ(reply.header("X-Aioss-Abort-Record"), "9");
  server.gateway.script(
      {test::started(), runtime::StreamFailed{Error(Code::kLedgerUnavailable, "no"), {}, 7}});
  const Reply unrecorded = server.post(kChat, kStreamed);
  EXPECT_THAT(unrecorded.body,
              AllOf(HasSubstr(R"("request_record":7,"profile")"), Not(HasSubstr("abort_record"))));
}

TEST(Generation, BadRequestsNeverReachTheGateway) {
  RunningServer server;
  const Reply reply = server.post(kChat, chat(R"(,"temperature":3)"));
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr(R"("param":"temperature")"));
  EXPECT_EQ(server.post(kChat, "{").status, 400);
  EXPECT_EQ(server.gateway.calls(), 0U);
  EXPECT_EQ(server.gateway.refusals(), (test::ScriptedGateway::Counts{{"invalid_argument", 2}}));
}

TEST(Generation, AClientThatLeavesCancels) {
  for (const bool streamed : {false, true}) {
    for (const bool begun : {false, true}) {
      RunningServer server;
      Client client(server.port());
      client.post(kChat, streamed ? kStreamed : chat());
      const auto stream = server.gateway.stream();
      ASSERT_NE(stream, nullptr);
      if (begun) stream->push(test::started());
      if (begun) stream->push(test::text("x"));
      if (begun && streamed) {
        ASSERT_TRUE(client.read_until("\"x\""));
      }
      EXPECT_FALSE(stream->cancelled());
      client.close();
      EXPECT_TRUE(stream->wait_cancelled()) << streamed << begun;
    }
  }
}

TEST(Generation, AnotherClientIsServedMeanwhile) {
  RunningServer server;
  Client waiting(server.port());
  waiting.post(kChat, kStreamed);
  const auto first = server.gateway.stream(0);
  ASSERT_NE(first, nullptr);
  Client second(server.port());
  second.post(kChat, chat());
  const auto stream = server.gateway.stream(1);
  ASSERT_NE(stream, nullptr);
  for (const auto& event : {test::started(), test::stop(), test::done(0)}) stream->push(event);
  EXPECT_EQ(second.read_reply().status, 200);
  EXPECT_FALSE(first->cancelled());
}

TEST(Generation, SilenceIsFilledWithComments) {
  ApiOptions options;
  options.ping_interval = std::chrono::milliseconds(20);
  RunningServer server(options);
  Client client(server.port());
  client.post(kChat, kStreamed);
  const auto stream = server.gateway.stream();
  ASSERT_NE(stream, nullptr);
  stream->push(test::started());
  ASSERT_TRUE(client.read_until(": ping\n\n"));
  for (const auto& event : {test::text("x"), test::stop(), test::done(1)}) stream->push(event);
  const Reply reply = client.read_reply();
  EXPECT_TRUE(reply.whole);
  EXPECT_TRUE(reply.body.ends_with("data: [DONE]\n\n"));
}

TEST(Generation, ChoicesThatNobodyAskedForEndTheAnswer) {
  RunningServer server;
  server.gateway.script({test::started(), test::text("x", 5)});
  const Reply whole = server.post(kChat, chat());
  EXPECT_EQ(whole.status, 500);
  EXPECT_THAT(whole.body, HasSubstr("\"code\":\"internal\""));
  const Reply streamed = server.post(kChat, kStreamed);
  EXPECT_THAT(streamed.body, HasSubstr("\"code\":\"internal\""));
  EXPECT_TRUE(server.gateway.stream(0)->cancelled());
  EXPECT_TRUE(server.gateway.stream(1)->cancelled());
}

TEST(Generation, AStreamThatDoesNotBeginIsAnError) {
  RunningServer server;
  server.gateway.script({test::text("x", 5)});
  EXPECT_EQ(server.post(kChat, kStreamed).status, 500);
  EXPECT_TRUE(server.gateway.stream()->cancelled());
}

TEST(Generation, ABacklogIsDeliveredWhole) {
  RunningServer server;
  std::vector<runtime::StreamEvent> script{test::started()};
  constexpr int kTokens = 5000;  // well over what is written at once
  for (int i = 0; i < kTokens; ++i) script.push_back(test::text("t" + std::to_string(i) + ";"));
  script.push_back(test::stop());
  script.push_back(test::done(kTokens));
  server.gateway.script(std::move(script));
  const Reply reply = server.post(kChat, kStreamed);
  ASSERT_TRUE(reply.whole);
  std::size_t at = 0;
  for (int i = 0; i < kTokens; ++i) {
    at = reply.body.find("\"t" + std::to_string(i) + ";\"", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_TRUE(reply.body.ends_with("data: [DONE]\n\n"));
}

TEST(Generation, MeasuresWhatTheClientSees) {
  RunningServer server;
  Client client(server.port());
  client.post(kChat, kStreamed);
  const auto stream = server.gateway.stream();
  ASSERT_NE(stream, nullptr);
  stream->push(test::started());
  server.clock.advance_ms(30);
  stream->push(test::text("one"));
  ASSERT_TRUE(client.read_until("\"one\""));
  server.clock.advance_ms(7);
  stream->push(test::text("two"));
  ASSERT_TRUE(client.read_until("\"two\""));
  server.clock.advance_ms(3);
  stream->push(test::stop());
  stream->push(test::done());
  ASSERT_TRUE(client.read_reply().whole);
  const std::string page = server.get("/metrics").body;
  EXPECT_THAT(page, HasSubstr("aioss_time_to_first_token_seconds_sum 0.03\n"));
  EXPECT_THAT(page, HasSubstr("aioss_time_to_first_token_seconds_count 1\n"));
  EXPECT_THAT(page, HasSubstr("aioss_inter_token_seconds_sum 0.007\n"));
  EXPECT_THAT(page, HasSubstr("aioss_inter_token_seconds_count 1\n"));
  EXPECT_THAT(page, HasSubstr("aioss_request_seconds_sum 0.04\n"));
  EXPECT_THAT(page, HasSubstr("aioss_tokens_total{kind=\"completion\",model=\"smol\"} 2\n"));
  EXPECT_THAT(page, HasSubstr("aioss_tokens_total{kind=\"prompt\",model=\"smol\"} 3\n"));
  EXPECT_THAT(page, HasSubstr("aioss_generations_total{outcome=\"ok\"} 1\n"));
}

}  // namespace
}  // namespace aioss::server
