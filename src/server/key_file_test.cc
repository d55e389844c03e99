#include "server/key_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "codec/hex.h"
#include "crypto/counting_random.h"
#include "crypto/hash.h"
#include "os/testing/fault_file_system.h"

namespace aioss::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using crypto::CountingRandom;

NewKey make(crypto::Random& random, const std::string& id,
            runtime::Role role = runtime::Role::kUser) {
  auto made = make_key(random, id, "ward-3", "ada", role);
  EXPECT_TRUE(made.has_value());
  return *made;
}

const std::string kSalt(32, 'a');
const std::string kHash(64, 'b');

TEST(MakeKey, HoldsOnlyASaltedHash) {
  CountingRandom random;
  const NewKey made = make(random, "k1", runtime::Role::kAuditor);
  EXPECT_EQ(made.key, "aioss_000102030405060708090a0b0c0d0e0f1011121314151617");
  const std::string salt = "18191a1b1c1d1e1f2021222324252627";
  const auto salt_bytes = codec::from_hex(salt);
  const Digest digest = crypto::sha3_256({*salt_bytes, as_bytes(made.key)});
  EXPECT_EQ(made.line, "k1 ward-3 ada auditor " + salt + " " + codec::to_hex(digest));
  EXPECT_EQ(made.line.find(made.key.substr(6)), std::string::npos);
}

TEST(MakeKey, RefusesNamesThatAFileCannotHold) {
  CountingRandom random;
  for (const std::string name : {"", "a b", "a\nb", "#", "\xC3\xA9"}) {
    EXPECT_FALSE(make_key(random, name, "t", "u", runtime::Role::kUser).has_value()) << name;
    EXPECT_FALSE(make_key(random, "i", name, "u", runtime::Role::kUser).has_value()) << name;
    EXPECT_FALSE(make_key(random, "i", "t", name, runtime::Role::kUser).has_value()) << name;
  }
  EXPECT_FALSE(make_key(random, std::string(65, 'a'), "t", "u", runtime::Role::kUser).has_value());
}

TEST(ParseKeys, ReadsLinesAndComments) {
  const ParsedKeys parsed = parse_keys("# keys\n\n  k1 t1 u1 operator " + kSalt + " " + kHash +
                                       "\r\nk2\tt2 u2  user " + kSalt + " " + kHash);
  EXPECT_THAT(parsed.problems, IsEmpty());
  ASSERT_EQ(parsed.keys.size(), 2U);
  EXPECT_EQ(parsed.keys[0].id, "k1");
  EXPECT_EQ(parsed.keys[0].tenant, "t1");
  EXPECT_EQ(parsed.keys[0].user, "u1");
  EXPECT_EQ(parsed.keys[0].role, runtime::Role::kOperator);
  EXPECT_EQ(parsed.keys[0].salt, Bytes(16, 0xAA));
  EXPECT_EQ(parsed.keys[1].digest[31], 0xBB);
}

TEST(ParseKeys, ABrokenLineIsReportedAndGrantsNothing) {
  const auto problem = [](const std::string& line) {
    const ParsedKeys parsed = parse_keys("# one\n" + line);
    EXPECT_THAT(parsed.keys, IsEmpty()) << line;
    return parsed.problems.empty() ? "" : parsed.problems.front();
  };
  EXPECT_THAT(problem("k t u user " + kSalt), HasSubstr("line 2: needs 6 words"));
  EXPECT_THAT(problem("k t u user " + kSalt + " " + kHash + " x"), HasSubstr("has 7"));
  EXPECT_THAT(problem("k t u king " + kSalt + " " + kHash), HasSubstr("role"));
  EXPECT_THAT(problem("k t u user aa " + kHash), HasSubstr("salt"));
  EXPECT_THAT(problem("k t u user " + kSalt + " " + kHash + "aa"), HasSubstr("hash"));
  EXPECT_THAT(problem("k! t u user " + kSalt + " " + kHash), HasSubstr("id"));
  const std::string good = "k t u user " + kSalt + " " + kHash;
  const ParsedKeys twice = parse_keys(good + "\n" + good);
  EXPECT_EQ(twice.keys.size(), 1U);
  EXPECT_THAT(twice.problems, ElementsAre("line 2: the id is used twice"));
}

