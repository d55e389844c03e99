// spdlog formats (time, level, colour); where the bytes go is ours, because its sinks block for as
// long as the reader likes. Only this file includes it.
#include "base/log.h"

#include <poll.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <ctime>
#include <memory>
#include <mutex>

#include "base/strings.h"

namespace aioss::log {
namespace {

// PIPE_BUF: a pipe that is ready for writing takes this much without blocking and in one piece.
constexpr std::size_t kLineBytesMax = 4096;
// Of what the caller gives, before escaping, which makes it up to six times as long.
constexpr std::size_t kTextBytesMax = 600;
constexpr std::size_t kHeadBytesMax = 128;  // time, level, colour, braces
// How long a line may wait for a slow reader. After the first drop lines wait no longer at all.
constexpr int kWaitMsMax = 20;

// spdlog's base_sink holds its mutex around both functions.
class DescriptorSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  DescriptorSink(int descriptor, bool json) : descriptor_(descriptor), json_(json) {
    struct stat about{};
    is_socket_ = ::fstat(descriptor, &about) == 0 && S_ISSOCK(about.st_mode);
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (dropped_ > 0 && !report_drops()) return;
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    if (!try_write(std::string_view(line.data(), line.size()))) ++dropped_;
  }
  void flush_() override {}

 private:
  bool report_drops() {
    const std::string count = std::to_string(dropped_);
    const std::string note =
        json_ ? R"({"level":"warn","msg":"log lines were dropped, the reader is slow","lines":)" +
                    count + "}\n"
              : count + " log lines were dropped, the reader is slow\n";
    if (!try_write(note)) {
      ++dropped_;
      return false;
    }
    dropped_ = 0;
    return true;
  }

  bool try_write(std::string_view text) {
    pollfd ready{descriptor_, POLLOUT, 0};
    if (::poll(&ready, 1, dropped_ == 0 ? kWaitMsMax : 0) != 1) return false;
    const ssize_t written =
        is_socket_ ? ::send(descriptor_, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL)
                   : ::write(descriptor_, text.data(), text.size());
    return written == static_cast<ssize_t>(text.size());
  }

  const int descriptor_;
  const bool json_;
  bool is_socket_ = false;
  std::uint64_t dropped_ = 0;
};

struct Output {
  std::unique_ptr<spdlog::logger> logger;
  bool json = false;
  bool color = false;
};

constexpr std::array<std::string_view, 4> kNames{"debug", "info", "warn", "error"};
constexpr std::array<std::string_view, 4> kColors{"\033[2m", "\033[32m", "\033[33m", "\033[1;31m"};

std::shared_ptr<const Output> make_output(const Options& options) {
  ::tzset();  // reads the time zone's file now: a confined process cannot later
  const bool terminal = ::isatty(options.descriptor) == 1;
  auto output = std::make_shared<Output>();
  output->json = options.format == Format::kJson || (options.format == Format::kAuto && !terminal);
  output->color = options.color && terminal && !output->json;
  auto sink = std::make_shared<DescriptorSink>(options.descriptor, output->json);
  output->logger = std::make_unique<spdlog::logger>("aioss", std::move(sink));
  output->logger->set_level(spdlog::level::trace);  // write() has decided by then
  const auto zone =
      output->json ? spdlog::pattern_time_type::utc : spdlog::pattern_time_type::local;
  output->logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      output->json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ",%v})" : "%H:%M:%S.%e %v", zone, "\n"));
  return output;
}

std::atomic<Level> g_level{Level::kInfo};
// Set by configure() or by the first line. Never destroyed: a thread may log while main() returns.
std::atomic<std::shared_ptr<const Output>>& output_slot() {
  static auto* const slot = new std::atomic<std::shared_ptr<const Output>>();
  return *slot;
}

std::shared_ptr<const Output> current_output() {
  std::shared_ptr<const Output> output = output_slot().load();
  if (output) return output;
  std::shared_ptr<const Output> made = make_output({.color = false});
  // Another thread's may have come first; then that one stays.
  return output_slot().compare_exchange_strong(output, made) ? made : output;
}

void append_json(std::string_view text, std::string& out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  out += '"';
  for (const char c : replace_invalid_utf8(text.substr(0, kTextBytesMax))) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += "\\u00";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

std::string json_field(const Field& field) {
  std::string out = ",";
  append_json(field.key, out);
  out += ':';
  if (field.quoted) {
    append_json(field.text, out);
  } else {
    out += field.text;
  }
  return out;
}

std::string text_field(const Field& field) {
  const std::string value = one_line(std::string_view(field.text).substr(0, kTextBytesMax));
  const bool quote = value.empty() || value.find_first_of(" \"=") != std::string::npos;
  std::string out = ' ' + std::string(field.key) + '=';
  if (!quote) return out + value;
  out += '"';
  for (const char c : value) {
    if (c == '"') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string head_of(const Output& output, Level level, std::string_view message) {
  const auto index = static_cast<std::size_t>(level);
  std::string out;
  if (output.json) {
    out = R"("level":")" + std::string(kNames[index]) + R"(","msg":)";
    append_json(message, out);
    return out;
  }
  std::string name(kNames[index]);
  name.resize(5, ' ');
  if (output.color) name = std::string(kColors[index]) + name + "\033[0m";
  return name + ' ' + one_line(message.substr(0, kTextBytesMax));
}

}  // namespace

Field::Field(std::string_view k, double value) : key(k), quoted(!std::isfinite(value)) {
  char buffer[32];  // the longest shortest form of a double has 24 characters
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
  text.assign(buffer, end.ptr);
}

void configure(const Options& options) {
  output_slot().store(make_output(options));
  set_level(options.level);
}

void set_level(Level level) {
  g_level.store(level, std::memory_order_relaxed);
}
Level level() {
  return g_level.load(std::memory_order_relaxed);
}

std::optional<Level> level_from_name(std::string_view name) {
  if (name == "off") return Level::kOff;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (name == kNames[i]) return static_cast<Level>(i);
  }
  return std::nullopt;
}

void write(Level level, std::string_view message, Fields fields) {
  if (level == Level::kOff || level < log::level()) return;
  const std::shared_ptr<const Output> output = current_output();
  std::string payload = head_of(*output, level, message);
  for (const Field& field : fields) {
    const std::string part = output->json ? json_field(field) : text_field(field);
    // A line longer than the limit could block or be torn: what does not fit is left out, whole.
    if (payload.size() + part.size() + kHeadBytesMax > kLineBytesMax) continue;
    payload += part;
  }
  output->logger->log(spdlog::level::info, spdlog::string_view_t(payload.data(), payload.size()));
}

}  // namespace aioss::log
