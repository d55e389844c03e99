// hex, base64, UTF-8 and server-sent events.
#include <gtest/gtest.h>

#include "codec/base64.h"
#include "codec/hex.h"
#include "codec/sse.h"
#include "codec/utf8.h"

namespace aioss::codec {
namespace {

TEST(Hex, GoesThereAndBack) {
  EXPECT_EQ(to_hex(Bytes{0x00, 0x0F, 0xF0, 0xFF}), "000ff0ff");
  EXPECT_EQ(*from_hex("000FF0ff"), (Bytes{0x00, 0x0F, 0xF0, 0xFF}));
  for (const char* bad : {"0", "0g", " 00", "00 ", "0x00", "\xC3\xA9"}) {
    EXPECT_FALSE(from_hex(bad).has_value()) << bad;
  }
}

TEST(Base64, HasTheVectorsOfRfc4648) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    EXPECT_EQ(to_base64(as_bytes(plain)), encoded);
    const auto decoded = from_base64(encoded);
    ASSERT_TRUE(decoded.has_value()) << encoded;
    EXPECT_EQ(as_text(*decoded), plain);
  }
}

TEST(Base64, HasOneTextForEachByteString) {
  for (const char* bad : {"Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm8",
                          "Z===", "====", "Zg==Zg==", "Zm8=\n", " Zg==", "Zm-_", "Z=g="}) {
    EXPECT_FALSE(from_base64(bad).has_value()) << bad;
  }
}

const char* const kInvalid[] = {"\x80",
                                "\xC0\x80",
                                "\xC1\xBF",
                                "\xE0\x80\x80",
                                "\xED\xA0\x80",
                                "\xF0\x80\x80\x80",
                                "\xF4\x90\x80\x80",
                                "\xF5\x80\x80\x80",
                                "\xFF",
                                "\xC3(",
                                "\xE6\xB0("};

TEST(Utf8, AcceptsExactlyTheStandard) {
  for (const char* good :
       {"", "a", "\u00fc", "\u6c34", "\U00010151", "\U0010FFFF", "\uD7FF", "\uE000"}) {
    EXPECT_TRUE(is_utf8(good)) << good;
  }
  EXPECT_TRUE(is_utf8(std::string_view("\0", 1)));
  for (const char* bad : kInvalid) {
    EXPECT_FALSE(is_utf8(bad));
    EXPECT_EQ(utf8_valid_prefix(std::string("ok") + bad), 2U);
  }
}

TEST(Utf8, RepairsEachMaximalInvalidPart) {
  const std::string mark = "\uFFFD";
  EXPECT_EQ(utf8_repaired("a\x80z"), "a" + mark + "z");
  // The examples of the Unicode standard, table 3-8.
  EXPECT_EQ(utf8_repaired("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82"
                          "A"),
            mark + mark + mark + mark + mark + mark + mark + mark + "A");
  EXPECT_EQ(utf8_repaired("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF"
                          "A"),
            mark + mark + mark + mark + "A");
  for (const char* bad : kInvalid) EXPECT_TRUE(is_utf8(utf8_repaired(bad)));
}

TEST(Utf8, HoldsBackOnlyWhatCouldBecomeACharacter) {
  EXPECT_EQ(utf8_whole_prefix("ab\xE6"), 2U);
  EXPECT_EQ(utf8_whole_prefix("ab\xE6\xB0"), 2U);
  EXPECT_EQ(utf8_whole_prefix("ab\xE6\xB0\xB4"), 5U);
  EXPECT_EQ(utf8_whole_prefix("ab\xF0\x90\x85"), 2U);
  EXPECT_EQ(utf8_whole_prefix("ab\xFF"), 3U);      // never becomes anything
  EXPECT_EQ(utf8_whole_prefix("ab\xED\xA0"), 4U);  // the beginning of a surrogate
  EXPECT_EQ(utf8_whole_prefix("\x80\x80\x80\x80"), 4U);
  EXPECT_EQ(utf8_whole_prefix("\xC3\xA9\x80"), 3U);
}

// However a text is cut into pieces, what comes out is whole characters and, joined, the text.
TEST(Utf8, SplitterGivesWholeCharactersForEveryCut) {
  const std::string text = "a\u00fc\u6c34\U00010151z";
  for (std::size_t first = 0; first <= text.size(); ++first) {
    for (std::size_t second = first; second <= text.size(); ++second) {
      Utf8Splitter splitter;
      std::string out;
      for (const std::string& part :
           {text.substr(0, first), text.substr(first, second - first), text.substr(second)}) {
        const std::string piece = splitter.push(part);
        EXPECT_TRUE(is_utf8(piece));
        EXPECT_LE(splitter.held_bytes(), 3U);
        out += piece;
      }
      EXPECT_EQ(out + splitter.finish(), text);
    }
  }
  Utf8Splitter splitter;
  EXPECT_EQ(splitter.push("x\xE6\xB0"), "x");
  EXPECT_EQ(splitter.finish(), "\uFFFD");
  EXPECT_EQ(splitter.finish(), "");
}

TEST(Sse, EveryLineOfTheDataIsALineOfTheEvent) {
  EXPECT_EQ(sse_event("{}"), "data: {}\n\n");
  EXPECT_EQ(sse_event(""), "data: \n\n");
  EXPECT_EQ(sse_event("a\nb\r\nc\rd"), "data: a\ndata: b\ndata: c\ndata: d\n\n");
  EXPECT_EQ(sse_event("error", "x"), "event: error\ndata: x\n\n");
  EXPECT_EQ(sse_comment("keep-alive"), ": keep-alive\n\n");
}

}  // namespace
}  // namespace aioss::codec
