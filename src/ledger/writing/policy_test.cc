#include "ledger/writing/policy.h"

#include <gtest/gtest.h>

#include "ledger/testing/test_support.h"
#include "ledger/writing/ledger.h"

namespace aioss::ledger {
namespace {

using test::kDirectory;
using test::MemoryFileSystem;

constexpr std::int64_t kNow = 1'750'000'000'000'000'000;
constexpr std::int64_t kDay = 24LL * 3600 * 1'000'000'000;

codec::Map person(std::string_view name, std::string_view source = "") {
  codec::Map actor;
  actor.set(key::actor::kKind, codec::Value::uint(2))
      .set(key::actor::kName, codec::Value::text(name))
      .set(key::actor::kSource,
           codec::Value::text(source.empty() ? "key:" + std::string(name) : std::string(source)))
      .set(key::actor::kTenant, codec::Value::text("it"));
  return actor;
}

codec::Map at_time(codec::Map body, std::int64_t wall_ns) {
  codec::Map timed;
  timed.set(key::kWallNs, codec::Value::integer(wall_ns));
  for (const auto& [number, value] : body.entries()) timed.set(number, value);
  return timed;
}

class Control : public testing::Test {
 protected:
  // Requested by alice, who is told the id.
  std::string request(std::int64_t wall_ns = kNow) {
    std::string id;
    const codec::Map body =
        book_.request(random_, person("alice"), kRotateAction, {"reason=yearly"}, id);
    see(at_time(body, wall_ns));
    return id;
  }
  void see(const codec::Map& body) { book_.see(++index_, RecordType::kAdminAction, body); }
  Code approve(const std::string& id, std::string_view who, std::int64_t now = kNow) {
    auto body = book_.approve(id, person(who), now);
    if (!body) return body.error().code;
    see(*body);
    return Code::kInternal;  // none
  }
  Code use(const std::string& id, std::string_view action = kRotateAction,
           std::int64_t now = kNow) {
    auto use = book_.use(id, person("alice"), action, now);
    if (!use) return use.error().code;
    EXPECT_EQ(use->approvals, (std::vector<std::string>{"it/alice", "it/bob"}));
    EXPECT_EQ(use->details, (std::vector<std::string>{"reason=yearly"}));
    see(use->body);
    return Code::kInternal;
  }

