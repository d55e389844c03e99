#include "runtime/request_checks.h"

#include <gtest/gtest.h>

#include <limits>

#include "ipc/limits.h"

namespace aioss::runtime {
namespace {

ModelEntry model() {
  ModelEntry entry;
  entry.name = "m";
  entry.adapters = {"pirate", "polite"};
  return entry;
}

Status check(std::vector<AdapterWish> wishes) {
  GenerateCall call;
  call.adapters = std::move(wishes);
  return check_adapters(call, model());
}

TEST(RequestChecks, AdaptersOfTheModelMayBeAskedFor) {
  EXPECT_TRUE(check({}));
  EXPECT_TRUE(check({{"pirate", 1.0F}, {"polite", -0.5F}}));
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
