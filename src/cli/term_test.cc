#include "cli/term.h"

#include <gtest/gtest.h>

namespace aioss::cli {
namespace {

TEST(DisplayWidth, CountsCellsAndNotBytes) {
  struct Case {
    std::string_view text;
    std::size_t cells;
  };
  const std::vector<Case> cases{
      {"", 0},           {"abc", 3},
      {"naïve", 5},      {"e\u0301", 1},   // e and a combining acute accent
      {"日本語", 6},     {"ｆｕｌｌ", 8},  // fullwidth forms
      {"한국", 4},       {"🦀", 2},
      {"👩\u200D💻", 4},             // joined by a zero-width joiner: drawn apart by most
      {"❤\uFE0F", 1},                // a variation selector adds nothing
      {"\u200B", 0},                 // zero width space
      {"ไทย", 3},        {"ทั้ง", 2},  // with two marks above
      {"a\x01\x7f", 1},              // controls have no width
      {"\xff", 1},                   // malformed: one replacement character
  };
  for (const Case& c : cases) EXPECT_EQ(display_width(c.text), c.cells) << c.text;
}

TEST(CodePoints, MalformedBytesComeOneAtATime) {
  for (const std::string_view bad : {"\x80", "\xC0\x80", "\xC3", "\xED\xA0\x80", "\xF5\x80\x80\x80",
                                     "\xE2\x28\xA1", "\xF0\x80\x80\x80"}) {
    const CodePoint point = code_point_at(bad, 0);
    EXPECT_EQ(point.value, char32_t{0xFFFD});
    EXPECT_EQ(point.bytes, 1U);
  }
  const CodePoint crab = code_point_at("x🦀", 1);
  EXPECT_EQ(crab.value, char32_t{0x1F980});
  EXPECT_EQ(crab.bytes, 4U);
}

TEST(Clip, CutsAtCellsAndSaysSo) {
  EXPECT_EQ(clip("abcdef", 6), "abcdef");
  EXPECT_EQ(clip("abcdef", 5), "abcd…");
  EXPECT_EQ(clip("日本語", 5), "日本…");
  EXPECT_EQ(clip("日本語", 4), "日…");  // half a character does not fit
  EXPECT_EQ(clip("abc", 0), "");
  EXPECT_EQ(clip("abc", 1), "…");
}

TEST(SafeText, LeavesNothingThatMovesACursor) {
  EXPECT_EQ(safe_text("a\x1b[2Jb", true), "a[2Jb");
  EXPECT_EQ(safe_text("a\x1b]0;title\x07z", true), "a]0;titlez");
  EXPECT_EQ(safe_text("a\xC2\x9B"
                      "31mb",
                      true),
            "a31mb");  // C1: an eight-bit CSI
  EXPECT_EQ(safe_text("a\rb\bc", true), "abc");
  EXPECT_EQ(safe_text("a\nb\tc", true), "a\nb\tc");
  EXPECT_EQ(safe_text("a\nb\tc", false), "a b c");
  EXPECT_EQ(safe_text("a\u202Eb\u2066c", true), "abc");
  EXPECT_EQ(safe_text("a\xFF"
                      "b",
                      true),
            "a\uFFFD"
            "b");
  EXPECT_EQ(safe_text("日本 👩\u200D💻 e\u0301", true), "日本 👩\u200D💻 e\u0301");
}

TEST(Paint, NeedsColour) {
  EXPECT_EQ(paint("x", Color::kRed, false), "x");
  EXPECT_EQ(paint("x", Color::kRed, true), "\x1b[31mx\x1b[0m");
  EXPECT_EQ(paint("", Color::kRed, true), "");
}

TEST(Human, CountsAndTimes) {
  EXPECT_EQ(human_count(0), "0");
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(134'515'008), "134.5 M");
  EXPECT_EQ(human_count(999'999), "1.0 M");
  EXPECT_EQ(human_seconds(0.85), "850 ms");
  EXPECT_EQ(human_seconds(0.9999), "1.0 s");
  EXPECT_EQ(human_seconds(12.34), "12.3 s");
  EXPECT_EQ(human_seconds(600), "10.0 min");
}

TEST(UtcTime, KnowsLeapYearsAndTheTimeBefore1970) {
  EXPECT_EQ(utc_time(0), "1970-01-01 00:00:00Z");
  EXPECT_EQ(utc_time(951'782'400), "2000-02-29 00:00:00Z");
  EXPECT_EQ(utc_time(1'772'454'605), "2026-03-02 12:30:05Z");
  EXPECT_EQ(utc_time(4'107'542'399), "2100-02-28 23:59:59Z");
  EXPECT_EQ(utc_time(4'107'542'400), "2100-03-01 00:00:00Z");  // no leap year
  EXPECT_EQ(utc_time(-1), "1969-12-31 23:59:59Z");
}

TEST(Tables, AlignByCellsAndClipTheLastColumn) {
  Table table({{"NAME"}, {"SIZE", Table::Align::kRight}, {"NOTE"}});
  table.add({"日本", "5 B", "short"});
  table.add({"model", "100 MB", "a note that is long\nand has a line end"});
  EXPECT_EQ(table.render(0, false),
            "NAME     SIZE  NOTE\n"
            "日本      5 B  short\n"
            "model  100 MB  a note that is long and has a line end\n");
  EXPECT_EQ(table.render(24, false),
            "NAME     SIZE  NOTE\n"
            "日本      5 B  short\n"
            "model  100 MB  a note t…\n");
  EXPECT_EQ(table.render(0, true).substr(0, 4), "\x1b[2m");
}

TEST(Tables, CellsCannotCarryEscapes) {
  Table table({{"NAME"}});
  table.add({"x\x1b[31my"});
  EXPECT_EQ(table.render(0, false), "NAME\nx[31my\n");
}

TEST(ProgressBar, FitsTheTerminalWhateverItsWidth) {
  for (std::size_t columns = 0; columns < 120; ++columns) {
    for (const float fraction : {-1.0F, 0.0F, 0.5F, 1.0F, 7.0F}) {
      const std::string bar = progress_bar("loading 日本語-model", fraction, columns);
      const std::size_t limit = std::max<std::size_t>(columns, 1);
      EXPECT_LT(display_width(bar), limit) << columns << " " << fraction;
    }
  }
  EXPECT_EQ(progress_bar("load", 0.5F, 26), "load ███████░░░░░░░  50 %");
  EXPECT_TRUE(progress_bar("load", 1.0F, 40).ends_with("100 %"));
}

}  // namespace
}  // namespace aioss::cli
