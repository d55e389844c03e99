#include "codec/sse.h"

#include "base/assert.h"

namespace aioss::codec {
namespace {

bool is_one_line(std::string_view text) {
  return text.find_first_of("\r\n") == std::string_view::npos;
}

void put_data(std::string_view data, std::string& out) {
  for (;;) {
    // A reader ends a line at CR, LF or CRLF, so each of them must become a line of its own.
    const std::size_t end = data.find_first_of("\r\n");
    out.append("data: ").append(data.substr(0, end)).push_back('\n');
    if (end == std::string_view::npos) break;
    const bool pair = data.substr(end, 2) == "\r\n";
    data.remove_prefix(end + (pair ? 2 : 1));
  }
  out.push_back('\n');
}

}  // namespace

std::string sse_event(std::string_view data) {
  std::string out;
  out.reserve(data.size() + 8);
  put_data(data, out);
  return out;
}

std::string sse_event(std::string_view name, std::string_view data) {
  ASSERT(is_one_line(name));
  std::string out;
  out.reserve(name.size() + data.size() + 16);
  out.append("event: ").append(name).push_back('\n');
  put_data(data, out);
  return out;
}

std::string sse_comment(std::string_view text) {
  ASSERT(is_one_line(text));
  return ": " + std::string(text) + "\n\n";
}

}  // namespace aioss::codec
