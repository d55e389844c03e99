#include "base/strings.h"

#include <gtest/gtest.h>

namespace aioss {
namespace {

TEST(Strings, TrimTakesWhiteSpaceFromBothEndsOnly) {
  EXPECT_EQ(trim("  a b\t\n"), "a b");
  EXPECT_EQ(trim(" \n"), "");
  EXPECT_EQ(trim(""), "");
}

TEST(Strings, SplitKeepsEmptyParts) {
  EXPECT_EQ(split("a,,b", ','), (std::vector<std::string_view>{"a", "", "b"}));
  EXPECT_EQ(split("", ','), (std::vector<std::string_view>{""}));
  EXPECT_EQ(split(",", ','), (std::vector<std::string_view>{"", ""}));
}

TEST(Strings, ParseU64TakesDigitsAndNothingElse) {
  EXPECT_EQ(parse_u64("0"), 0u);
  EXPECT_EQ(parse_u64("18446744073709551615"), 18446744073709551615U);
  for (const char* bad : {"", "18446744073709551616", "-1", "+1", " 1", "1 ", "0x1", "1.0"}) {
    EXPECT_EQ(parse_u64(bad), std::nullopt) << bad;
  }
}

TEST(Strings, OneLineLetsNothingMoveTheCursor) {
  EXPECT_EQ(one_line("a\nb\tc\rd"), "a\\nb\\tc\\rd");
  EXPECT_EQ(one_line("\x1b[2J"), "\\x1b[2J");
  EXPECT_EQ(one_line("\x7f"), "\\x7f");
  EXPECT_EQ(one_line("\xc2\x9b"
                     "31m"),
            "\\x9b31m");  // a C1 control in UTF-8
  EXPECT_EQ(one_line("Zürich 東京"), "Zürich 東京");
}

TEST(Strings, InvalidUtf8BecomesReplacementCharacters) {
  constexpr const char* kBad = "\xEF\xBF\xBD";
  EXPECT_EQ(replace_invalid_utf8("Zürich 東京 😀"), "Zürich 東京 😀");
  EXPECT_EQ(replace_invalid_utf8("\xff"), kBad);
  EXPECT_EQ(replace_invalid_utf8("a\xc3"), std::string("a") + kBad);      // cut short
  EXPECT_EQ(replace_invalid_utf8("\xc0\x80"), std::string(kBad) + kBad);  // overlong
  EXPECT_EQ(replace_invalid_utf8("\xe0\x9f\xbf"), std::string(kBad) + kBad + kBad);
  EXPECT_EQ(replace_invalid_utf8("\xed\xa0\x80"), std::string(kBad) + kBad + kBad);  // surrogate
  EXPECT_EQ(replace_invalid_utf8("\xf4\x90\x80\x80"), std::string(kBad) + kBad + kBad + kBad);
  EXPECT_EQ(replace_invalid_utf8("\xf4\x8f\xbf\xbf"), "\xf4\x8f\xbf\xbf");  // U+10FFFF
}

TEST(Strings, BytesAsPeopleWriteThem) {
  EXPECT_EQ(parse_bytes("0"), 0U);
  EXPECT_EQ(parse_bytes("1024"), 1024U);
  EXPECT_EQ(parse_bytes("8GiB"), std::uint64_t{8} << 30);
  EXPECT_EQ(parse_bytes(" 8 gib "), std::uint64_t{8} << 30);
  EXPECT_EQ(parse_bytes("8G"), std::uint64_t{8} << 30);
  EXPECT_EQ(parse_bytes("512MB"), 512'000'000U);
  EXPECT_EQ(parse_bytes("3kB"), 3'000U);
  for (const char* bad : {"", "GiB", "-1", "1.5GiB", "8GiBs", "8 G B", "99999999999TiB", "0x10"}) {
    EXPECT_FALSE(parse_bytes(bad)) << bad;
  }
}

TEST(Strings, HumanBytes) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1000), "1.00 kB");
  EXPECT_EQ(human_bytes(98362432), "98.4 MB");
  EXPECT_EQ(human_bytes(999'950'000), "1.00 GB");
  EXPECT_EQ(human_bytes(18446744073709551615U), "18.4 EB");
}

}  // namespace
}  // namespace aioss