// Callers without keys are this one.
TEST(ParseKeys, NoKeyIsOfTheTenantWithoutKeys) {
  const ParsedKeys key = parse_keys("k local u user " + kSalt + " " + kHash);
  EXPECT_THAT(key.keys, IsEmpty());
  EXPECT_THAT(key.problems, ElementsAre(HasSubstr("line 1: the tenant must not be 'local'")));
  EXPECT_THAT(parse_keys("[tenant.local] weight=7").problems,
              ElementsAre(HasSubstr("line 1: the tenant must not be 'local'")));
  CountingRandom random;
  EXPECT_FALSE(make_key(random, "i", "local", "u", runtime::Role::kUser).has_value());
  EXPECT_TRUE(make_key(random, "i", "t", "local", runtime::Role::kUser).has_value());
}

TEST(ParseKeys, ATenantWithoutAKeyIsReported) {
  const ParsedKeys parsed = parse_keys(
      "[tenant.wrad] weight=7\n[tenant.ward] weight=8\nk ward u "
      "user " +
      kSalt + " " + kHash);
  EXPECT_THAT(parsed.problems, ElementsAre("line 1: no key is of the tenant 'wrad'"));
  ASSERT_EQ(parsed.keys.size(), 1U);
  EXPECT_EQ(parsed.keys[0].limits.weight, 8U);
}

TEST(ParseKeys, HasABoundThatHidesNoTenant) {
  std::string text;
  for (std::size_t i = 0; i < kKeysMax + 3; ++i)
    text += "k" + std::to_string(i) + " t u user " + kSalt + " " + kHash + "\n";
  const ParsedKeys parsed = parse_keys(text + "[tenant.t] weight=7\n");
  EXPECT_THAT(parsed.problems, ElementsAre("line 1025: there may be at most 1024 keys"));
  ASSERT_EQ(parsed.keys.size(), kKeysMax);
  EXPECT_EQ(parsed.keys.back().limits.weight, 7U);
}

class KeyRingTest : public testing::Test {
 protected:
  KeyRingTest() {
    path_ = testing::TempDir() + "keys-" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove(path_);
  }
  ~KeyRingTest() override { std::filesystem::remove(path_); }

  void write(const std::string& text) {
    ASSERT_TRUE(os::replace_file(fs_, path_, as_bytes(text)).has_value());
  }

  os::RealFileSystem fs_;
  CountingRandom random_;
  std::string path_;
};

