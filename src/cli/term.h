// What a terminal needs: colours, display widths, tables, a progress bar, and text made safe to
// print. Pure functions of their arguments; nothing here touches a terminal. Thread-safe.
//
// Model output, file metadata and ledger contents are untrusted: printed to a terminal they go
// through safe_text(), so that no escape sequence in them can move the cursor, set a title or read
// the clipboard. Pipes and files get the bytes as they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace aioss::cli {

enum class Color { kPlain, kBold, kDim, kRed, kGreen, kYellow, kCyan };
// `text` between the colour's escape sequences; as it is if !enabled.
std::string paint(std::string_view text, Color color, bool enabled);

// The code point at text[at] and its length in bytes. Malformed bytes come one at a time as U+FFFD.
struct CodePoint {
  char32_t value = 0;
  std::size_t bytes = 1;
};
CodePoint code_point_at(std::string_view text, std::size_t at);  // at < text.size()

// Cells that a terminal gives to a code point: 0 (combining, joiners), 1 or 2 (East Asian wide,
// emoji).
unsigned display_width(char32_t code_point);
std::size_t display_width(std::string_view text);
// The longest beginning of `text` that fits `columns`, ending in "…" if anything was cut.
std::string clip(std::string_view text, std::size_t columns);

// Control characters (C0, DEL, C1) and bidirectional overrides taken out; line feed and tab stay if
// `multi_line`, else they become spaces. Malformed UTF-8 becomes U+FFFD.
std::string safe_text(std::string_view text, bool multi_line);

std::string human_count(std::uint64_t count);     // "134.5 M"
std::string human_seconds(double seconds);        // "850 ms", "12.3 s"
std::string utc_time(std::int64_t unix_seconds);  // "2026-03-01 12:30:05Z"

// Columns as wide as their widest cell; the last column is clipped to what `columns_max` leaves.
class Table final {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  void add(std::vector<std::string> cells);  // one per column; made safe here
  // columns_max 0: nothing is clipped (pipes). `color`: the titles are dim.
  std::string render(std::size_t columns_max, bool color) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "loading SmolLM2  ███████░░░░░  58 %", at most `columns` wide; no line end.
std::string progress_bar(std::string_view label, float fraction, std::size_t columns);

}  // namespace aioss::cli
