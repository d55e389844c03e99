#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace aioss {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return Error{Code::kInvalidArgument, "odd", "value"};
  return value / 2;
}

Result<std::string> quarter_text(int value) {
  AIOSS_TRY(const int halved, half(value));
  AIOSS_TRY(const int quartered, half(halved));  // two in one function: names must not clash
  return std::to_string(quartered);
}

Status check_even(int value, int& calls) {
  ++calls;
  AIOSS_CHECK(half(value).has_value() ? ok() : Status(Error{Code::kUsage, "odd"}));
  ++calls;
  return ok();
}

TEST(Result, HoldsAValueOrAnError) {
  const Result<int> good = half(4);
  ASSERT_TRUE(good.has_value());
  EXPECT_EQ(*good, 2);
  const Result<int> bad = half(3);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, Code::kInvalidArgument);
  EXPECT_EQ(bad.error().field, "value");
}

TEST(Result, TryReturnsTheFirstErrorAndDeclaresTheValue) {
  ASSERT_TRUE(quarter_text(8));
  EXPECT_EQ(*quarter_text(8), "2");
  EXPECT_FALSE(quarter_text(6));
  EXPECT_EQ(quarter_text(7).error().message, "odd");
}

TEST(Result, CheckStopsAtTheError) {
  int calls = 0;
  EXPECT_TRUE(check_even(2, calls));
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(check_even(1, calls).error().code, Code::kUsage);
  EXPECT_EQ(calls, 3);
}

TEST(Result, CarriesWhatCanOnlyBeMoved) {
  Result<std::unique_ptr<int>> made = std::make_unique<int>(5);
  std::unique_ptr<int> taken = std::move(made).value();
  EXPECT_EQ(*taken, 5);
}

TEST(Result, ConvertsDerivedPointers) {
  struct Base {
    virtual ~Base() = default;
  };
  struct Derived final : Base {};
  const Result<std::unique_ptr<Base>> made = std::make_unique<Derived>();
  EXPECT_NE(*made, nullptr);
}

TEST(ResultDeathTest, AskingForWhatIsNotThereIsABug) {
  const Result<int> bad = half(1);
  EXPECT_DEATH((void)bad.value(), "internal error");
  const Result<int> good = half(2);
  EXPECT_DEATH((void)good.error(), "internal error");
  const Status fine = ok();
  EXPECT_DEATH((void)fine.error(), "internal error");
}

}  // namespace
}  // namespace aioss
