// What waits beside the io thread: that no caller's jobs hold up what others need, that they are
// paid for, and that they are small.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "crypto/random.h"
#include "server/key_file.h"
#include "server/test_support.h"

namespace aioss::server {
namespace {

using runtime::Role;
using test::Client;
using test::kPatience;
using test::Reply;
using test::RunningServer;
using testing::ElementsAre;
using testing::HasSubstr;

// A gate that jobs wait at until it is opened.
class Gate final {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait_for(lock, kPatience, [&] { return open_; });
    --waiting_;
  }
  bool wait_until_somebody_waits() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return waiting_ > 0; });
  }
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void close() {
    std::lock_guard lock(mutex_);
    open_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = true;
  int waiting_ = 0;
};

// The ledger asks it for the time of each record, so that nothing is recorded while it is held.
class HeldClock final : public Clock {
 public:
  explicit HeldClock(Gate& gate) : gate_(gate) {}
  std::int64_t wall_ns() const override {
    gate_.pass();
    return still_.wall_ns();
  }
  std::int64_t monotonic_ns() const override { return still_.monotonic_ns(); }

 private:
  Gate& gate_;
  test::StillClock still_;
};

class Queues : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "aioss-queues-XXXXXX";
    folder = ::mkdtemp(pattern.data());
    options.key_file = folder + "/keys";
    std::string text;
    for (const auto& [user, tenant, role] :
         std::vector<std::tuple<std::string, std::string, Role>>{{"alice", "a", Role::kUser},
                                                                 {"anna", "a", Role::kUser},
                                                                 {"bob", "b", Role::kUser},
                                                                 {"olga", "it", Role::kOperator}}) {
      const auto made = make_key(random, "k-" + user, tenant, user, role);
      keys[user] = "Authorization: Bearer " + made->key + "\r\n";
      text += made->line + "\n";
    }
    write_keys(text);
    options.receipts = [this](const runtime::Principal&, const std::string&) {
      gate.pass();
      ++receipts_made;
      return Result<std::string>(std::string("{}"));
    };
  }
  void TearDown() override { std::filesystem::remove_all(folder); }
  void write_keys(const std::string& text) {
    ASSERT_TRUE(os::replace_file(fs, options.key_file, as_bytes(text)).has_value());
  }
  void expect_revocation(RunningServer& server) {
    ASSERT_EQ(server.get("/v1/models", keys["bob"]).status, 200);
    write_keys("# nobody\n");
    int status = 200;
    for (int i = 0; i < 100 && status == 200; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      status = server.get("/v1/models", keys["bob"]).status;
    }
    EXPECT_EQ(status, 401);
  }

  std::string folder;
  os::RealFileSystem fs;
  crypto::SystemRandom random;
  Gate gate;
  std::atomic<int> receipts_made{0};
  ApiOptions options;
  std::map<std::string, std::string> keys;  // header line of each user
};

// ---- revocation ---------------------------------------------------------------------------------

