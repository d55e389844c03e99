// Waiting for a model, and ordering about one, over a real socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "server/model_order_route.h"
#include "server/test_support.h"

namespace aioss::server {
namespace {

using runtime::ModelOrder;
using test::Client;
using test::kChat;
using test::kStreamedChat;
using test::Reply;
using test::RunningServer;
using testing::HasSubstr;
using testing::Not;

const std::string kWatch = "X-Aioss-Progress: 1\r\n";
const std::string kWhole = R"({"model":"smol","messages":[{"role":"user","content":"hi"}]})";

ModelWait half() {
  return {"loading", 0.5F, 3, 1, 4};
}

TEST(ModelWait, StreamThatWantsToKnowIsToldHowFarTheLoadIs) {
  RunningServer server;
  Client client(server.port());
  client.post(kChat, kStreamedChat, kWatch);
  const auto stream = server.gateway.stream();
  ASSERT_NE(stream, nullptr);
  stream->wait_for_model(half());
  ASSERT_TRUE(client.read_until("\"position\":1"));
  ModelWait more = half();
  more.fraction = 0.75F;
  stream->wait_for_model(more);
  ASSERT_TRUE(client.read_until("\"fraction\":0.75"));
  stream->wait_for_model(std::nullopt);
  for (const auto& event : {test::started(), test::text("Hello"), test::stop(), test::done()})
    stream->push(event);
  const Reply reply = client.read_reply();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.header("X-Aioss-Request-Id"), "req_0001");
  EXPECT_EQ(reply.header("X-Aioss-Request-Record"), "") << "it was not recorded yet";
  EXPECT_TRUE(
      reply.body.starts_with("event: aioss.progress\ndata: "
                             "{\"id\":\"chatcmpl-0001\",\"object\":\"chat.completion.chunk\""))
      << reply.body;
  EXPECT_THAT(reply.body,
              HasSubstr(R"("choices":[],"aioss":{"request_id":"req_0001","progress":{)"
                        R"("state":"loading","fraction":0.50,"seconds":3,"estimate_seconds":4,)"
                        R"("position":1}}})"));
  EXPECT_THAT(reply.body, HasSubstr(R"("content":"Hello")"));
  EXPECT_THAT(reply.body, HasSubstr("data: [DONE]"));
  EXPECT_TRUE(reply.whole);
}

TEST(ModelWait, ItsFailureIsTheLastEvent) {
  RunningServer server;
  Client client(server.port());
  client.post(kChat, kStreamedChat, kWatch);
  const auto stream = server.gateway.stream();
  ASSERT_NE(stream, nullptr);
  stream->wait_for_model(half());
  ASSERT_TRUE(client.read_until("aioss.progress"));
  Error late(Code::kLoading, "not ready yet");
  stream->push(runtime::StreamFailed{std::move(late).with_wait(half()), 9});
  const Reply reply = client.read_reply();
  EXPECT_EQ(reply.status, 200);
  EXPECT_THAT(reply.body, HasSubstr(R"("code":"model_loading","load":{"state":"loading")"));
  EXPECT_THAT(reply.body, HasSubstr(R"("aioss":{"request_id":"req_0001","abort_record":9)"));
  EXPECT_THAT(reply.body, Not(HasSubstr("[DONE]")));
  EXPECT_TRUE(reply.whole);
}

TEST(ModelWait, NobodyElseSeesAnythingOfIt) {
  RunningServer server;
  Client client(server.port());
  client.post(kChat, kStreamedChat);
  const auto stream = server.gateway.stream();
  ASSERT_NE(stream, nullptr);
  stream->wait_for_model(half());
  Error late(Code::kLoading, "not ready yet");
  stream->push(runtime::StreamFailed{std::move(late).with_wait(half()), 9});
  const Reply reply = client.read_reply();
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.header("Retry-After"), "4");
  EXPECT_EQ(reply.body,
            R"({"error":{"message":"not ready yet","type":"server_error","param":null,)"
            R"("code":"model_loading","load":{"state":"loading","fraction":0.50,"seconds":3,)"
            R"("estimate_seconds":4,"position":1}}})");
}

