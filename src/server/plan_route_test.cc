#include "server/plan_route.h"

#include <gtest/gtest.h>

namespace aioss::server {
namespace {

TEST(PlanQuery, NamesModelAndOptions) {
  const auto call = parse_plan_query("model=gemma%2D3&ctx=8192&parallel=0&kv_type=q8_0");
  ASSERT_TRUE(call.has_value()) << call.error().message;
  EXPECT_EQ(call->model, "gemma-3");
  EXPECT_EQ(call->context_tokens, 8192U);
  EXPECT_EQ(call->parallel, 0U);
  EXPECT_EQ(call->kv_type, "q8_0");
  const auto adapted = parse_plan_query("model=m&lora=a&lora=b");
  ASSERT_TRUE(adapted.has_value());
  EXPECT_EQ(adapted->adapters, (std::vector<std::string>{"a", "b"}));
  const auto least = parse_plan_query("model=m");
  ASSERT_TRUE(least.has_value());
  EXPECT_FALSE(least->context_tokens || least->parallel || least->kv_type);
}

TEST(PlanQuery, AnythingElseIsRefusedByName) {
  const auto field = [](std::string_view query) {
    const auto call = parse_plan_query(query);
    EXPECT_FALSE(call.has_value()) << query;
    return call ? "" : std::string(info(call.error().code).name) + " " + call.error().field;
  };
  EXPECT_EQ(field(""), "invalid_argument model");
  EXPECT_EQ(field("model="), "invalid_argument model");
  EXPECT_EQ(field("model=a&model=b"), "invalid_argument model");
  EXPECT_EQ(field("model=a&ctx=-1"), "invalid_argument ctx");
  EXPECT_EQ(field("model=a&ctx=1&ctx=2"), "invalid_argument ctx");
  EXPECT_EQ(field("model=a&parallel=many"), "invalid_argument parallel");
  EXPECT_EQ(field("model=a&kv_type=f16&kv_type=f16"), "invalid_argument kv_type");
  EXPECT_EQ(field("model=a&color=red"), "invalid_argument color");
  EXPECT_EQ(field("model=%ff"), "invalid_argument ");
}

}  // namespace
}  // namespace aioss::server
