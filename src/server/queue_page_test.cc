// What is shown of the queues, and what a full one answers.
#include "server/queue_page.h"

#include <gtest/gtest.h>

#include "server/test_support.h"

namespace aioss::server {
namespace {

using test::RunningServer;

runtime::ModelLoad busy_model() {
  runtime::ModelLoad load;
  load.name = "smol";
  load.state = "ready";
  load.engine = "ik";
  load.streams = 4;
  load.running = 4;
  load.waiting_interactive = 2;
  load.waiting_batch = 9;
  load.tokens_per_second = 41.26;
  load.memory_bytes = 300'000'000;
  load.decode_step_ns = 20'000'000;
  load.chunk_ns = 91'234'567;
  load.wait_seconds = 30;
  load.tenants = {{"ward-3", 77, 10, 4, 12345}};
  return load;
}

TEST(QueuePage, ShowsModelsAndTenants) {
  RunningServer server;
  server.gateway.set_loads({busy_model()});
  const test::Reply reply = server.get("/admin/queue");
  EXPECT_EQ(reply.status, 200);
  const auto page = nlohmann::json::parse(reply.body);
  ASSERT_EQ(page["models"].size(), 1U);
  const auto& model = page["models"][0];
  EXPECT_EQ(model["model"], "smol");
  EXPECT_EQ(model["engine"], "ik");
  EXPECT_EQ(model["waiting"]["interactive"], 2);
  EXPECT_EQ(model["waiting"]["batch"], 9);
  EXPECT_EQ(model["tokens_per_second"], 41.3);
  EXPECT_EQ(model["estimate_seconds"], 30);
  EXPECT_EQ(model["tenants"][0]["tenant"], "ward-3");
  EXPECT_EQ(model["tenants"][0]["waiting"], 10);
  EXPECT_EQ(reply.body.find("77"), std::string::npos) << "numbers are between us and workers";
}

TEST(QueuePage, HealthShowsTheFloorOfEachModel) {
  RunningServer server;
  runtime::GatewayHealth health;
  health.ok = true;
  health.ledger.writable = true;
  runtime::ModelLoad unmeasured;
  unmeasured.name = "new";
  health.loads = {busy_model(), unmeasured};
  server.gateway.set_health(health);
  const auto page = nlohmann::json::parse(server.get("/health").body);
  const auto& floors = page["latency_floor"];
  ASSERT_EQ(floors.size(), 1U);
  EXPECT_EQ(floors["smol"]["decode_step_ms"], 20.0);
  EXPECT_EQ(floors["smol"]["chunk_64_ms"], 91.2);
  EXPECT_EQ(floors["smol"]["floor_ms"], 111.2);
}

TEST(QueuePage, AFullQueueSaysWhereOneStandsAndWhenToComeBack) {
  const auto answer = [](const Backlog& backlog) {
    RunningServer server;
    server.gateway.refuse(Error{Code::kBusy, "full"}.with_backlog(backlog));
    return server.post("/v1/completions", R"({"model":"smol","prompt":"x"})");
  };
  const test::Reply measured = answer({12, 45});
  EXPECT_EQ(measured.status, 429);
  EXPECT_EQ(measured.header("Retry-After"), "45");
  const auto error = nlohmann::json::parse(measured.body)["error"];
  EXPECT_EQ(error["position"], 12);
  EXPECT_EQ(error["estimate_seconds"], 45);
  EXPECT_EQ(answer({12, 3'000}).header("Retry-After"), "600");
  EXPECT_EQ(answer({12, 0}).header("Retry-After"), "1");
  const test::Reply unmeasured = answer({12, {}});
  EXPECT_EQ(unmeasured.header("Retry-After"), "1");
  EXPECT_TRUE(nlohmann::json::parse(unmeasured.body)["error"]["estimate_seconds"].is_null());
}

TEST(QueuePage, WishesReachTheGateway) {
  RunningServer server;
  server.gateway.refuse(Error{Code::kBusy, "full"});
  const std::string chat = R"("model":"smol","messages":[{"role":"user","content":"x"}])";
  (void)server.post("/v1/chat/completions", "{" + chat + "}",
                    "X-Aioss-Priority: batch\r\nX-Aioss-Deadline: 30\r\n");
  EXPECT_EQ(server.gateway.call(0).request.priority, ipc::Priority::kBatch);
  EXPECT_EQ(server.gateway.call(0).request.deadline_ms, 30'000U);
  (void)server.post("/v1/chat/completions", "{" + chat + R"(,"service_tier":"flex"})");
  EXPECT_EQ(server.gateway.call(1).request.priority, ipc::Priority::kBatch);
  (void)server.post("/v1/chat/completions", "{" + chat + R"(,"service_tier":"flex"})",
                    "X-Aioss-Priority: interactive\r\n");
  EXPECT_EQ(server.gateway.call(2).request.priority, ipc::Priority::kInteractive)
      << "the header is the more exact";
  const test::Reply bad =
      server.post("/v1/chat/completions", "{" + chat + "}", "X-Aioss-Deadline: soon\r\n");
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(nlohmann::json::parse(bad.body)["error"]["param"], "X-Aioss-Deadline");
  const test::Reply tier =
      server.post("/v1/chat/completions", "{" + chat + R"(,"service_tier":"gold"})");
  EXPECT_EQ(tier.status, 400);
  EXPECT_EQ(server.gateway.calls(), 3U);
}

}  // namespace
}  // namespace aioss::server
