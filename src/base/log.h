// Log lines to standard error: text for a terminal, one JSON object a line otherwise. Any thread
// may log at any time. A reader that does not read costs a few milliseconds, then lines are dropped
// and counted, so logging never stops a server; no thread is started, so a process may confine
// itself after logging.
//
// By convention no line holds prompt or output text, keys, or anything else of a request's content.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace aioss::log {

enum class Level { kDebug, kInfo, kWarn, kError, kOff };
enum class Format { kAuto, kText, kJson };  // kAuto: text if the descriptor is a terminal

struct Field {
  std::string_view key;  // snake_case literal
  std::string text;
  bool quoted = true;  // false: a number or a boolean

  Field(std::string_view k, std::string_view value) : key(k), text(value) {}
  Field(std::string_view k, const std::string& value) : key(k), text(value) {}
  Field(std::string_view k, const char* value) : key(k), text(value) {}
  Field(std::string_view k, bool value) : key(k), text(value ? "true" : "false"), quoted(false) {}
  template <std::integral T>
  Field(std::string_view k, T value) : key(k), text(std::to_string(value)), quoted(false) {}
  Field(std::string_view k, double value);
};
using Fields = std::initializer_list<Field>;

struct Options {
  Level level = Level::kInfo;
  Format format = Format::kAuto;
  bool color = true;   // in text; the caller honours NO_COLOR
  int descriptor = 2;  // borrowed; stays open
};
// Once, early in main(). Without it: text or JSON by the terminal, level info, no colour.
void configure(const Options& options);

void set_level(Level level);
Level level();
std::optional<Level> level_from_name(std::string_view name);  // "debug", "info", "warn", …

void write(Level level, std::string_view message, Fields fields = {});
inline void debug(std::string_view message, Fields fields = {}) {
  write(Level::kDebug, message, fields);
}
inline void info(std::string_view message, Fields fields = {}) {
  write(Level::kInfo, message, fields);
}
inline void warn(std::string_view message, Fields fields = {}) {
  write(Level::kWarn, message, fields);
}
inline void error(std::string_view message, Fields fields = {}) {
  write(Level::kError, message, fields);
}

}  // namespace aioss::log
