// --help against golden files, and docs/cli.md against the tables: what a program says of itself
// must not drift from what is written about it. To accept a change:
//   test_cli --gtest_also_run_disabled_tests --gtest_filter='*DISABLED_WriteGolden*'
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "cli/args.h"
#include "cli/config.h"
#include "cli/term.h"
#include "os/file.h"

namespace aioss::cli {
namespace {

const std::string kRoot = AIOSS_SOURCE_DIR;
constexpr std::uint64_t kFileBytesMax = 1 << 20;

std::string read(const std::string& path) {
  os::RealFileSystem files;
  const auto bytes = os::read_file(files, path, kFileBytesMax);
  return bytes ? std::string(as_text(*bytes)) : "cannot read: " + bytes.error().message;
}

std::string golden_path(std::string_view command) {
  std::string name(command);
  for (char& c : name) c = c == ' ' ? '-' : c;
  return kRoot + "/src/cli/testdata/help/" + (name.empty() ? "aioss" : name) + ".txt";
}

TEST(HelpGolden, EveryCommandSaysWhatTheFileHolds) {
  EXPECT_EQ(overview_help(), read(golden_path("")));
  for (const CommandSpec& command : commands()) {
    EXPECT_EQ(command_help(command), read(golden_path(command.name))) << command.name;
  }
}

TEST(HelpGolden, LinesFitATerminal) {
  std::string all = overview_help();
  for (const CommandSpec& command : commands()) all += command_help(command);
  std::size_t begin = 0;
  while (begin < all.size()) {
    const std::size_t end = std::min(all.find('\n', begin), all.size());
    const std::string line = all.substr(begin, end - begin);
    EXPECT_LE(display_width(line), 100U) << line;
    begin = end + 1;
  }
}

TEST(HelpGolden, HiddenFlagsStayHidden) {
  for (const CommandSpec& command : commands()) {
    for (const Flag& flag : command.flags) {
      const bool shown = command_help(command).find(std::string(flag.name)) != std::string::npos;
      EXPECT_EQ(shown, !flag.hidden) << command.name << " " << flag.name;
    }
  }
}

TEST(HelpGolden, DISABLED_WriteGolden) {
  os::RealFileSystem files;
  ASSERT_TRUE(os::replace_file(files, golden_path(""), as_bytes(overview_help()), 0644));
  for (const CommandSpec& command : commands()) {
    ASSERT_TRUE(
        os::replace_file(files, golden_path(command.name), as_bytes(command_help(command)), 0644));
  }
}

// The row of docs/cli.md for a setting.
std::string setting_row(const Setting& setting) {
  const std::string range = range_of(setting);
  return "| `" + std::string(setting.name) + "` | `" + flag_of(setting) + "` | `" +
         variable_of(setting) + "` | " + (range.empty() ? "text" : range) + " | `" +
         fallback_shown(setting) + "` | " + std::string(setting.help) + " |\n";
}

std::string flag_row(const Flag& flag) {
  std::string name = "`" + std::string(flag.name);
  if (!flag.value_name.empty()) name += " " + std::string(flag.value_name);
  name += "`";
  if (!flag.letter.empty()) name += ", `" + std::string(flag.letter) + "`";
  return "| " + name + " | " + std::string(flag.help) + " |\n";
}

TEST(Document, HoldsEverySettingAsItIs) {
  const std::string document = read(kRoot + "/docs/cli.md");
  std::string table;
  for (const Setting& setting : settings()) table += setting_row(setting);
  EXPECT_NE(document.find(table), std::string::npos) << "docs/cli.md lacks this table:\n" << table;
}

TEST(Document, HoldsEveryCommandAndFlagAsItIs) {
  const std::string document = read(kRoot + "/docs/cli.md");
  for (const CommandSpec& command : commands()) {
    const std::string title = "### aioss " + std::string(command.name) + "\n";
    const std::size_t begin = document.find(title);
    ASSERT_NE(begin, std::string::npos) << "docs/cli.md lacks " << title;
    const std::size_t end = std::min(document.find("\n### ", begin), document.size());
    const std::string section = document.substr(begin, end - begin);
    std::string table;
    for (const Flag& flag : command.flags) {
      if (!flag.hidden) table += flag_row(flag);
    }
    EXPECT_NE(section.find(table), std::string::npos)
        << "docs/cli.md, " << command.name << ", lacks this table:\n"
        << table;
    for (const Operand& operand : command.operands) {
      EXPECT_NE(section.find("`" + std::string(operand.name) + "`"), std::string::npos)
          << command.name << " " << operand.name;
    }
  }
}

}  // namespace
}  // namespace aioss::cli
