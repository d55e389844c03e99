#include "os/environment.h"

#include <limits.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "os/file.h"

namespace aioss::os {
namespace {

Result<std::string> user_directory(const char* variable, const char* below_home) {
  if (const auto set = environment(variable); set && set->starts_with('/')) return *set + "/aioss";
  AIOSS_TRY(const std::string home, home_directory());
  return home + below_home + "/aioss";
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::optional<std::string> environment(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

std::vector<std::string> environment_subset(const std::vector<std::string>& names) {
  std::vector<std::string> out;
  for (const std::string& name : names) {
    if (const auto value = environment(name)) out.push_back(name + '=' + *value);
  }
  return out;
}

Result<std::string> home_directory() {
  if (const auto home = environment("HOME"); home && home->starts_with('/')) return *home;
  return Error{Code::kUsage, "HOME is not set; set it, or give the directory on the command line"};
}

Result<std::string> state_directory() {
  return user_directory("XDG_STATE_HOME", "/.local/state");
}
Result<std::string> data_directory() {
  return user_directory("XDG_DATA_HOME", "/.local/share");
}
Result<std::string> config_directory() {
  return user_directory("XDG_CONFIG_HOME", "/.config");
}
Result<std::string> cache_directory() {
  return user_directory("XDG_CACHE_HOME", "/.cache");
}

std::string hostname() {
  char name[HOST_NAME_MAX + 1] = {};
  if (::gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') return "localhost";
  return name;
}

Result<std::array<std::uint8_t, 16>> boot_id() {
  RealFileSystem fs;
  AIOSS_TRY(const Bytes text, read_file(fs, "/proc/sys/kernel/random/boot_id", 64));
  std::array<std::uint8_t, 16> id{};
  std::size_t digits = 0;
  for (const std::uint8_t byte : text) {
    const int value = hex_value(static_cast<char>(byte));
    if (value < 0 || digits == 32) continue;
    id[digits / 2] = static_cast<std::uint8_t>(id[digits / 2] << 4 | value);
    ++digits;
  }
  if (digits != 32) return Error{Code::kIo, "the kernel's boot_id is not a UUID"};
  return id;
}

Result<std::string> executable_path() {
  char path[PATH_MAX] = {};
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  if (length < 0) return error_from_errno(errno, "cannot read /proc/self/exe");
  if (static_cast<std::size_t>(length) == sizeof path) {
    return Error{Code::kIo, "the path of this program is too long"};
  }
  return std::string(path, static_cast<std::size_t>(length));
}

int process_id() {
  return ::getpid();
}
std::uint32_t user_id() {
  return ::geteuid();
}

std::string user_name() {
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> buffer{};  // one line of the password file
  const bool known = ::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found) == 0 &&
                     found != nullptr && found->pw_name != nullptr;
  return known ? std::string(found->pw_name) : std::to_string(::geteuid());
}

}  // namespace aioss::os
