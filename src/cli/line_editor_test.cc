#include "cli/line_editor.h"

#include <gtest/gtest.h>

#include <random>

#include "cli/term.h"
#include "codec/utf8.h"

namespace aioss::cli {
namespace {

using Event = LineEditor::Event;

// A terminal of a few cells, enough to see whether what draw() writes comes out right: a wrap that
// is pending at the right edge, erasing below, and moves up and right.
class Screen {
 public:
  explicit Screen(std::size_t columns) : columns_(columns) {}

  void write(std::string_view bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
      if (bytes[at] == '\x1b') {
        at = escape(bytes, at + 2);
        continue;
      }
      const CodePoint point = code_point_at(bytes, at);
      if (bytes[at] == '\n') {
        ++row_;  // with output processing on, \n alone returns the carriage too
        column_ = 0;
      } else if (bytes[at] == '\r') {
        column_ = 0;
      } else {
        put(bytes.substr(at, point.bytes), display_width(point.value));
      }
      at += point.bytes;
    }
  }

  std::string line(std::size_t row) const {
    std::string out;
    if (row < rows_.size()) {
      for (const std::string& cell : rows_[row]) out += cell;
    }
    while (!out.empty() && out.back() == ' ') out.pop_back();
    return out;
  }
  ScreenPosition cursor() const { return {row_, column_}; }

 private:
  void put(std::string_view character, std::size_t width) {
    if (width == 0) return;
    if (column_ + width > columns_) ++row_, column_ = 0;
    if (rows_.size() <= row_) rows_.resize(row_ + 1);
    auto& cells = rows_[row_];
    if (cells.size() < column_ + width) cells.resize(column_ + width, " ");
    cells[column_] = character;
    if (width == 2) cells[column_ + 1] = "";
    column_ += width;
  }
  std::size_t escape(std::string_view bytes, std::size_t at) {
    std::size_t number = 0;
    while (bytes[at] >= '0' && bytes[at] <= '9') {
      number = number * 10 + static_cast<std::size_t>(bytes[at++] - '0');
    }
    const char kind = bytes[at];
    if (kind == 'A') row_ -= std::min(row_, number);
    if (kind == 'B') row_ += number;
    if (kind == 'C') column_ = std::min(columns_ - 1, column_ + number);
    if (kind == 'J') {
      if (rows_.size() > row_ + 1) rows_.resize(row_ + 1);
      if (rows_.size() > row_) rows_[row_].resize(std::min(rows_[row_].size(), column_));
    }
    return at + 1;
  }

