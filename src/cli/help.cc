// The text of --help, from the command table and the settings table.
#include <algorithm>
#include <string>

#include "base/error.h"
#include "cli/args.h"
#include "cli/term.h"

namespace aioss::cli {
namespace {

constexpr std::size_t kIndent = 2;
constexpr std::size_t kTermWidthMax = 24;  // a longer term gets a line of its own

std::string entry(const std::string& term, std::string_view help, std::size_t width) {
  std::string out(kIndent, ' ');
  out += term;
  const std::size_t column = kIndent + width + 2;
  const std::size_t used = kIndent + display_width(term);
  if (used + 2 > column) {
    out += '\n';
    out.append(column, ' ');
  } else {
    out.append(column - used, ' ');
  }
  return out + wrap(help, column, column) + '\n';
}

struct Entry {
  std::string term, help;
};

std::string section(std::string_view title, const std::vector<Entry>& entries) {
  if (entries.empty()) return "";
  std::size_t width = 0;
  for (const Entry& e : entries) {
    const std::size_t own = display_width(e.term);
    if (own <= kTermWidthMax) width = std::max(width, own);
  }
  std::string out = "\n" + std::string(title) + "\n";
  for (const Entry& e : entries) out += entry(e.term, e.help, width);
  return out;
}

std::string flag_term(const Flag& flag) {
  std::string term;
  if (!flag.letter.empty()) term = std::string(flag.letter) + ", ";
  term += flag.name;
  if (!flag.value_name.empty()) term += " " + std::string(flag.value_name);
  return term;
}

std::vector<Entry> setting_entries(const CommandSpec& command) {
  std::vector<Entry> entries;
  for (const Setting& setting : settings()) {
    if ((setting.commands & command.settings) == 0) continue;
    std::string help(setting.help);
    if (const std::string range = range_of(setting); !range.empty()) {
      help += " " + std::string(setting.type == SettingType::kChoice ? "One of " : "From ");
      help += range + ".";
    }
    help += " [" + variable_of(setting) + "; default " + fallback_shown(setting) + "]";
    entries.push_back({flag_of(setting) + " " + std::string(setting.value_name), help});
  }
  if (command.settings != 0) {
    entries.push_back({"--config FILE", "Configuration file. [AIOSS_CONFIG; default " +
                                            std::string(kConfigPathDefault) + ", if it exists]"});
  }
  return entries;
}

constexpr std::string_view kExitCodes =
    "  0    ok\n"
    "  1    failure: it ran and failed\n"
    "  2    usage: the command line or the configuration is wrong\n"
    "  3    not found: no such model, file or ledger\n"
    "  4    unavailable: port or ledger in use, disk full, no memory\n"
    "  5    corrupt: a model file or a ledger is damaged\n"
    "  130  interrupted by Ctrl-C\n"
    "  'aioss verify' has its own, listed in its help.\n";
static_assert(static_cast<int>(ExitCode::kOk) == 0 && static_cast<int>(ExitCode::kFailure) == 1 &&
              static_cast<int>(ExitCode::kUsage) == 2 &&
              static_cast<int>(ExitCode::kNotFound) == 3 &&
              static_cast<int>(ExitCode::kUnavailable) == 4 &&
              static_cast<int>(ExitCode::kCorrupt) == 5 &&
              static_cast<int>(ExitCode::kInterrupted) == 130);

}  // namespace

std::string wrap(std::string_view text, std::size_t first_column, std::size_t indent) {
  std::string out;
  std::size_t column = first_column;
  bool line_start = true;
  while (!text.empty()) {
    if (text.front() == '\n') {
      out += '\n';
      out.append(indent, ' ');
      column = indent;
      line_start = true;
      text.remove_prefix(1);
      continue;
    }
    if (text.front() == ' ') {
      text.remove_prefix(1);
      continue;
    }
    const std::size_t end = std::min(text.find_first_of(" \n"), text.size());
    const std::string_view word = text.substr(0, end);
    const std::size_t width = display_width(word);
    if (!line_start && column + 1 + width > kHelpColumns) {
      out += '\n';
      out.append(indent, ' ');
      column = indent;
      line_start = true;
    }
    if (!line_start) out += ' ', ++column;
    out += word;
    column += width;
    line_start = false;
    text.remove_prefix(end);
  }
  return out;
}

std::string overview_help() {
  std::string out =
      "aioss runs large language models on this machine, offline, and records every inference in\n"
      "a ledger that anyone can verify.\n\nusage: aioss COMMAND [options]\n";
  std::vector<Entry> entries;
  for (const CommandSpec& command : commands()) {
    entries.push_back({std::string(command.name), std::string(command.summary)});
  }
  out += section("commands", entries);
  out +=
      "\n'aioss COMMAND --help' explains a command, with examples.\n"
      "\nstart here\n"
      "  aioss run ./model.gguf \"Why is the sky blue?\"\n"
      "  aioss serve --models-dir ~/models\n"
      "\nexit codes\n";
  out += kExitCodes;
  return out;
}

std::string group_help(std::string_view group) {
  const std::string first(group);
  std::vector<Entry> entries;
  for (const CommandSpec& command : commands()) {
    if (!command.name.starts_with(first + " ")) continue;
    entries.push_back({std::string(command.name), std::string(command.summary)});
  }
  return "usage: aioss " + first + " COMMAND [options]\n" + section("commands", entries) +
         "\n'aioss " + first + " COMMAND --help' explains one, 'aioss --help' lists all.\n";
}

std::string command_help(const CommandSpec& command) {
  std::string out = "aioss " + std::string(command.name) + ": " + std::string(command.summary);
  out += "\n\nusage: aioss " + std::string(command.name);
  std::vector<Entry> operands;
  for (const Operand& operand : command.operands) {
    const std::string name(operand.name);
    out += operand.required ? " " + name : " [" + name + "]";
    operands.push_back({name, std::string(operand.help)});
  }
  out += " [options]\n";
  if (!command.details.empty()) out += "\n" + wrap(command.details, 0, 0) + "\n";
  out += section("arguments", operands);
  std::vector<Entry> flags;
  for (const Flag& flag : command.flags) {
    if (!flag.hidden) flags.push_back({flag_term(flag), std::string(flag.help)});
  }
  flags.push_back({"-h, --help", "This text."});
  out += section("options", flags);
  out += section("settings (flags win over the environment, the environment over aioss.toml)",
                 setting_entries(command));
  out += "\nexamples\n";
  for (const std::string_view example : command.examples) {
    out += "  " + std::string(example) + "\n";
  }
  return out;
}

}  // namespace aioss::cli
