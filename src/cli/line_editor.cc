#include "cli/line_editor.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/assert.h"
#include "cli/term.h"

namespace aioss::cli {
namespace {

constexpr unsigned char kEsc = 0x1B;
constexpr unsigned char kBackspace = 0x7F;
constexpr char32_t kZeroWidthJoiner = 0x200D;
constexpr std::string_view kPasteEnd = "\x1b[201~";
// The longest sequence that means something is 6 bytes; what is longer is skipped to its end.
constexpr std::size_t kEscapeBytesMax = 32;

// A prompt and a wide character; narrower terminals are drawn as if they were this wide.
constexpr std::size_t kColumnsMin = 4;

constexpr unsigned char ctrl(char letter) {
  return static_cast<unsigned char>(letter & 0x1F);
}

std::size_t utf8_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\t';
}

}  // namespace

LineEditor::Event LineEditor::feed(unsigned char byte) {
  if (pasting_ && byte == ctrl('C')) {  // the way out if the end mark never comes
    pasting_ = false;
    escape_.clear();
    return Event::kInterrupt;
  }
  if (pasting_) {
    on_paste(byte);
    return Event::kNone;
  }
  if (!escape_.empty()) return on_escape(byte);
  if (byte == kEsc) {
    partial_.clear();
    escape_.assign(1, static_cast<char>(byte));
    return Event::kNone;
  }
  if (byte >= 0x80 || !partial_.empty()) {
    insert_utf8(byte);
    return Event::kNone;
  }
  return on_key(byte);
}

LineEditor::Event LineEditor::on_key(unsigned char byte) {
  switch (byte) {
    case '\r':
    case '\n':
      return on_enter();
    case ctrl('C'):
      return Event::kInterrupt;
    case ctrl('L'):
      return Event::kClear;
    case ctrl('D'):
      if (text_.empty()) return Event::kEnd;
      erase(cursor_, after(cursor_));
      break;
    case ctrl('A'):
      cursor_ = row_start(cursor_);
      break;
    case ctrl('E'):
      cursor_ = row_end(cursor_);
      break;
    case ctrl('B'):
      cursor_ = before(cursor_);
      break;
    case ctrl('F'):
      cursor_ = after(cursor_);
      break;
    case ctrl('P'):
      move_vertically(-1);
      break;
    case ctrl('N'):
      move_vertically(1);
      break;
    case ctrl('H'):
    case kBackspace:
      erase(before(cursor_), cursor_);
      break;
    case ctrl('U'):
      killed_ = text_.substr(0, cursor_);
      erase(0, cursor_);
      break;
    case ctrl('K'):
      killed_ = text_.substr(cursor_);
      erase(cursor_, text_.size());
      break;
    case ctrl('W'):
      killed_ = text_.substr(word_before(cursor_), cursor_ - word_before(cursor_));
      erase(word_before(cursor_), cursor_);
      break;
    case ctrl('Y'):
      insert(std::string(killed_));
      break;
    case '\t':
      insert("  ");
      break;
    default:
      if (byte >= 0x20) insert(std::string_view(reinterpret_cast<const char*>(&byte), 1));
  }
  return Event::kNone;
}

LineEditor::Event LineEditor::on_enter() {
  // A backslash before Enter continues the message on a new row.
  if (cursor_ == text_.size() && !text_.empty() && text_.back() == '\\') {
    text_.back() = '\n';
    return Event::kNone;
  }
  cursor_ = text_.size();
  return Event::kSubmit;
}

LineEditor::Event LineEditor::on_escape(unsigned char byte) {
  if (byte == kEsc) {  // the one before was a lone Esc key
    escape_.assign(1, static_cast<char>(byte));
    return Event::kNone;
  }
  if (byte < 0x20 && byte != '\r' && byte != '\n') {  // so was it before a control key
    escape_.clear();
    return on_key(byte);
  }
  escape_ += static_cast<char>(byte);
  if (escape_.size() == 2) {
    if (byte == '[' || byte == 'O') return Event::kNone;  // CSI or SS3: more to come
    on_sequence(std::exchange(escape_, {}));
    return Event::kNone;
  }
  const bool final_byte = byte >= 0x40 && byte <= 0x7E;
  if (!final_byte) {
    if (escape_.size() > kEscapeBytesMax) escape_.resize(kEscapeBytesMax);
    return Event::kNone;
  }
  on_sequence(std::exchange(escape_, {}));
  return Event::kNone;
}

