// Who gets which receipt, and with what in it.
#include "runtime/records/receipts.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "crypto/random.h"
#include "ledger/evidence/receipt.h"
#include "ledger/format/commitment.h"
#include "ledger/reading/history.h"
#include "ledger/reading/verify.h"
#include "os/clock.h"
#include "runtime/records/records.h"

namespace aioss::runtime {
namespace {

namespace key = ledger::key;
using codec::Value;

class ReceiptsTest : public ::testing::Test {
 protected:
  ReceiptsTest() {
    directory_ = ::testing::TempDir() + "aioss_receipts";
    std::filesystem::remove_all(directory_);
    ledger::InitOptions making;
    making.directory = directory_;
    making.trial = true;  // wherever the tests' folder is
    auto identity = ledger::init(fs_, clock_, random_, making);
    EXPECT_TRUE(identity.has_value());
    key_ = *ledger::parse_verifier_key(identity->verifier_key);
    ledger::OpenOptions options;
    options.directory = directory_;
    options.reserve_bytes = 0;
    ledger_ = std::move(*ledger::Ledger::open(fs_, clock_, random_, options));
    prompt_ = ledger::commit(random_, "the prompt");
    answer_ = ledger::commit(random_, "the answer");
  }
  ~ReceiptsTest() override {
    ledger_.reset();
    std::filesystem::remove_all(directory_);
  }

  static Principal user(const std::string& tenant, const std::string& name, Role role) {
    Principal principal;
    principal.tenant = tenant;
    principal.user = name;
    principal.role = role;
    principal.subject = "s_" + tenant + "_" + name;  // as the vault would say
    return principal;
  }

  void answer(const Principal& caller, const std::string& id) {
    codec::Map request;
    request.set(key::kActor, Value::map(records::actor(caller)))
        .set(key::kRequestId, Value::text(id))
        .set(key::infer_request::kPromptCommitment, Value::bytes(prompt_.value));
    const auto committed =
        ledger_->append_and_wait(ledger::RecordType::kInferRequest, std::move(request));
    codec::Map choice;
    choice.set(key::choice::kOutputCommitment, Value::bytes(answer_.value));
    codec::Map result;
    result.set(key::kRequestId, Value::text(id))
        .set(key::kRefIndex, Value::uint(committed->index))
        .set(key::infer_result::kChoices, Value::array({Value::map(std::move(choice))}));
    EXPECT_TRUE(
        ledger_->append_and_wait(ledger::RecordType::kInferResult, std::move(result)).has_value());
  }

  Receipts receipts() {
    CallerSecrets secrets;
    secrets.name_in_records = [](const Principal& caller) { return caller.subject; };
    secrets.salt = [this](const Principal&, const std::string&,
                          const std::string& field) -> std::optional<Digest> {
      if (field == "prompt") return prompt_.salt;
      if (field == "output/0") return answer_.salt;
      return std::nullopt;
    };
    return Receipts(*ledger_, std::move(secrets));
  }

  ledger::DocumentReport judge(const std::string& text, std::vector<ledger::Claim> claims = {}) {
    const auto receipt = ledger::parse_receipt(text);
    EXPECT_TRUE(receipt.has_value());
    return ledger::judge_receipt(*receipt, {key_, std::move(claims)});
  }

  std::string directory_;
  os::RealFileSystem fs_;
  os::SystemClock clock_;
  crypto::SystemRandom random_;
  ledger::VerifierKey key_;
  std::unique_ptr<ledger::Ledger> ledger_;
  ledger::Commitment prompt_, answer_;
};

TEST_F(ReceiptsTest, TheCallerGetsSaltsThatOpenPromptAndAnswer) {
  const Principal alice = user("ward-3", "alice", Role::kUser);
  answer(alice, "req_a");
  const auto text = receipts().receipt(alice, "req_a");
  ASSERT_TRUE(text.has_value()) << text.error().message;
  const auto bytes = [](std::string_view of) { return Bytes(of.begin(), of.end()); };
  const ledger::DocumentReport report =
      judge(*text, {{ledger::Claim::Of::kPrompt, 0, {bytes("the prompt")}},
                    {ledger::Claim::Of::kAnswer, 0, {bytes("the answer")}}});
  EXPECT_EQ(report.verdict, ledger::Verdict::kOk) << report.finding;
  EXPECT_EQ(ledger_->health().size, 4U);  // nothing was recorded of it
}

TEST_F(ReceiptsTest, NobodyElsesUserLearnsThatThereIsOne) {
  answer(user("ward-3", "alice", Role::kUser), "req_a");
  for (const Principal& other :
       {user("ward-3", "bob", Role::kUser), user("ward-4", "alice", Role::kUser)}) {
    const auto refused = receipts().receipt(other, "req_a");
    const auto never = receipts().receipt(other, "req_never");
    ASSERT_FALSE(refused.has_value());
    ASSERT_FALSE(never.has_value());
    EXPECT_EQ(refused.error().code, Code::kNotFound);
    EXPECT_EQ(refused.error().message, never.error().message);
  }
}

TEST_F(ReceiptsTest, OperatorsAndAuditorsGetItWithoutSaltsAndAreRecorded) {
  answer(user("ward-3", "alice", Role::kUser), "req_a");
  for (const Role role : {Role::kOperator, Role::kAuditor}) {
    const std::uint64_t before = ledger_->health().size;
    const auto text = receipts().receipt(user("it", "olga", role), "req_a");
    ASSERT_TRUE(text.has_value());
    EXPECT_EQ(text->find("salts"), std::string::npos);
    EXPECT_EQ(judge(*text).verdict, ledger::Verdict::kOk);
    ASSERT_EQ(ledger_->health().size, before + 1);
    const auto access = ledger_->history().record(before);
    ASSERT_TRUE(access.has_value());
    EXPECT_EQ(access->record.type, ledger::RecordType::kAccess);
    EXPECT_EQ(*access->record.body.get_text(key::access::kWhat, ""), "receipt");
    EXPECT_EQ(*access->record.body.get_uint(key::kRefIndex, ""), 2U);
  }
}

TEST_F(ReceiptsTest, WhatCanBeNoIdIsNotLookedFor) {
  const Principal alice = user("ward-3", "alice", Role::kUser);
  for (const std::string& id : {std::string(), std::string("a b"), std::string(65, 'x'),
                                std::string("req_\0", 5), std::string("../x")}) {
    EXPECT_EQ(receipts().receipt(alice, id).error().code, Code::kNotFound);
  }
}

TEST_F(ReceiptsTest, OfARequestThatStillRunsThereIsNone) {
  const Principal alice = user("ward-3", "alice", Role::kUser);
  codec::Map request;
  request.set(key::kActor, Value::map(records::actor(alice)))
      .set(key::kRequestId, Value::text("req_open"));
  ASSERT_TRUE(
      ledger_->append_and_wait(ledger::RecordType::kInferRequest, std::move(request)).has_value());
  EXPECT_EQ(receipts().receipt(alice, "req_open").error().code, Code::kConflict);
  const Principal bob = user("ward-3", "bob", Role::kUser);
  EXPECT_EQ(receipts().receipt(bob, "req_open").error().code, Code::kNotFound);
}

}  // namespace
}  // namespace aioss::runtime
