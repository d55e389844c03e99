#include "http/answer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/assert.h"
#include "base/clock.h"
#include "http/text.h"
#include "os/clock.h"

namespace aioss::http {
namespace {

Error client_is_gone() {
  return {Code::kCancelled, "the client closed the connection"};
}

// Ours to say, whatever the handler puts there.
bool is_framing_field(std::string_view name) {
  return iequals(name, "Content-Length") || iequals(name, "Transfer-Encoding") ||
         iequals(name, "Connection") || iequals(name, "Keep-Alive") || iequals(name, "Date");
}

// A value from anywhere must not begin a new line of the head.
void append_value(std::string& out, std::string_view value) {
  for (const char c : value) out.push_back(is_field_value({&c, 1}) ? c : ' ');
}

bool has_no_body(int status) {
  return status < 200 || status == 204 || status == 304;
}

// HTTP/1.1 keeps connections without a word; how long is worth one. Rounded down: the client must
// never count on more than it has.
std::string kept_open(std::chrono::milliseconds idle_timeout) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(idle_timeout).count();
  std::string fields = "\r\nConnection: keep-alive";
  if (seconds > 0) fields += "\r\nKeep-Alive: timeout=" + std::to_string(seconds);
  return fields;
}

std::string hex(std::size_t number) {
  std::array<char, 16> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, 16).ptr;
  return {digits.data(), end};
}

}  // namespace

std::string Answer::head(int status, const Headers& headers, Framing framing,
                         std::size_t body_bytes) {
  const bool asked_to_close = std::any_of(headers.begin(), headers.end(), [](const auto& header) {
    return iequals(header.first, "Connection") && list_has(header.second, "close");
  });
  keep_open_ =
      rules_.keep_alive && !stopping_ && !asked_to_close && framing != Framing::kUntilClose;
  std::string out;
  out.reserve(512);
  out += "HTTP/1.1 " + std::to_string(status) + " ";
  out += reason_phrase(status);
  out += "\r\nDate: " + http_date(os::SystemClock().wall_ns() / kNsPerSecond);
  for (const auto& [name, value] : headers) {
    if (is_framing_field(name)) continue;
    ASSERT(is_token(name));
    out += "\r\n" + name + ": ";
    append_value(out, value);
  }
  if (framing == Framing::kLength) out += "\r\nContent-Length: " + std::to_string(body_bytes);
  if (framing == Framing::kChunked) out += "\r\nTransfer-Encoding: chunked";
  out += keep_open_ ? kept_open(limits_.idle_timeout) : "\r\nConnection: close";
  out += "\r\n\r\n";
  return out;
}

net::awaitable<Status> Answer::put(std::string bytes) {
  const bool written = co_await transport_.write_all(std::move(bytes), limits_.write_timeout);
  if (!written) co_return client_is_gone();
  co_return ok();
}

net::awaitable<Status> Answer::send(Response response) {
  ASSERT(phase_ == Phase::kFresh);
  phase_ = Phase::kDone;
  const Framing framing = has_no_body(response.status) ? Framing::kNone : Framing::kLength;
  std::string bytes = head(response.status, response.headers, framing, response.body.size());
  if (framing == Framing::kLength && !rules_.is_head) bytes += response.body;
  co_return co_await put(std::move(bytes));
}

net::awaitable<Status> Answer::begin(int status, Headers headers) {
  ASSERT(phase_ == Phase::kFresh);
  ASSERT(!has_no_body(status));
  phase_ = Phase::kStreaming;
  framing_ = rules_.http_1_0 ? Framing::kUntilClose : Framing::kChunked;
  std::string bytes = head(status, headers, framing_, 0);
  if (rules_.is_head) framing_ = Framing::kNone;
  co_return co_await put(std::move(bytes));
}

net::awaitable<Status> Answer::write(std::string bytes) {
  ASSERT(phase_ == Phase::kStreaming);
  if (transport_.gone()) co_return client_is_gone();
  // A chunk of no bytes would end the stream.
  if (bytes.empty() || framing_ == Framing::kNone) co_return ok();
  if (framing_ == Framing::kUntilClose) co_return co_await put(std::move(bytes));
  std::string chunk = hex(bytes.size());
  chunk.reserve(chunk.size() + bytes.size() + 4);
  chunk += "\r\n";
  chunk += bytes;
  chunk += "\r\n";
  co_return co_await put(std::move(chunk));
}

net::awaitable<Status> Answer::end() {
  ASSERT(phase_ == Phase::kStreaming);
  if (transport_.gone()) co_return client_is_gone();
  phase_ = Phase::kDone;
  if (framing_ != Framing::kChunked) co_return ok();
  co_return co_await put("0\r\n\r\n");
}

void Answer::on_client_gone(std::function<void()> on_gone) {
  transport_.on_gone(std::move(on_gone));
}

}  // namespace aioss::http