TEST_F(KeyRingTest, FindsEachKeyAndNoOther) {
  const NewKey one = make(random_, "k1");
  const NewKey two = make(random_, "k2", runtime::Role::kOperator);
  write(one.line + "\n" + two.line + "\n");
  const auto ring = KeyRing::create(fs_, path_);
  ASSERT_TRUE(ring.has_value());
  const auto found = (*ring)->find(two.key);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->source, "key:k2");
  EXPECT_EQ(found->tenant, "ward-3");
  EXPECT_EQ(found->user, "ada");
  EXPECT_EQ(found->role, runtime::Role::kOperator);
  EXPECT_EQ((*ring)->find(one.key)->source, "key:k1");
  EXPECT_FALSE((*ring)->find("").has_value());
  EXPECT_FALSE((*ring)->find(one.key + "0").has_value());
  EXPECT_FALSE((*ring)->find(one.key.substr(0, one.key.size() - 1)).has_value());
  EXPECT_FALSE((*ring)->find(std::string(100'000, 'x')).has_value());
}

TEST_F(KeyRingTest, ABrokenOrAbsentFileStopsTheStart) {
  EXPECT_FALSE(KeyRing::create(fs_, path_).has_value());
  write("# fine\nnonsense\n");
  const auto ring = KeyRing::create(fs_, path_);
  ASSERT_FALSE(ring.has_value());
  EXPECT_EQ(ring.error().code, Code::kUsage);
  EXPECT_THAT(ring.error().message, HasSubstr("line 2"));
}

TEST_F(KeyRingTest, FollowsTheFile) {
  const NewKey one = make(random_, "k1");
  const NewKey two = make(random_, "k2");
  write(one.line + "\n");
  const auto ring = KeyRing::create(fs_, path_);
  ASSERT_TRUE(ring.has_value());

  write(two.line + "\n");
  (*ring)->refresh();
  EXPECT_FALSE((*ring)->find(one.key).has_value());
  EXPECT_TRUE((*ring)->find(two.key).has_value());

  write(two.line + "\nnonsense\n");
  (*ring)->refresh();
  EXPECT_TRUE((*ring)->find(two.key).has_value());
  EXPECT_THAT((*ring)->problem(), HasSubstr("line 2"));

  write(one.line + "\n");
  (*ring)->refresh();
  EXPECT_TRUE((*ring)->find(one.key).has_value());
  EXPECT_FALSE((*ring)->find(two.key).has_value());
  EXPECT_EQ((*ring)->problem(), "");
}

TEST_F(KeyRingTest, AChangeThatCannotBeReadLeavesTheOldKeysForAMoment) {
  const NewKey one = make(random_, "k1");
  const NewKey two = make(random_, "k2");
  write(one.line + "\n");
  const auto ring = KeyRing::create(fs_, path_);
  ASSERT_TRUE(ring.has_value());
  std::filesystem::remove(path_);
  std::filesystem::create_directory(path_);
  for (unsigned i = 1; i < kUnreadableMax; ++i) (*ring)->refresh();
  EXPECT_TRUE((*ring)->find(one.key).has_value());
  EXPECT_THAT((*ring)->problem(), HasSubstr("cannot be read"));
  std::filesystem::remove(path_);
  write(two.line + "\n");
  (*ring)->refresh();
  EXPECT_FALSE((*ring)->find(one.key).has_value());
  EXPECT_TRUE((*ring)->find(two.key).has_value());
  EXPECT_EQ((*ring)->problem(), "");
}

TEST_F(KeyRingTest, AFileThatStaysUnreadableAdmitsNobody) {
  const NewKey one = make(random_, "k1");
  write(one.line + "\n");
  std::vector<std::string> reasons;
  os::FaultFileSystem faults(fs_);
  const auto ring = KeyRing::create(faults, path_, [&](const KeyChange& change) {
    reasons.push_back(change.reason);
    return ok();
  });
  ASSERT_TRUE(ring.has_value());
  const auto forbid = [&] { faults.arm(os::FaultPoint::kOpen, {1, EACCES, true}); };
  forbid();  // as chmod does it: the file itself is the same
  for (unsigned i = 1; i < kUnreadableMax; ++i) (*ring)->refresh();
  EXPECT_TRUE((*ring)->find(one.key).has_value());
  faults.disarm();
  (*ring)->refresh();
  EXPECT_EQ((*ring)->problem(), "");

  forbid();
  for (unsigned i = 1; i < kUnreadableMax; ++i) (*ring)->refresh();
  EXPECT_TRUE((*ring)->find(one.key).has_value()) << "they were not in a row";
  for (int i = 0; i < 2; ++i) (*ring)->refresh();
  EXPECT_FALSE((*ring)->find(one.key).has_value());
  EXPECT_THAT((*ring)->problem(), HasSubstr("cannot be read: nobody is admitted"));
  EXPECT_THAT(reasons, ElementsAre("key file read", "key file unreadable"));

  faults.disarm();
  (*ring)->refresh();
  EXPECT_TRUE((*ring)->find(one.key).has_value());
  EXPECT_EQ((*ring)->problem(), "");
  EXPECT_THAT(reasons, ElementsAre("key file read", "key file unreadable", "key file reloaded"));
}

TEST_F(KeyRingTest, ToAdmitNobodyNeedsNoLedger) {
  const NewKey one = make(random_, "k1");
  std::vector<std::string> recorded;
  bool refuses = false;
  const auto record = [&](const KeyChange& change) -> Status {
    if (refuses) return Error(Code::kLedgerUnavailable, "the ledger is full");
    recorded.push_back(change.reason);
    return ok();
  };
  const auto admitted = [&](const KeyRing& ring) { return ring.find(one.key).has_value(); };
  os::FaultFileSystem faults(fs_);
  write(one.line + "\n");
  const auto ring = KeyRing::create(faults, path_, record);
  ASSERT_TRUE(ring.has_value());

  refuses = true;
  std::filesystem::remove(path_);
  (*ring)->refresh();
  EXPECT_FALSE(admitted(**ring)) << "removed";
  EXPECT_THAT((*ring)->problem(), HasSubstr("not recorded: the ledger is full"));
  refuses = false;
  for (int i = 0; i < 2; ++i) (*ring)->refresh();  // made up for, once
  EXPECT_THAT(recorded, ElementsAre("key file read", "key file removed"));
  EXPECT_THAT((*ring)->problem(), testing::Not(HasSubstr("recorded")));

  refuses = true;
  write(one.line + "\n");
  (*ring)->refresh();
  EXPECT_FALSE(admitted(**ring)) << "to let somebody in does need it";
  refuses = false;
  (*ring)->refresh();
  EXPECT_TRUE(admitted(**ring));

  refuses = true;
  faults.arm(os::FaultPoint::kOpen, {1, EACCES, true});
  for (unsigned i = 0; i < kUnreadableMax; ++i) (*ring)->refresh();
  EXPECT_FALSE(admitted(**ring)) << "unreadable";
  faults.disarm();
  (*ring)->refresh();
  EXPECT_TRUE(admitted(**ring)) << "the ledger's last word is that these keys hold";

  write("# nobody\n");
  (*ring)->refresh();
  EXPECT_FALSE(admitted(**ring)) << "no key in it";
  recorded.clear();
  refuses = false;
  (*ring)->refresh();  // tried again, though the file is the same
  EXPECT_THAT(recorded, ElementsAre("key file reloaded"));
  EXPECT_EQ((*ring)->problem(), "");
}

TEST_F(KeyRingTest, TheSameFileMayComeBack) {
  const NewKey one = make(random_, "k1");
  write(one.line + "\n");
  const auto ring = KeyRing::create(fs_, path_);
  ASSERT_TRUE(ring.has_value());
  std::filesystem::rename(path_, path_ + ".away");
  (*ring)->refresh();
  EXPECT_FALSE((*ring)->find(one.key).has_value());
  std::filesystem::rename(path_ + ".away", path_);  // the same inode, size and time
  (*ring)->refresh();
  EXPECT_TRUE((*ring)->find(one.key).has_value());
}

TEST_F(KeyRingTest, ARemovedFileAdmitsNobody) {
  const NewKey one = make(random_, "k1");
  write(one.line + "\n");
  std::vector<std::string> reasons;
  const auto ring = KeyRing::create(fs_, path_, [&](const KeyChange& change) {
    reasons.push_back(change.reason);
    return ok();
  });
  ASSERT_TRUE(ring.has_value());
  std::filesystem::remove(path_);
  (*ring)->refresh();
  (*ring)->refresh();
  EXPECT_FALSE((*ring)->find(one.key).has_value());
  EXPECT_THAT((*ring)->problem(), HasSubstr("nobody is admitted"));
  EXPECT_EQ(reasons, (std::vector<std::string>{"key file read", "key file removed"}));
  write(one.line + "\n");
  (*ring)->refresh();
  EXPECT_TRUE((*ring)->find(one.key).has_value());
}

TEST_F(KeyRingTest, EveryChangeIsRecordedBeforeItHolds) {
  const NewKey one = make(random_, "k1");
  const NewKey two = make(random_, "k2");
  std::vector<KeyChange> recorded;
  std::optional<Error> refusal;
  const auto record = [&](const KeyChange& change) -> Status {
    if (refusal.has_value()) return *refusal;
    recorded.push_back(change);
    return ok();
  };
  write(one.line + "\n");
  const auto ring = KeyRing::create(fs_, path_, record);
  ASSERT_TRUE(ring.has_value());
  ASSERT_EQ(recorded.size(), 1U);
  EXPECT_EQ(recorded[0].file_sha3, crypto::sha3_256(as_bytes(one.line + "\n")));

  write(one.line + "\n");  // another file, the same bytes
  (*ring)->refresh();
  EXPECT_EQ(recorded.size(), 1U);

  refusal = Error(Code::kLedgerUnavailable, "the ledger is full");
  write(two.line + "\n");
  for (int i = 0; i < 2; ++i) (*ring)->refresh();
  EXPECT_TRUE((*ring)->find(one.key).has_value()) << "a change that is not recorded took effect";
  EXPECT_FALSE((*ring)->find(two.key).has_value());
  EXPECT_THAT((*ring)->problem(), HasSubstr("the ledger is full"));

  refusal.reset();
  (*ring)->refresh();  // tried again without another change
  EXPECT_FALSE((*ring)->find(one.key).has_value());
  EXPECT_TRUE((*ring)->find(two.key).has_value());
  EXPECT_EQ((*ring)->problem(), "");
  ASSERT_EQ(recorded.size(), 2U);
  EXPECT_EQ(recorded[1].file_sha3, crypto::sha3_256(as_bytes(two.line + "\n")));
  EXPECT_EQ(recorded[1].reason, "key file reloaded");
  EXPECT_THAT(recorded[0].details, ElementsAre("added k1"));
  EXPECT_THAT(recorded[1].details, ElementsAre("added k2", "removed k1"))
      << "against what was recorded, not against what was refused";
}

TEST_F(KeyRingTest, DifferencesNameEveryChangedKeyAndNoOther) {
  const auto key = [](const char* id, const char* user) {
    Key one;
    one.id = id;
    one.user = user;
    return one;
  };
  const Key same = key("k1", "a"), moved = key("k2", "a"), gone = key("k3", "a");
  Key other_role = moved;
  other_role.role = runtime::Role::kOperator;
  EXPECT_THAT(differences({same, moved, gone}, {same, other_role, key("k4", "a")}),
              ElementsAre("changed k2", "added k4", "removed k3"));
  EXPECT_THAT(differences({same, moved}, {moved, same}), testing::IsEmpty()) << "order is nothing";
  Key other_secret = same;
  other_secret.digest.fill(1);
  EXPECT_THAT(differences({same}, {other_secret}), ElementsAre("changed k1"));
}

TEST_F(KeyRingTest, WhatIsRecordedAfterAnUnrecordedRevocationStartsFromTheRecord) {
  write(make(random_, "k1").line + "\n");
  std::vector<KeyChange> recorded;
  bool refuses = false;
  const auto ring = KeyRing::create(fs_, path_, [&](const KeyChange& change) -> Status {
    if (refuses) return Error(Code::kLedgerUnavailable, "full");
    recorded.push_back(change);
    return ok();
  });
  ASSERT_TRUE(ring.has_value());
  refuses = true;
  std::filesystem::remove(path_);
  (*ring)->refresh();  // nobody is admitted, unrecorded
  refuses = false;
  write(make(random_, "k2").line + "\n");
  (*ring)->refresh();
  ASSERT_EQ(recorded.size(), 2U);
  EXPECT_THAT(recorded[1].details, ElementsAre("added k2", "removed k1"));
}

TEST_F(KeyRingTest, AStartThatCannotBeRecordedFails) {
  write(make(random_, "k1").line + "\n");
  const auto ring = KeyRing::create(fs_, path_, [](const KeyChange&) -> Status {
    return Error(Code::kLedgerUnavailable, "full");
  });
  ASSERT_FALSE(ring.has_value());
  EXPECT_EQ(ring.error().code, Code::kLedgerUnavailable);
}

}  // namespace
}  // namespace aioss::server