void LineEditor::on_sequence(std::string_view sequence) {
  const auto is = [&](std::initializer_list<std::string_view> forms) {
    return std::any_of(forms.begin(), forms.end(),
                       [&](std::string_view form) { return sequence.substr(1) == form; });
  };
  if (is({"[D", "OD"})) {
    cursor_ = before(cursor_);
  } else if (is({"[C", "OC"})) {
    cursor_ = after(cursor_);
  } else if (is({"[A", "OA"})) {
    move_vertically(-1);
  } else if (is({"[B", "OB"})) {
    move_vertically(1);
  } else if (is({"[H", "OH", "[1~", "[7~"})) {
    cursor_ = row_start(cursor_);
  } else if (is({"[F", "OF", "[4~", "[8~"})) {
    cursor_ = row_end(cursor_);
  } else if (is({"[3~"})) {
    erase(cursor_, after(cursor_));
  } else if (is({"b", "[1;5D", "[1;3D"})) {
    cursor_ = word_before(cursor_);
  } else if (is({"f", "[1;5C", "[1;3C"})) {
    cursor_ = word_after(cursor_);
  } else if (is({"d"})) {
    erase(cursor_, word_after(cursor_));
  } else if (is({"\x7f"})) {
    erase(word_before(cursor_), cursor_);
  } else if (is({"\r", "\n"})) {  // Alt-Enter
    insert("\n");
  } else if (is({"[200~"})) {
    pasting_ = true;
  } else if (sequence.size() == 2 && sequence[1] >= 0x20 && sequence[1] < 0x7F) {
    insert(sequence.substr(1));  // the Esc key means nothing; what follows it is typed text
  }
}

// Between the brackets everything is text: an escape sequence in what was copied does nothing.
void LineEditor::on_paste(unsigned char byte) {
  escape_ += static_cast<char>(byte);
  if (escape_ == kPasteEnd) {
    pasting_ = false;
    escape_.clear();
    partial_.clear();
    return;
  }
  if (kPasteEnd.starts_with(escape_)) return;
  const std::string pending = std::exchange(escape_, {});
  for (std::size_t i = 0; i < pending.size(); ++i) {
    const auto c = static_cast<unsigned char>(pending[i]);
    if (i > 0 && c == kEsc) {  // may begin the end mark
      escape_ = pending.substr(i);
      if (kPasteEnd.starts_with(escape_)) return;
      escape_.clear();
    }
    if (c >= 0x80 || !partial_.empty()) {
      insert_utf8(c);
    } else if (c == '\r' || c == '\n') {
      insert("\n");
    } else if (c == '\t') {
      insert("  ");
    } else if (c >= 0x20 && c != kBackspace) {
      insert(std::string_view(reinterpret_cast<const char*>(&c), 1));
    }
  }
}

void LineEditor::insert(std::string_view bytes) {
  if (text_.size() + bytes.size() > kLineBytesMax) return;
  text_.insert(cursor_, bytes);
  cursor_ += bytes.size();
  recalled_.reset();
}

// Malformed bytes are dropped: what reaches the model is UTF-8.
void LineEditor::insert_utf8(unsigned char byte) {
  const bool continuation = (byte & 0xC0) == 0x80;
  if (!partial_.empty() && !continuation) {
    partial_.clear();
    feed(byte);
    return;
  }
  partial_ += static_cast<char>(byte);
  const std::size_t length = utf8_length(static_cast<unsigned char>(partial_.front()));
  if (length == 0) {
    partial_.clear();
    return;
  }
  if (partial_.size() < length) return;
  const std::string whole = std::exchange(partial_, {});
  const CodePoint point = code_point_at(whole, 0);
  const bool valid = point.bytes == whole.size();
  const bool c1_control = point.value >= 0x80 && point.value < 0xA0;
  if (valid && !c1_control) insert(whole);
}

void LineEditor::erase(std::size_t from, std::size_t to) {
  ASSERT(from <= to && to <= text_.size());
  text_.erase(from, to - from);
  if (cursor_ >= to) {
    cursor_ -= to - from;
  } else if (cursor_ > from) {
    cursor_ = from;
  }
  recalled_.reset();
}

// One step is a character as a person sees it: a base with its marks, and what a joiner joins.
std::size_t LineEditor::after(std::size_t at) const {
  if (at >= text_.size()) return text_.size();
  CodePoint point = code_point_at(text_, at);
  at += point.bytes;
  while (at < text_.size()) {
    const CodePoint next = code_point_at(text_, at);
    const bool mark = next.value != '\n' && display_width(next.value) == 0;
    if (!mark && point.value != kZeroWidthJoiner) break;
    at += next.bytes;
    point = next;
  }
  return at;
}

std::size_t LineEditor::before(std::size_t at) const {
  // From the start of the row, so that joined characters are cut where after() cuts them.
  std::size_t start = row_start(at);
  if (start == at) return at == 0 ? 0 : at - 1;  // over the line feed
  for (;;) {
    const std::size_t next = after(start);
    if (next >= at) return start;
    start = next;
  }
}

std::size_t LineEditor::word_before(std::size_t at) const {
  while (at > 0 && is_space(text_[at - 1])) --at;
  while (at > 0 && !is_space(text_[at - 1])) --at;
  return at;
}