  const std::size_t columns_;
  std::vector<std::vector<std::string>> rows_;
  std::size_t row_ = 0, column_ = 0;
};

class LineEditorTest : public testing::Test {
 protected:
  Event type(std::string_view bytes) {
    Event last = Event::kNone;
    for (const char c : bytes) last = editor_.feed(static_cast<unsigned char>(c));
    return last;
  }
  // The text with the cursor as '|'.
  std::string state() const {
    std::string out = editor_.text();
    return out.insert(editor_.cursor(), "|");
  }
  LineEditor editor_{"> ", ". "};
};

TEST_F(LineEditorTest, EditsByKeys) {
  struct Case {
    std::string_view keys, state;
  };
  const std::vector<Case> cases{
      {"hello", "hello|"},
      {"hello\x1b[D\x1b[DX", "helX|lo"},
      {"hello\x1bOD\x1bOC!", "hello!|"},
      {"hello\x01X", "X|hello"},
      {"hello\x1b[HX\x1b[FY", "XhelloY|"},
      {"hello\x1b[1~X\x1b[4~Y", "XhelloY|"},
      {"hello\x1b[7~X\x1b[8~Y", "XhelloY|"},
      {"hello\x01\x05X", "helloX|"},
      {"hello\x7f", "hell|"},
      {"hello\x08", "hell|"},
      {"\x7f\x1b[D\x1b[C\x1b[3~", "|"},
      {"hello\x01\x1b[3~", "|ello"},
      {"hello\x01\x04", "|ello"},
      {"one two\x17", "one |"},
      {"one two  \x17", "one |"},
      {"one two\x15", "|"},
      {"one two\x01\x06\x06\x0b", "on|"},
      {"one two\x17\x19\x19", "one twotwo|"},
      {"one two\x1b"
       "b\x1b"
       "bX",
       "X|one two"},
      {"one two\x01\x1b"
       "fX",
       "oneX| two"},
      {"one two\x01\x1b[1;5CX\x1b[1;5DY", "Y|oneX two"},
      {"one two\x01\x1b"
       "d",
       "| two"},
      {"a\tb", "a  b|"},
      {"\x1b[5~\x1b[15;2~x", "x|"},  // keys without a meaning
      {"\x1bx", "x|"},               // the Esc key, then a letter
      {"\x1b\x7f", "|"},
      {"ab\x1b\x01X", "X|ab"},  // the Esc key, then Ctrl-A
      {"\x1b\x1b[Dx", "x|"},
  };
  for (const Case& c : cases) {
    editor_.clear();
    type(c.keys);
    EXPECT_EQ(state(), c.state) << testing::PrintToString(c.keys);
  }
}

TEST_F(LineEditorTest, MovesOverWholeCharacters) {
  type("aé日e\u0301👩\u200D💻");
  std::vector<std::size_t> stops{editor_.cursor()};
  while (editor_.cursor() > 0) {
    type("\x1b[D");
    stops.push_back(editor_.cursor());
  }
  EXPECT_EQ(stops, (std::vector<std::size_t>{20, 9, 6, 3, 1, 0}));
  type("\x1b[C\x1b[C\x1b[C\x1b[C\x7f");
  EXPECT_EQ(state(), "aé日|👩\u200D💻");
}

TEST_F(LineEditorTest, TakesOnlyWholeUtf8) {
  type("a\xC3");
  EXPECT_EQ(editor_.text(), "a");
  type("\xA9");
  EXPECT_EQ(editor_.text(), "aé");
  type(
      "\xC3"
      "b\xFF\x80\xE2\x82"
      "c\xC2\x9B"
      "d");  // cut short, stray, cut short, a C1 control
  EXPECT_EQ(editor_.text(), "aébcd");
}

TEST_F(LineEditorTest, ReportsEvents) {
  EXPECT_EQ(type("x\x04"), Event::kNone);
  EXPECT_EQ(type("\x03"), Event::kInterrupt);
  EXPECT_EQ(type("\x0c"), Event::kClear);
  editor_.clear();
  EXPECT_EQ(type("\x04"), Event::kEnd);
  EXPECT_EQ(type("hi\r"), Event::kSubmit);
  EXPECT_EQ(editor_.take_line(), "hi");
  EXPECT_EQ(editor_.text(), "");
}

TEST_F(LineEditorTest, GoesOnAfterABackslash) {
  EXPECT_EQ(type("one\\\r"), Event::kNone);
  EXPECT_EQ(type("two\r"), Event::kSubmit);
  EXPECT_EQ(editor_.take_line(), "one\ntwo");
  EXPECT_EQ(type("a\x1b\rb\r"), Event::kSubmit);  // Alt-Enter
  EXPECT_EQ(editor_.take_line(), "a\nb");
}

TEST_F(LineEditorTest, PastesWithoutObeying) {
  type("\x1b[200~one\rtwo\tthree\x1b[2Dé\x1b\x1b[201~!");
  EXPECT_EQ(editor_.text(), "one\ntwo  three[2Dé!");
}

TEST_F(LineEditorTest, CtrlCLeavesAPasteThatNeverEnds) {
  type("\x1b[200~text");
  EXPECT_EQ(type("\x03"), Event::kInterrupt);
  EXPECT_EQ(type("\r"), Event::kSubmit);
}

TEST_F(LineEditorTest, GoesThroughHistoryAndBackToTheDraft) {
  for (const std::string_view line : {"first\r", "second\r", "second\r", "   \r"}) {
    type(line);
    editor_.take_line();
  }
  type("draft\x1b[A");
  EXPECT_EQ(editor_.text(), "second");
  type("\x1b[A");
  EXPECT_EQ(editor_.text(), "first");  // a repeated line is there once, a blank one not at all
  type("\x1b[A");
  EXPECT_EQ(editor_.text(), "first");
  type("\x1b[B\x1b[B");
  EXPECT_EQ(editor_.text(), "draft");
  type("\x1b[B");
  EXPECT_EQ(editor_.text(), "draft");
}

TEST_F(LineEditorTest, UpAndDownMoveWithinAMessageFirst) {
  type("old\r");
  editor_.take_line();
  type("ab日cd\x1b\rxyz\x1b\rlonger row");
  type("\x1b[A");
  EXPECT_EQ(state(), "ab日cd\nxyz|\nlonger row");
  type("\x1b[D\x1b[A");
  EXPECT_EQ(state(), "ab|日cd\nxyz\nlonger row");
  type("\x1b[B\x1b[B");
  EXPECT_EQ(state(), "ab日cd\nxyz\nlo|nger row");
  type("\x1b[A\x1b[A\x1b[A");
  EXPECT_EQ(editor_.text(), "old");
}

TEST_F(LineEditorTest, HistoryAndTextAreBounded) {
  for (std::size_t i = 0; i < kHistoryLinesMax + 10; ++i) {
    type("line " + std::to_string(i) + "\r");
    editor_.take_line();
  }
  for (std::size_t i = 0; i < 2 * kHistoryLinesMax; ++i) type("\x1b[A");
  EXPECT_EQ(editor_.text(), "line 10");
  editor_.clear();
  for (std::size_t i = 0; i < kLineBytesMax + 10; ++i) editor_.feed('x');
  EXPECT_EQ(editor_.text().size(), kLineBytesMax);
}

TEST_F(LineEditorTest, DrawsWhatItHolds) {
  Screen screen(12);
  screen.write(editor_.draw(12));
  type("abcdefghij");  // with the prompt it fills the row
  screen.write(editor_.draw(12));
  EXPECT_EQ(screen.line(0), "> abcdefghij");
  EXPECT_EQ(screen.cursor(), (ScreenPosition{1, 0}));
  type("日");
  screen.write(editor_.draw(12));
  EXPECT_EQ(screen.line(1), "日");
  EXPECT_EQ(screen.cursor(), (ScreenPosition{1, 2}));
  type("\x01");
  screen.write(editor_.draw(12));
  EXPECT_EQ(screen.cursor(), (ScreenPosition{0, 2}));
  type("\x0b");
  screen.write(editor_.draw(12));
  EXPECT_EQ(screen.line(0), ">");
  EXPECT_EQ(screen.line(1), "");
}

// Whatever is typed, at any width, the screen shows the prompt, the text and the cursor between the
// same characters as in the text. 20,000 random key strokes find the off-by-ones at the right edge.
TEST_F(LineEditorTest, DrawsRandomEditsRight) {
  const std::vector<std::string> keys{
      "a",      "b",      " ",      "é",      "日",     "🦀",   "e\u0301", "\x7f", "\x01",   "\x05",
      "\x1b[D", "\x1b[C", "\x1b[A", "\x1b[B", "\x1b\r", "\x17", "c",       "d",    "\x1b[3~"};
  for (std::size_t columns = 4; columns < 24; ++columns) {
    std::mt19937 random(static_cast<unsigned>(columns));
    LineEditor editor("> ", ". ");
    Screen screen(columns);
    for (int step = 0; step < 1000; ++step) {
      for (const char c : keys[random() % keys.size()]) editor.feed(static_cast<unsigned char>(c));
      if (editor.text().size() > 200) editor.clear();
      screen.write(editor.draw(columns));
      ASSERT_TRUE(codec::is_utf8(editor.text()));
      // Draw the part before the cursor on a fresh screen: the cursor must stand where that ends.
      Screen until(columns);
      until.write("> ");
      std::string before;
      for (const char c : editor.text().substr(0, editor.cursor())) {
        before += c;
        if (c == '\n') before += ". ";
      }
      until.write(before);
      ScreenPosition want = until.cursor();
      if (want.column == columns) want = {want.row + 1, 0};
      ASSERT_EQ(screen.cursor(), want) << columns << " step " << step << " " << editor.text();
    }
  }
}

}  // namespace
}  // namespace aioss::cli
