// Orders over HTTP: what they take, what they give, who may give them.
#include "server/ledger_orders.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "codec/json.h"
#include "os/clock.h"

namespace aioss::server {
namespace {

class LedgerOrders : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "aioss-orders-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
    ledger::InitOptions making;
    making.directory = folder_ + "/ledger";
    making.trial = true;
    ASSERT_TRUE(ledger::init(files_, clock_, random_, making));
    ledger::OpenOptions opening;
    opening.directory = making.directory;
    opening.reserve_bytes = 0;
    auto opened = ledger::Ledger::open(files_, clock_, random_, opening);
    ASSERT_TRUE(opened) << opened.error().message;
    ledger_ = std::move(*opened);
    ledger::CustodyOptions keeping;
    keeping.directory = making.directory;
    auto custody = ledger::Custody::open(files_, clock_, random_, *ledger_, keeping);
    ASSERT_TRUE(custody) << custody.error().message;
    custody_ = std::move(*custody);
    ASSERT_TRUE(custody_->obtain({"ward-3", "alice"}));
    by_.tenant = "it";
    by_.user = "olga";
    by_.role = runtime::Role::kOperator;
    by_.source = "key:k2";
  }
  void TearDown() override {
    custody_.reset();
    ledger_.reset();
    std::filesystem::remove_all(folder_);
  }
  codec::Json order(Action action, const std::string& body) {
    const auto answer = carry_out(action, body, by_, *custody_);
    EXPECT_TRUE(answer) << (answer ? "" : answer.error().message);
    return answer ? *codec::parse_json(*answer) : codec::Json();
  }
  Error refusal(Action action, const std::string& body) {
    const auto answer = carry_out(action, body, by_, *custody_);
    EXPECT_FALSE(answer) << body;
    return answer ? Error() : answer.error();
  }

  std::string folder_;
  os::RealFileSystem files_;
  os::SystemClock clock_;
  crypto::SystemRandom random_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<ledger::Custody> custody_;
  runtime::Principal by_;
};

TEST_F(LedgerOrders, NobodyWithoutANameMayOrder) {
  by_ = runtime::Principal();
  by_.role = runtime::Role::kOperator;
  for (const Action action :
       {Action::kLedgerOpen, Action::kLedgerErase, Action::kLedgerHold, Action::kLedgerHolds}) {
    EXPECT_EQ(refusal(action, "{}").code, Code::kForbidden);
  }
}

TEST_F(LedgerOrders, HoldRefusesErasureAndAnErasureIsTold) {
  const std::string hold = R"({"subject":"ward-3/alice","case":"c 1","on":)";
  EXPECT_GT(order(Action::kLedgerHold, hold + "true}")["record"].get<std::uint64_t>(), 1U);
  const codec::Json holds = order(Action::kLedgerHolds, "")["holds"];
  ASSERT_EQ(holds.size(), 1U);
  EXPECT_EQ(holds[0]["case"], "c 1");
  const std::string erase = R"({"subject":"ward-3/alice","ground":"asked for"})";
  EXPECT_EQ(refusal(Action::kLedgerErase, erase).code, Code::kConflict);
  order(Action::kLedgerHold, hold + "false}");
  const codec::Json erased = order(Action::kLedgerErase, erase);
  EXPECT_EQ(erased["erased"], true);
  EXPECT_TRUE(ledger::is_subject_id(erased["subject"].get<std::string>()));
  EXPECT_EQ(order(Action::kLedgerErase, erase), codec::Json({{"erased", false}}));
}

TEST_F(LedgerOrders, BodiesAreReadStrictly) {
  for (const char* body : {"", "[]", "{", "{\"request\":1}", "{\"request\":\"a\",\"x\":1}", "{}"}) {
    EXPECT_EQ(refusal(Action::kLedgerOpen, body).code, Code::kInvalidArgument) << body;
  }
  for (const char* body :
       {R"({"subject":"a/b"})", R"({"ground":"x"})", R"({"subject":"nobody","ground":"x"})"}) {
    EXPECT_EQ(refusal(Action::kLedgerErase, body).code, Code::kInvalidArgument) << body;
  }
  EXPECT_EQ(refusal(Action::kLedgerHold, R"({"subject":"*","case":"c","on":1})").field, "on");
  EXPECT_EQ(refusal(Action::kLedgerOpen, R"({"request":"req_none"})").code, Code::kNotFound);
}

}  // namespace
}  // namespace aioss::server
