#include "runtime/tenant_book.h"

#include <gtest/gtest.h>

namespace aioss::runtime {
namespace {

using Names = std::map<std::uint64_t, std::string>;

TEST(TenantBook, CountsUntilTheBoundAndForgets) {
  TenantBook book;
  EXPECT_TRUE(book.enter("ward-3", 2));
  EXPECT_TRUE(book.enter("ward-3", 2));
  EXPECT_FALSE(book.enter("ward-3", 2));
  EXPECT_TRUE(book.enter("it", 2)) << "another one's bound is its own";
  EXPECT_TRUE(book.enter("it", 0)) << "none";
  EXPECT_EQ(book.requests_of("ward-3"), 2U);
  EXPECT_EQ(
      book.names(),
      (Names{{0, "local"}, {tenant_number("it"), "it"}, {tenant_number("ward-3"), "ward-3"}}));
  book.leave("ward-3");
  EXPECT_TRUE(book.enter("ward-3", 2));
  book.leave("ward-3");
  book.leave("ward-3");
  EXPECT_EQ(book.requests_of("ward-3"), 0U);
  EXPECT_EQ(book.names(), (Names{{0, "local"}, {tenant_number("it"), "it"}}));
  EXPECT_NE(tenant_number("ward-3"), 0U);
}

}  // namespace
}  // namespace aioss::runtime