  ControlBook book_;
  test::CountingRandom random_;
  std::uint64_t index_ = 10;
};
constexpr Code kNone = Code::kInternal;

TEST_F(Control, TakesTwoAndOnce) {
  const std::string id = request();
  EXPECT_EQ(use(id), Code::kForbidden);               // nobody agreed
  EXPECT_EQ(approve(id, "alice"), Code::kForbidden);  // not oneself
  EXPECT_EQ(approve(id, "bob"), kNone);
  EXPECT_EQ(approve(id, "carol"), Code::kConflict);
  EXPECT_EQ(use(id, kEraseAction), Code::kUsage);  // something else
  EXPECT_EQ(use(id), kNone);
  EXPECT_EQ(use(id), Code::kNotFound);  // a second time
  EXPECT_EQ(approve(id, "bob"), Code::kNotFound);
  EXPECT_EQ(use("a_0000000000000000"), Code::kNotFound);
}

TEST_F(Control, RequestsGetOld) {
  const std::string id = request(kNow - 31 * kDay);
  EXPECT_EQ(approve(id, "bob"), Code::kNotFound);
  const std::string late = request(kNow - 29 * kDay);
  EXPECT_EQ(approve(late, "bob"), kNone);
  EXPECT_EQ(use(late, kRotateAction, kNow + 2 * kDay), Code::kNotFound);
  EXPECT_EQ(use(late), kNone);
}

// Whoever writes the record by hand: an approval of one's own request counts for nothing.
TEST_F(Control, ASelfMadeApprovalCountsForNothing) {
  const std::string id = request();
  AdminAction forged;
  forged.actor = person("alice");
  forged.action = "approve";
  forged.outcome = "approved";
  forged.details = {id, "rotate"};
  see(admin_action_body(forged));
  EXPECT_EQ(use(id), Code::kForbidden);
  // One without an actor, without details, of another id.
  forged.actor.reset();
  see(admin_action_body(forged));
  forged.actor = person("bob");
  forged.details = {};
  see(admin_action_body(forged));
  forged.details = {"a_other", "rotate"};
  see(admin_action_body(forged));
  book_.see(++index_, RecordType::kAdminAction, {});
  EXPECT_EQ(use(id), Code::kForbidden);
}

// Erased from the vault in between, an operator has another name in records, and the same key.
TEST_F(Control, AnotherNameIsNotAnotherOperator) {
  const std::string id = request();
  const auto body = book_.approve(id, person("s_other", "key:alice"), kNow);
  ASSERT_FALSE(body.has_value());
  EXPECT_EQ(body.error().code, Code::kForbidden);
  AdminAction forged;
  forged.actor = person("s_other", "key:alice");
  forged.action = "approve";
  forged.outcome = "approved";
  forged.details = {id, "rotate"};
  see(admin_action_body(forged));
  EXPECT_EQ(use(id), Code::kForbidden);
}

TEST_F(Control, OpenRequestsAreBounded) {
  const std::string first = request();
  for (std::size_t i = 0; i < kOpenActionRequestsMax; ++i) {
    AdminAction other;
    other.actor = person("alice");
    other.action = "request_rotate";
    other.outcome = "requested";
    other.details = {"a_" + std::to_string(i)};
    see(admin_action_body(other));
  }
  EXPECT_EQ(book_.open_requests().size(), kOpenActionRequestsMax);
  EXPECT_EQ(approve(first, "bob"), Code::kNotFound);
}

TEST(Policy, ListsOfActions) {
  EXPECT_TRUE(parse_policy_actions("")->dual_control.empty());
  EXPECT_EQ(parse_policy_actions("rotate, erase,rotate")->dual_control,
            (std::vector<std::string>{"erase", "rotate"}));
  for (const char* bad : {"erase;rotate", "Erase", "erase,", "all"}) {
    const auto policy = parse_policy_actions(bad);
    ASSERT_FALSE(policy.has_value()) << bad;
    EXPECT_EQ(policy.error().code, Code::kUsage);
  }
  const Policy rotate{{"rotate"}};
  EXPECT_TRUE(rotate.needs_approval("rotate"));
  EXPECT_FALSE(rotate.needs_approval("erase"));
}

TEST(Policy, FilesComeBackAndOthersAreRefused) {
  MemoryFileSystem fs;
  const Policy both{{"erase", "rotate"}};
  EXPECT_EQ(*read_policy(fs, kDirectory), Policy());
  ASSERT_TRUE(write_policy(fs, kDirectory, both).has_value());
  EXPECT_EQ(*read_policy(fs, kDirectory), both);
  for (const char* bad : {"", "{}", "[]", R"({"format":"aioss-policy/2","dual_control":[]})",
                          R"({"format":"aioss-policy/1","dual_control":["everything"]})",
                          R"({"format":"aioss-policy/1","dual_control":[1]})",
                          R"({"format":"aioss-policy/1","dual_control":"erase"})",
                          R"({"format":"aioss-policy/1"})"}) {
    fs.content("ledger/policy").assign(bad, bad + std::string_view(bad).size());
    EXPECT_FALSE(read_policy(fs, kDirectory).has_value()) << bad;
  }
}

TEST(Policy, HoldsForTheLedgersLife) {
  MemoryFileSystem fs;
  const test::FixedClock clock;
  test::CountingRandom random;
  InitOptions making;
  making.directory = kDirectory;
  making.policy = {{"erase", "rotate"}};
  const auto identity = init(fs, clock, random, making);
  ASSERT_TRUE(identity.has_value()) << identity.error().message;
  const VerifyReport report = test::verify_ledger(fs, identity->verifier_key);
  EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
  EXPECT_EQ(report.checkpoint_size, 3U);
  const Bytes good = fs.content("ledger/policy");
  const auto open = [&] { return Ledger::open(fs, clock, random, test::open_options()); };
  {
    auto ledger = open();
    ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
    EXPECT_TRUE((*ledger)->controls().policy().needs_approval("erase"));
    // A later record of the same form changes nothing.
    ASSERT_TRUE(
        (*ledger)->append_and_wait(RecordType::kAdminAction, policy_body(Policy())).has_value());
    ASSERT_TRUE((*ledger)->close().has_value());
  }
  EXPECT_TRUE((*open())->controls().policy().needs_approval("rotate"));
  // Whoever takes the file away, or says less in it, does not get rid of it.
  ASSERT_TRUE(write_policy(fs, kDirectory, {{"erase"}}).has_value());
  EXPECT_FALSE(open().has_value());
  ASSERT_TRUE(fs.remove("ledger/policy").has_value());
  EXPECT_FALSE(open().has_value());
  ASSERT_TRUE(os::replace_file(fs, "ledger/policy", good).has_value());
  EXPECT_TRUE(open().has_value());
}

TEST(Policy, NoneIsSetByAFileAlone) {
  const test::SmallLedger small = test::make_small_ledger(true);
  const test::FixedClock clock;
  test::CountingRandom random;
  ASSERT_TRUE(write_policy(*small.fs, kDirectory, {{"erase"}}).has_value());
  EXPECT_FALSE(Ledger::open(*small.fs, clock, random, test::open_options()).has_value());
}

}  // namespace
}  // namespace aioss::ledger
