#include "http/text.h"

#include <gtest/gtest.h>

#include "http/server.h"

namespace aioss::http {
namespace {

TEST(Text, DatesAreTheOnesOfTheStandard) {
  EXPECT_EQ(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");  // RFC 9110, 5.6.7
  EXPECT_EQ(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(http_date(951782400), "Tue, 29 Feb 2000 00:00:00 GMT");
  EXPECT_EQ(http_date(4102444799), "Thu, 31 Dec 2099 23:59:59 GMT");
  EXPECT_EQ(http_date(-5), "Thu, 01 Jan 1970 00:00:00 GMT");
}

TEST(Text, PathsAreDecodedOnceAndOnlyToText) {
  EXPECT_EQ(decode_path("/v1/models/a%20b"), "/v1/models/a b");
  EXPECT_EQ(decode_path("/%25%32%30"), "/%20");
  EXPECT_EQ(decode_path("/%c3%A9"), "/\xc3\xa9");
  for (const char* bad :
       {"/%", "/%2", "/%zz", "/%00", "/%0a", "/%7f", "/%c3", "/%ff", "/%ed%a0%80"}) {
    EXPECT_FALSE(decode_path(bad).has_value()) << bad;
  }
}

TEST(Text, ListsAreComparedWithoutCaseAndSpaces) {
  EXPECT_TRUE(list_has("close", "close"));
  EXPECT_TRUE(list_has("Keep-Alive ,\tCLOSE", "close"));
  EXPECT_FALSE(list_has("closed, clos", "close"));
  EXPECT_FALSE(list_has("", "close"));
}

TEST(Host, OnlyLoopbackNamesAreLoopback) {
  for (const char* host :
       {"localhost", "LocalHost:8080", "127.0.0.1", "127.0.0.1:1", "127.255.3.4:65535", "[::1]",
        "[::1]:80", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]:80"}) {
    EXPECT_TRUE(host_is_loopback(host)) << host;
  }
  for (const char* host : {"",
                           "example.com",
                           "localhost.example.com",
                           "127.0.0.1.example.com",
                           "128.0.0.1",
                           "0.0.0.0",
                           "::1",
                           "[::1",
                           "[::2]",
                           "[::1]x",
                           "[::1]:",
                           "localhost:",
                           "localhost:80:80",
                           "localhost:8a",
                           "127.0.0.1:999999",
                           "127.1",
                           "2130706433",
                           "0177.0.0.1",
                           "[fe80::1%lo]",
                           " localhost",
                           "localhost ",
                           "[]",
                           "[:",
                           "evil@127.0.0.1"}) {
    EXPECT_FALSE(host_is_loopback(host)) << host;
  }
}

TEST(Host, AnAddressGoesIntoAUrl) {
  EXPECT_EQ(url_host("::1"), "[::1]");
  EXPECT_EQ(url_host("[::1]"), "[::1]");
  EXPECT_EQ(url_host("127.0.0.1"), "127.0.0.1");
  EXPECT_EQ(url_host("localhost"), "localhost");
  EXPECT_EQ(url_host(""), "");
}

}  // namespace
}  // namespace aioss::http
