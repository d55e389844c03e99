#include "server/engine_order_route.h"

#include <gtest/gtest.h>

namespace aioss::server {
namespace {

using What = runtime::EngineOrder::What;

std::string code_of(std::string_view body) {
  const auto order = parse_engine_order("m/engine", body);
  return order ? "" : std::string(info(order.error().code).name) + " " + order.error().field;
}

TEST(EngineOrderRoute, KnowsItsPath) {
  EXPECT_TRUE(is_engine_order("m/engine"));
  EXPECT_TRUE(is_engine_order("Llama-3.2-1B.Q4_K_M/engine"));
  EXPECT_FALSE(is_engine_order("m/load"));
  EXPECT_FALSE(is_engine_order("/engine"));
  EXPECT_FALSE(is_engine_order("engine"));
  EXPECT_FALSE(is_engine_order("a/b/engine"));
}

TEST(EngineOrderRoute, ReadsEachOrder) {
  auto order = parse_engine_order("m/engine", R"({"engine":"ik"})");
  ASSERT_TRUE(order) << order.error().message;
  EXPECT_EQ(order->what, What::kSwitch);
  EXPECT_EQ(order->model, "m");
  EXPECT_EQ(order->engine, "ik");
  EXPECT_EQ(parse_engine_order("m/engine", R"({"engine":"ik","pin":true})")->what, What::kPin);
  EXPECT_EQ(parse_engine_order("m/engine", R"({"pin":false})")->what, What::kUnpin);
  EXPECT_EQ(parse_engine_order("m/engine", R"({"rollback":true})")->what, What::kRollback);
}

TEST(EngineOrderRoute, RefusesWhatItDoesNotKnowByName) {
  EXPECT_EQ(code_of("{}"), "invalid_argument engine");
  EXPECT_EQ(code_of(R"({"engine":7})"), "invalid_argument engine");
  EXPECT_EQ(code_of(R"({"engine":"../x"})"), "invalid_argument engine");
  EXPECT_EQ(code_of(R"({"engine":"ik","pin":"yes"})"), "invalid_argument pin");
  EXPECT_EQ(code_of(R"({"engine":"ik","pin":false})"), "invalid_argument pin");
  EXPECT_EQ(code_of(R"({"engine":"ik","rollback":true})"), "invalid_argument rollback");
  EXPECT_EQ(code_of(R"({"motor":"ik"})"), "invalid_argument motor");
  EXPECT_FALSE(code_of("[]").empty());
  EXPECT_FALSE(code_of("").empty());
}

}  // namespace
}  // namespace aioss::server
