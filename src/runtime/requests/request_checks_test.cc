#include "runtime/requests/request_checks.h"

#include <gtest/gtest.h>

#include <limits>

#include "ipc/limits.h"

namespace aioss::runtime {
namespace {

ModelEntry model() {
  ModelEntry entry;
  entry.name = "m";
  entry.adapters = {"pirate", "polite", "terse"};
  return entry;
}

Status check(std::vector<AdapterWish> wishes, ipc::Profile profile = ipc::Profile::kFast) {
  GenerateCall call;
  call.adapters = std::move(wishes);
  return check_adapters(call, model(), profile);
}

TEST(RequestChecks, AdaptersOfTheModelMayBeAskedFor) {
  EXPECT_TRUE(check({}));
  EXPECT_TRUE(check({{"pirate", 1.0F}, {"polite", -0.5F}}));
}

// The engine would refuse the call, which ends the worker for everybody.
TEST(RequestChecks, OutsideFastTwoAdaptersCanBeCombined) {
  const std::vector<AdapterWish> three = {{"pirate", 1.0F}, {"polite", 1.0F}, {"terse", 1.0F}};
  EXPECT_TRUE(check(three));
  const Status refused = check(three, ipc::Profile::kReproducible);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  EXPECT_TRUE(
      check({{"pirate", 1.0F}, {"polite", 0.0F}, {"terse", 1.0F}}, ipc::Profile::kReproducible));
}

TEST(RequestChecks, AdaptersThatCannotBeAskedForAreToldWhy) {
  const auto unknown = check({{"pirat", 1.0F}});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::kNotFound);
  EXPECT_EQ(unknown.error().field, "lora");
  EXPECT_NE(unknown.error().message.find("pirate"), std::string::npos) << unknown.error().message;
  const auto invalid = [](std::vector<AdapterWish> wishes) {
    const Status status = check(std::move(wishes));
    return !status && status.error().code == Code::kInvalidArgument;
  };
  EXPECT_TRUE(invalid({{"pirate", 1.0F}, {"pirate", 2.0F}}));
  EXPECT_TRUE(invalid({{"pirate", std::numeric_limits<float>::quiet_NaN()}}));
  EXPECT_TRUE(invalid({{"pirate", 2 * ipc::kAdapterScaleMax}}));
  EXPECT_TRUE(invalid(std::vector<AdapterWish>(ipc::kAdaptersMax + 1, {"pirate", 1.0F})));
}

}  // namespace
}  // namespace aioss::runtime
