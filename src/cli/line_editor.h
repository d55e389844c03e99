// A small line editor for the interactive chat: bytes from a raw terminal go in, edits and events
// come out, and what to draw is computed as text. It touches no terminal itself (the chat does), so
// it can be driven by byte strings. One thread.
//
// Bounded: the text by kLineBytesMax, the history by kHistoryLinesMax. History is kept in memory
// only: prompts may be secrets, and a history file would be a copy of them that nobody asked for.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace aioss::cli {

// A long pasted document fits; what a model of 128 k tokens could read is about this much text.
inline constexpr std::size_t kLineBytesMax = 1 << 20;
// As many turns as a person goes back through by hand.
inline constexpr std::size_t kHistoryLinesMax = 500;

// Where the terminal's cursor stands after a text was drawn from column 0: rows below and column.
struct ScreenPosition {
  std::size_t row = 0, column = 0;
  bool operator==(const ScreenPosition&) const = default;
};

class LineEditor final {
 public:
  enum class Event {
    kNone,       // no more than the text may have changed: draw again
    kSubmit,     // Enter: take_line()
    kInterrupt,  // Ctrl-C
    kEnd,        // Ctrl-D on an empty line
    kClear,      // Ctrl-L: clear the screen, then draw again
  };

  // `prompt` stands before the first row, `continuation` (of the same width) before the others.
  LineEditor(std::string prompt, std::string continuation)
      : prompt_(std::move(prompt)), continuation_(std::move(continuation)) {}

  // Takes one byte. Incomplete escape sequences and UTF-8 characters wait for the next byte.
  Event feed(unsigned char byte);
  const std::string& text() const { return text_; }
  std::size_t cursor() const { return cursor_; }  // byte offset into text()
  // The text; the editor is empty afterwards. Lines that are not blank enter the history.
  std::string take_line();
  void clear();  // the text, not the history

  // What to write so that a terminal of `columns` shows the line and the cursor. Begins from
  // wherever the last draw() left the cursor.
  std::string draw(std::size_t columns);
  // Moves below the line and forgets that it was drawn.
  std::string finish(std::size_t columns);
  void forget_drawing() { drawn_ = {}; }  // somebody else moved the cursor to a fresh row

 private:
  Event on_key(unsigned char byte);
  Event on_escape(unsigned char byte);
  void on_sequence(std::string_view sequence);
  void on_paste(unsigned char byte);
  Event on_enter();
  void insert(std::string_view bytes);
  void insert_utf8(unsigned char byte);
  void erase(std::size_t from, std::size_t to);
  std::size_t before(std::size_t at) const;  // start of the character (with its marks) before
  std::size_t after(std::size_t at) const;
  std::size_t word_before(std::size_t at) const;
  std::size_t word_after(std::size_t at) const;
  std::size_t row_start(std::size_t at) const;
  std::size_t row_end(std::size_t at) const;
  void move_history(int step);
  void move_vertically(int step);
  ScreenPosition position_of(std::size_t offset, std::size_t columns) const;
  std::string body() const;

  const std::string prompt_, continuation_;
  std::string text_;
  std::size_t cursor_ = 0;
  std::string escape_;   // an unfinished escape sequence, from its ESC
  std::string partial_;  // an unfinished UTF-8 character
  std::string killed_;   // by Ctrl-K, Ctrl-U, Ctrl-W; Ctrl-Y brings it back
  bool pasting_ = false;
  std::deque<std::string> history_;
  std::optional<std::size_t> recalled_;  // index into history_, nothing while on the draft
  std::string draft_;
  ScreenPosition drawn_;  // where draw() left the cursor
};

}  // namespace aioss::cli