TEST_F(Queues, AKeyIsRevokedWhileARescanWaits) {
  RunningServer server(options);
  server.gateway.hold_rescans(true);
  Client client(server.port());
  client.post("/admin/models/rescan", "", keys["olga"]);
  for (int i = 0; i < 3000 && server.gateway.rescans == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_EQ(server.gateway.rescans, 1);
  expect_revocation(server);
  server.gateway.hold_rescans(false);
  EXPECT_EQ(client.read_reply().status, 200);
}

class OrderQueue : public Queues {
 protected:
  void SetUp() override {
    Queues::SetUp();
    ledger::InitOptions making;
    making.directory = folder + "/ledger";
    making.trial = true;
    ASSERT_TRUE(ledger::init(fs, clock, random, making).has_value());
    ledger::OpenOptions opening;
    opening.directory = making.directory;
    opening.reserve_bytes = 0;
    auto opened = ledger::Ledger::open(fs, clock, random, opening);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    own = std::move(*opened);
    ledger::CustodyOptions keeping;
    keeping.directory = making.directory;
    auto taken = ledger::Custody::open(fs, clock, random, *own, keeping);
    ASSERT_TRUE(taken.has_value()) << taken.error().message;
    custody = std::move(*taken);
    ASSERT_TRUE(custody->obtain({"it", "olga"}).has_value());
  }
  void TearDown() override {
    gate.open();
    custody.reset();
    own.reset();
    Queues::TearDown();
  }

  HeldClock clock{gate};
  std::unique_ptr<ledger::Ledger> own;
  std::unique_ptr<ledger::Custody> custody;
};

TEST_F(OrderQueue, AKeyIsRevokedAndReceiptsAreGivenWhileAnOrderWaits) {
  options.receipts = [](const runtime::Principal&, const std::string&) {
    return Result<std::string>(std::string("{}"));
  };
  RunningServer server(options);
  server.gateway.set_custody(custody.get());
  gate.close();
  Client client(server.port());
  client.post("/admin/ledger/hold", R"({"subject":"*","case":"c 1","on":true})", keys["olga"]);
  ASSERT_TRUE(gate.wait_until_somebody_waits());
  EXPECT_EQ(server.get("/v1/receipts/req_1", keys["alice"]).status, 200);
  expect_revocation(server);
  gate.open();
  EXPECT_EQ(client.read_reply().status, 200);
}

TEST_F(OrderQueue, WhatWaitsForTheLedgerIsSmall) {
  RunningServer server(options);
  server.gateway.set_custody(custody.get());
  gate.close();
  Client client(server.port());
  client.post("/admin/ledger/hold", R"({"subject":"*","case":"c 1","on":true})", keys["olga"]);
  ASSERT_TRUE(gate.wait_until_somebody_waits());
  const std::string large(65'537, ' ');  // not even queued
  EXPECT_EQ(server.post("/admin/ledger/erase", large, keys["olga"]).status, 413);
  EXPECT_EQ(server.post("/admin/anchor", large, keys["olga"]).status, 413);
  gate.open();
  EXPECT_EQ(client.read_reply().status, 200);
}

// ---- receipts -----------------------------------------------------------------------------------

TEST_F(Queues, ATenantHasOneReceiptWaitingAndOthersGetTheirs) {
  RunningServer server(options);
  gate.close();
  Client alice(server.port());
  alice.get("/v1/receipts/req_1", keys["alice"]);
  ASSERT_TRUE(gate.wait_until_somebody_waits());
  for (int i = 0; i < 20; ++i) {  // more than the queue holds
    const Reply refused = server.get("/v1/receipts/nonexistent", keys[i % 2 ? "alice" : "anna"]);
    EXPECT_EQ(refused.status, 429);
    EXPECT_EQ(refused.header("Retry-After"), "1");
    EXPECT_THAT(refused.body, HasSubstr("is being made"));
  }
  Client bob(server.port());
  bob.get("/v1/receipts/req_2", keys["bob"]);
  EXPECT_EQ(receipts_made, 0);
  gate.open();
  EXPECT_EQ(alice.read_reply().status, 200);
  EXPECT_EQ(bob.read_reply().status, 200);
  EXPECT_EQ(receipts_made, 2);
  EXPECT_EQ(server.get("/v1/receipts/req_3", keys["anna"]).status, 200);
}

// ---- budgets ------------------------------------------------------------------------------------

TEST_F(Queues, WhatIsRecordedBesideTheGatewayIsPaidFor) {
  RunningServer server(options);
  server.get("/v1/receipts/req_1", keys["alice"]);
  server.get("/admin/anchor", keys["olga"]);
  server.post("/admin/anchor", "{}", keys["olga"]);
  server.post("/admin/ledger/open", "{}", keys["olga"]);
  EXPECT_THAT(server.gateway.spent_by(), ElementsAre("a", "it", "it", "it"));
  // These pay in the gateway, or are no records, or must not wait for anybody's budget.
  server.post("/admin/ledger/erase", "{}", keys["olga"]);
  server.get("/admin/ledger/holds", keys["olga"]);
  server.post("/admin/models/rescan", "", keys["olga"]);
  server.get("/v1/models", keys["alice"]);
  // Nor do those who may not.
  server.get("/admin/anchor", keys["alice"]);
  server.get("/v1/receipts/req_1");
  EXPECT_EQ(server.gateway.spent_by().size(), 4U);
}

TEST_F(Queues, WithoutABudgetNothingIsSearchedOrRecorded) {
  RunningServer server(options);
  server.gateway.set_over_budget(true);
  for (const Reply& reply :
       {server.get("/v1/receipts/req_1", keys["alice"]), server.get("/admin/anchor", keys["olga"]),
        server.post("/admin/anchor", "{}", keys["olga"]),
        server.post("/admin/ledger/open", "{}", keys["olga"])}) {
    EXPECT_EQ(reply.status, 429);
    EXPECT_EQ(reply.header("Retry-After"), "1");
    EXPECT_THAT(reply.body, HasSubstr("over its budget"));
  }
  EXPECT_EQ(receipts_made, 0);
  EXPECT_EQ(server.get("/v1/models", keys["alice"]).status, 200);
}

}  // namespace
}  // namespace aioss::server
