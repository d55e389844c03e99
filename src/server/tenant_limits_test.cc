#include "server/tenant_limits.h"

#include <gtest/gtest.h>

#include "server/key_file.h"

namespace aioss::server {
namespace {

const std::string kTenantSalt(32, 'a');
const std::string kTenantHash(64, 'b');

TEST(TenantLimits, ALineIsRead) {
  const auto line = parse_tenant_line(
      "[tenant.ward-3] weight=200 requests_max=50\tprompt_tokens_max=8000 prompt_bytes_max=65536");
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_EQ(line->tenant, "ward-3");
  EXPECT_EQ(line->limits, (runtime::TenantLimits{200, 50, 8000, 65536}));
  const auto one = parse_tenant_line("[tenant.it] requests_max=1");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->limits, (runtime::TenantLimits{ipc::kWeightDefault, 1, 0, 0}));
}

TEST(TenantLimits, BrokenLinesSayWhatIsWrong) {
  const auto problem = [](const std::string& line) {
    const auto read = parse_tenant_line(line);
    return read ? "none" : read.error().message;
  };
  EXPECT_NE(problem("[tenant.] weight=1").find("begins with [tenant.NAME]"), std::string::npos);
  EXPECT_NE(problem("[tenant.a weight=1").find("begins with [tenant.NAME]"), std::string::npos);
  EXPECT_NE(problem("[other.a] weight=1").find("begins with [tenant.NAME]"), std::string::npos);
  EXPECT_NE(problem("[tenant.a]").find("says nothing"), std::string::npos);
  EXPECT_NE(problem("[tenant.a] wieght=1").find("not 'wieght=1'"), std::string::npos);
  EXPECT_NE(problem("[tenant.a] weight = 1").find("without spaces"), std::string::npos);
  EXPECT_NE(problem("[tenant.a] weight=0").find("from 1 to 1000"), std::string::npos);
  EXPECT_NE(problem("[tenant.a] weight=1001").find("from 1 to 1000"), std::string::npos);
  EXPECT_NE(problem("[tenant.a] weight=1 weight=2").find("given twice"), std::string::npos);
  EXPECT_NE(problem("[tenant.a] requests_max=-1").find("whole number"), std::string::npos);
}

TEST(TenantLimits, HoldForTheKeysOfTheTenantWhereverTheLineStands) {
  const ParsedKeys parsed = parse_keys(
      "k1 a u1 user " + kTenantSalt + " " + kTenantHash + "\n[tenant.a] weight=7\nk2 a u2 user " +
      kTenantSalt + " " + kTenantHash + "\nk3 b u3 user " + kTenantSalt + " " + kTenantHash + "\n");
  ASSERT_TRUE(parsed.problems.empty());
  ASSERT_EQ(parsed.keys.size(), 3U);
  EXPECT_EQ(parsed.keys[0].limits.weight, 7U);
  EXPECT_EQ(parsed.keys[1].limits.weight, 7U);
  EXPECT_EQ(parsed.keys[2].limits.weight, ipc::kWeightDefault);
  const ParsedKeys twice =
      parse_keys("[tenant.a] weight=7\n[tenant.a] weight=8\n[tenant.a b]\nk1 a u1 user " +
                 kTenantSalt + " " + kTenantHash);
  EXPECT_EQ(twice.problems.size(), 2U);
  auto changed = parsed.keys;
  changed[0].limits.weight = 8;
  EXPECT_EQ(differences(parsed.keys, changed), std::vector<std::string>{"changed k1"})
      << "the ledger is told";
}

}  // namespace
}  // namespace aioss::server