TEST(ModelWait, RefusalOfAFailedLoadSaysWhenToComeBack) {
  RunningServer server;
  ModelWait failed;
  failed.state = "failed";
  failed.estimate_seconds = 16;
  server.gateway.script(
      {runtime::StreamFailed{Error(Code::kNoMemory, "too large").with_wait(failed), 9}});
  const Reply reply = server.post(kChat, kWhole);
  EXPECT_EQ(reply.status, 507);
  EXPECT_EQ(reply.header("Retry-After"), "16");
  EXPECT_THAT(reply.body, HasSubstr(R"("load":{"state":"failed")"));
}

TEST(ModelWait, WishesReachTheGateway) {
  RunningServer server;
  server.gateway.script({test::started(), test::stop(), test::done()});
  std::string body = kWhole;
  body.insert(body.size() - 1, R"(,"keep_alive":"5m")");
  EXPECT_EQ(server.post(kChat, body, "X-Aioss-Load-Wait: 0\r\n").status, 200);
  EXPECT_EQ(server.gateway.call().keep_alive, std::chrono::minutes(5));
  EXPECT_EQ(server.gateway.call().load_wait, std::chrono::seconds(0));
  for (const std::string header :
       {"X-Aioss-Load-Wait: 3601\r\n", "X-Aioss-Load-Wait: -1\r\n", "X-Aioss-Progress: yes\r\n",
        "X-Aioss-Progress: 1\r\nX-Aioss-Resume: 5\r\n"}) {
    EXPECT_EQ(server.post(kChat, kStreamedChat, header).status, 400) << header;
  }
  const Reply whole = server.post(kChat, kWhole, kWatch);
  EXPECT_EQ(whole.status, 400);
  EXPECT_THAT(whole.body, HasSubstr(R"("param":"X-Aioss-Progress")"));
}

// ---- orders -------------------------------------------------------------------------------------

TEST(ModelOrders, AreReadFromThePath) {
  const auto order = parse_model_order("a.b-c/unload", "force=1", {});
  ASSERT_TRUE(order);
  EXPECT_EQ(order->model, "a.b-c");
  EXPECT_EQ(order->what, ModelOrder::What::kUnload);
  EXPECT_TRUE(order->force);
  EXPECT_FALSE(parse_model_order("m/unload", "force=0", {})->force);
  for (const std::string target : {"m", "m/", "/load", "m/explode", "m/load/x", ""}) {
    EXPECT_EQ(parse_model_order(target, "", {}).error().code, Code::kNotFound) << target;
  }
  EXPECT_FALSE(parse_model_order("m/load", "force=1", {}));
  EXPECT_FALSE(parse_model_order("m/unload", "force=2", {}));
}

TEST(ModelOrders, AreGivenAndAnsweredWithTheModel) {
  RunningServer server;
  for (const std::string word : {"load", "pin", "unpin", "unload?force=1"}) {
    const Reply reply = server.post("/admin/models/smol/" + word, "");
    EXPECT_EQ(reply.status, 200) << word;
    EXPECT_THAT(reply.body, HasSubstr(R"("id":"smol")"));
  }
  const auto orders = server.gateway.orders();
  ASSERT_EQ(orders.size(), 4U);
  EXPECT_EQ(orders[1].what, ModelOrder::What::kPin);
  EXPECT_TRUE(orders[3].force);
  EXPECT_EQ(orders[0].by.role, runtime::Role::kOperator);
  EXPECT_EQ(server.post("/admin/models/smol/explode", "").status, 404);
  EXPECT_EQ(server.get("/admin/models/smol/load").status, 405);
  EXPECT_EQ(server.post("/admin/models/rescan", "").status, 200) << "not a model";
  server.gateway.refuse({Code::kConflict, "it is pinned"});
  EXPECT_EQ(server.post("/admin/models/smol/unload", "").status, 409);
}

}  // namespace
}  // namespace aioss::server
