#include "runtime/calls/tenant_book.h"

#include <gtest/gtest.h>

namespace aioss::runtime {
namespace {

Principal caller(const std::string& tenant, const std::string& user, const std::string& source) {
  Principal principal;
  principal.tenant = tenant;
  principal.user = user;
  principal.source = source;
  return principal;
}

// Who shares turns shares prefixes, and could read in their lengths what the others have asked.
TEST(TenantBook, UsersOfASocketAreNotOneTenant) {
  const std::string first = turn_name(caller("local", "uid=1000", "unix:uid=1000"));
  const std::string second = turn_name(caller("local", "uid=1001", "unix:uid=1001"));
  EXPECT_NE(tenant_number(first), tenant_number(second));
  EXPECT_NE(tenant_number(first), 0U);
  EXPECT_EQ(tenant_number(turn_name(caller("local", "local", "local"))), 0U);
  EXPECT_EQ(turn_name(caller("ward-3", "alice", "key:1")), "ward-3");
}
using NamesById = std::map<std::uint64_t, std::string>;

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
      (NamesById{{0, "local"}, {tenant_number("it"), "it"}, {tenant_number("ward-3"), "ward-3"}}));
  book.leave("ward-3");
  EXPECT_TRUE(book.enter("ward-3", 2));
  book.leave("ward-3");
  book.leave("ward-3");
  EXPECT_EQ(book.requests_of("ward-3"), 0U);
  EXPECT_EQ(book.names(), (NamesById{{0, "local"}, {tenant_number("it"), "it"}}));
  EXPECT_NE(tenant_number("ward-3"), 0U);
}

}  // namespace
}  // namespace aioss::runtime