std::size_t LineEditor::word_after(std::size_t at) const {
  while (at < text_.size() && is_space(text_[at])) ++at;
  while (at < text_.size() && !is_space(text_[at])) ++at;
  return at;
}

std::size_t LineEditor::row_start(std::size_t at) const {
  while (at > 0 && text_[at - 1] != '\n') --at;
  return at;
}

std::size_t LineEditor::row_end(std::size_t at) const {
  while (at < text_.size() && text_[at] != '\n') ++at;
  return at;
}

// Within a message of several rows up and down move between its rows; at its edge, through the
// history.
void LineEditor::move_vertically(int step) {
  const std::size_t start = row_start(cursor_);
  const std::size_t end = row_end(cursor_);
  const std::size_t column = display_width(std::string_view(text_).substr(start, cursor_ - start));
  if ((step < 0 && start == 0) || (step > 0 && end == text_.size())) {
    move_history(step);
    return;
  }
  std::size_t at = step < 0 ? row_start(start - 1) : end + 1;
  const std::size_t limit = row_end(at);
  for (std::size_t width = 0; at < limit;) {
    const std::size_t next = after(at);
    width += display_width(std::string_view(text_).substr(at, next - at));
    if (width > column) break;
    at = next;
  }
  cursor_ = at;
}

void LineEditor::move_history(int step) {
  if (history_.empty()) return;
  std::size_t at = recalled_.value_or(history_.size());
  if (step < 0) {
    if (at == 0) return;
    if (!recalled_) draft_ = text_;
    --at;
  } else {
    if (!recalled_) return;
    ++at;
  }
  const bool on_draft = at == history_.size();
  text_ = on_draft ? draft_ : history_[at];
  cursor_ = text_.size();
  recalled_ = on_draft ? std::nullopt : std::optional(at);
}

std::string LineEditor::take_line() {
  std::string line = std::exchange(text_, {});
  clear();
  const bool blank = std::all_of(line.begin(), line.end(), is_space);
  const bool repeated = !history_.empty() && history_.back() == line;
  if (!blank && !repeated) {
    history_.push_back(line);
    if (history_.size() > kHistoryLinesMax) history_.pop_front();
  }
  return line;
}

void LineEditor::clear() {
  text_.clear();
  partial_.clear();
  escape_.clear();
  draft_.clear();
  cursor_ = 0;
  recalled_.reset();
}

std::string LineEditor::body() const {
  std::string out = prompt_;
  for (const char c : text_) {
    out += c;
    if (c == '\n') out += continuation_;
  }
  return out;
}

// A terminal wraps before a character that does not fit; draw() writes that wrap itself as a line
// end when the text fills a row exactly, so that both agree on where the cursor is.
ScreenPosition LineEditor::position_of(std::size_t offset, std::size_t columns) const {
  ScreenPosition at;
  const std::size_t indent = display_width(continuation_);
  at.row = display_width(prompt_) / columns;
  at.column = display_width(prompt_) % columns;
  for (std::size_t i = 0; i < offset;) {
    const CodePoint point = code_point_at(text_, i);
    i += point.bytes;
    if (point.value == '\n') {
      at.row += 1 + indent / columns;
      at.column = indent % columns;
      continue;
    }
    const std::size_t width = display_width(point.value);
    if (at.column + width > columns) at = {at.row + 1, 0};
    at.column += width;
  }
  // Full row: the cursor is shown at the beginning of the next.
  if (at.column == columns) at = {at.row + 1, 0};
  return at;
}

std::string LineEditor::draw(std::size_t columns) {
  columns = std::max(columns, kColumnsMin);
  std::string out;
  if (drawn_.row > 0) out += "\x1b[" + std::to_string(drawn_.row) + "A";
  out += "\r\x1b[J";
  for (const char c : body()) {
    if (c == '\n') out += '\r';
    out += c;
  }
  const ScreenPosition end = position_of(text_.size(), columns);
  const ScreenPosition want = position_of(cursor_, columns);
  if (end.column == 0 && !text_.empty() && text_.back() != '\n') out += "\r\n";
  if (end.row > want.row) out += "\x1b[" + std::to_string(end.row - want.row) + "A";
  out += '\r';
  if (want.column > 0) out += "\x1b[" + std::to_string(want.column) + "C";
  drawn_ = want;
  return out;
}

std::string LineEditor::finish(std::size_t columns) {
  columns = std::max(columns, kColumnsMin);
  const ScreenPosition end = position_of(text_.size(), columns);
  std::string out;
  if (end.row > drawn_.row) out += "\x1b[" + std::to_string(end.row - drawn_.row) + "B";
  out += "\r\n";
  drawn_ = {};
  return out;
}

}  // namespace aioss::cli
