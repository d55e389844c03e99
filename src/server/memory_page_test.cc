// What is shown of the books of memory, and to whom.
#include "server/memory_page.h"

#include <gtest/gtest.h>

#include "codec/json.h"
#include "server/test_support.h"

namespace aioss::server {
namespace {

using test::RunningServer;

runtime::MemoryReport report() {
  runtime::MemoryReport report;
  report.memory_max = 1'000;
  report.usable = 5'000;
  runtime::MemoryOfDevice& host = report.devices.emplace_back();
  host.name = "CPU";
  host.balance = {1'000, 700, 720, 280, 0};
  runtime::MemoryOfModel& model = host.models.emplace_back();
  model.holding.holder = "smol#7";
  model.model = "smol";
  model.holding.leased[memory::Kind::kWeights] = 600;
  model.holding.leased[memory::Kind::kKv] = 100;
  model.holding.measured = 720;
  model.state = "ready";
  model.stays = "busy";
  model.exact = true;
  report.evictions.push_back({1'750'000'000'000'000'000, "old", "replaced", 300, {"old … goes"}});
  report.evictions_total = 7;
  report.waiting = {"next"};
  return report;
}

TEST(MemoryPage, ShowsLeasesAgainstWhatWasMeasured) {
  const auto page = nlohmann::json::parse(memory_page(report()));
  EXPECT_EQ(page["object"], "memory");
  EXPECT_EQ(page["memory_max_bytes"], 1'000);
  EXPECT_EQ(page["stalled_percent"], nullptr);
  const auto& device = page["devices"][0];
  EXPECT_EQ(device["limit_bytes"], 1'000);
  EXPECT_EQ(device["free_bytes"], 280);
  const auto& model = device["models"][0];
  EXPECT_EQ(model["model"], "smol");
  EXPECT_EQ(model["leases"], (nlohmann::json{{"weights", 600}, {"kv", 100}}));
  EXPECT_EQ(model["leased_bytes"], 700);
  EXPECT_EQ(model["measured_bytes"], 720);
  EXPECT_EQ(model["difference_bytes"], 20);
  EXPECT_EQ(model["stays"], "busy");
  EXPECT_EQ(page["waiting"][0], "next");
  EXPECT_EQ(page["evictions_total"], 7);
  EXPECT_EQ(page["evictions"][0]["time_unix_ms"], 1'750'000'000'000);
}

TEST(MemoryPage, WhatIsNotKnownIsNull) {
  runtime::MemoryReport unknown;
  unknown.devices.emplace_back().balance = {memory::kUnlimited, 0, 0, memory::kUnlimited, 0};
  const auto page = nlohmann::json::parse(memory_page(unknown));
  EXPECT_EQ(page["memory_max_bytes"], nullptr);
  EXPECT_EQ(page["devices"][0]["limit_bytes"], nullptr);
  EXPECT_EQ(page["devices"][0]["free_bytes"], nullptr);
}

TEST(MemoryPage, IsARoute) {
  RunningServer server;
  const test::Reply reply = server.get("/admin/memory");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(nlohmann::json::parse(reply.body)["object"], "memory");
}

}  // namespace
}  // namespace aioss::server
