// Commands, flags and help as data: one table (command_table.cc) drives parsing, --help and the
// check of docs/cli.md. Values and pure functions. CLI11 stays inside args.cc.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/config.h"

namespace aioss::cli {

struct Flag {
  std::string_view name;        // "--max-tokens"
  std::string_view letter;      // "-n", or ""
  std::string_view value_name;  // "" for a switch
  std::string_view help;
  bool repeatable = false;
  bool hidden = false;
};

struct Operand {
  std::string_view name;  // "MODEL"
  std::string_view help;
  bool required = true;
};

struct CommandSpec {
  std::string_view name;     // "run", "ledger tail"
  std::string_view summary;  // one line, no full stop
  std::string_view details;  // paragraphs, "" for none
  std::vector<Operand> operands;
  std::vector<Flag> flags;
  unsigned settings = 0;  // kFor… bits: these settings are flags too, and --config is offered
  std::vector<std::string_view> examples;
};

std::span<const CommandSpec> commands();
const CommandSpec* find_command(std::string_view name);

// What the command line said. Borrows its command from the table.
struct Invocation {
  const CommandSpec* command = nullptr;  // null: `aioss`, `aioss --help`, `aioss help`
  std::string group;                     // "ledger" for `aioss ledger --help`; then no command
  bool help = false;
  std::vector<std::string> operands;
  std::map<std::string, std::vector<std::string>, std::less<>> values;  // by flag name
  ConfigInput config;

  bool has(std::string_view flag) const { return values.find(flag) != values.end(); }
  std::optional<std::string> text(std::string_view flag) const;  // the last one given
  std::vector<std::string> texts(std::string_view flag) const;
  // kUsage, naming flag and range, if the value is not a number of that kind.
  Result<std::optional<std::uint64_t>> number(std::string_view flag, std::uint64_t least,
                                              std::uint64_t most) const;
  Result<std::optional<double>> decimal(std::string_view flag, double least, double most) const;
  // The operand, or "" if it is optional and was left out.
  std::string operand(std::size_t index) const;
};

// kUsage: an unknown command or flag (with the nearest known one), a missing value, too many
// operands.
Result<Invocation> parse_arguments(const std::vector<std::string>& arguments);

std::string overview_help();                     // `aioss --help`
std::string group_help(std::string_view group);  // `aioss ledger --help`
std::string command_help(const CommandSpec& command);
// Text broken into lines of at most kHelpColumns, each after the first indented.
inline constexpr std::size_t kHelpColumns = 90;
std::string wrap(std::string_view text, std::size_t first_column, std::size_t indent);

}  // namespace aioss::cli
