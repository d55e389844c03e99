#include "cli/args.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/strings.h"
#include "base/suggest.h"

namespace aioss::cli {
namespace {

Error usage(std::string message) {
  return {Code::kUsage, std::move(message)};
}

std::string see_help(const CommandSpec* command) {
  return "; see 'aioss " + (command ? std::string(command->name) + " " : std::string()) + "--help'";
}

// "ledger tail" before "ledger": the longest name that the arguments begin with.
const CommandSpec* match_command(const std::vector<std::string>& arguments, std::size_t& used) {
  for (const std::size_t words : {std::size_t{2}, std::size_t{1}}) {
    if (arguments.size() < words) continue;
    std::string name = arguments[0];
    if (words == 2) name += " " + arguments[1];
    if (const CommandSpec* found = find_command(name)) {
      used = words;
      return found;
    }
  }
  return nullptr;
}

// "ledger" alone is the first word of commands and no command.
std::vector<std::string> members_of(std::string_view group) {
  std::vector<std::string> members;
  for (const CommandSpec& command : commands()) {
    if (command.name.starts_with(std::string(group) + " ")) members.emplace_back(command.name);
  }
  return members;
}

Error unknown_command(const std::vector<std::string>& arguments) {
  const std::string& word = arguments[0];
  if (word.starts_with('-')) {
    return usage("unknown flag '" + word + "'; flags come after the command" + see_help(nullptr));
  }
  const std::vector<std::string> members = members_of(word);
  std::vector<std::string> names;
  for (const CommandSpec& command : commands()) names.emplace_back(command.name);
  if (members.empty()) {
    const std::string hint = did_you_mean(word, names);
    return usage("unknown command '" + word + "'" + (hint.empty() ? see_help(nullptr) : hint));
  }
  if (arguments.size() > 1 && !arguments[1].starts_with('-')) {
    const std::string name = word + " " + arguments[1];
    const std::string hint = did_you_mean(name, members);
    if (!hint.empty()) return usage("unknown command '" + name + "'" + hint);
  }
  return usage("'" + word + "' needs a second word: " + comma_separated(members));
}

std::vector<Flag> flags_of(const CommandSpec& command) {
  std::vector<Flag> flags = command.flags;
  flags.push_back({"--help", "-h", "", "This text."});
  return flags;
}

// CLI11 splits words into flags, values and operands; every check of meaning is ours. It throws
// inside parse(), and only there.
class Splitter {
 public:
  explicit Splitter(const CommandSpec& command) : command_(command) {
    app_.set_help_flag();
    app_.allow_extras();
    for (const Flag& flag : flags_of(command)) {
      add(std::string(flag.name), std::string(flag.letter), !flag.value_name.empty());
    }
    for (const Setting& setting : settings()) {
      if ((setting.commands & command.settings) != 0) add(flag_of(setting), "", true);
    }
    if (command.settings != 0) add("--config", "", true);
  }

  Result<Invocation> split(std::span<const std::string> words) {
    const auto dashes = std::find(words.begin(), words.end(), "--");
    std::vector<std::string> flagged;
    for (auto word = words.begin(); word != dashes; ++word) {
      AIOSS_CHECK(take_apart(*word, flagged));
    }
    std::reverse(flagged.begin(), flagged.end());  // CLI11 takes them from the back
    try {
      app_.parse(std::move(flagged));
    } catch (const CLI::ArgumentMismatch& error) {  // "--port: 1 required TEXT missing"
      return missing_value(std::string_view(error.what()));
    } catch (const CLI::ParseError& error) {
      return usage(one_line(error.what()) + see_help(&command_));
    }
    Invocation out;
    out.command = &command_;
    for (std::string& extra : app_.remaining()) {
      if (extra.size() > 1 && extra.front() == '-') return unknown_flag(extra);
      out.operands.push_back(std::move(extra));
    }
    if (dashes != words.end()) out.operands.insert(out.operands.end(), dashes + 1, words.end());
    for (const Named& named : options_) {
      if (named.option->count() > 0) out.values[named.name] = named.option->results();
    }
    for (const Setting& setting : settings()) {
      if ((setting.commands & command_.settings) == 0) continue;  // its flag may be another here
      const std::string flag = flag_of(setting);
      if (const auto value = out.text(flag)) out.config.flags.emplace_back(setting.key, *value);
      out.values.erase(flag);
    }
    out.config.config_file = out.text("--config").value_or("");
    out.help = out.has("--help");
    return out;
  }

 private:
  struct Named {
    std::string name;
    bool takes_value = false;
    CLI::Option* option = nullptr;  // owned by app_
  };

  void add(const std::string& name, const std::string& letter, bool takes_value) {
    const std::string names = letter.empty() ? name : letter + "," + name;
    CLI::Option* option = takes_value ? app_.add_option(names) : app_.add_flag(names);
    // One word a value, as it is: otherwise CLI11 takes "[a,b]" apart.
    if (takes_value) option->type_size(1)->expected(1)->allow_extra_args(false);
    option->take_all();
    options_.push_back({name, takes_value, option});
  }

  // "--name=value" as two words, so that an empty value is one; "--switch=x" is refused.
  Status take_apart(const std::string& word, std::vector<std::string>& out) const {
    const std::size_t equals = word.find('=');
    if (!word.starts_with("--") || equals == std::string::npos) {
      out.push_back(word);
      return ok();
    }
    const std::string name = word.substr(0, equals);
    const auto found = std::find_if(options_.begin(), options_.end(),
                                    [&](const Named& named) { return named.name == name; });
    if (found == options_.end()) return unknown_flag(name);
    if (!found->takes_value) return usage(name + " takes no value" + see_help(&command_));
    out.push_back(name);
    out.push_back(word.substr(equals + 1));
    return ok();
  }

  Error missing_value(std::string_view complaint) const {
    const std::string flag(complaint.substr(0, complaint.find(':')));
    std::string_view value = "VALUE";
    for (const Flag& known : command_.flags) {
      if (known.name == flag) value = known.value_name;
    }
    for (const Setting& known : settings()) {
      if (flag_of(known) == flag) value = known.value_name;
    }
    if (flag == "--config") value = "FILE";
    return usage(flag + " needs a value: " + flag + " " + std::string(value) + see_help(&command_));
  }

  Error unknown_flag(const std::string& flag) const {
    std::vector<std::string> names;
    for (const Named& named : options_) names.push_back(named.name);
    const std::string hint = did_you_mean(flag, names);
    return usage("unknown flag '" + one_line(flag) + "'" +
                 (hint.empty() ? see_help(&command_) : hint));
  }

  const CommandSpec& command_;
  CLI::App app_;
  std::vector<Named> options_;
};

Status check_operands(const Invocation& invocation) {
  const CommandSpec& command = *invocation.command;
  std::size_t required = 0;
  for (const Operand& operand : command.operands) required += operand.required ? 1 : 0;
  if (invocation.operands.size() < required) {
    const Operand& missing = command.operands[invocation.operands.size()];
    return usage(std::string(missing.name) + " is missing" + see_help(&command));
  }
  if (invocation.operands.size() > command.operands.size()) {
    const std::string& surplus = invocation.operands[command.operands.size()];
    const bool takes_text = !command.operands.empty();
    return usage("'" + one_line(surplus) + "' is one argument too many" +
                 (takes_text ? "; put text in quotes" : "") + see_help(&command));
  }
  return ok();
}

Status check_repeats(const Invocation& invocation) {
  for (const Flag& flag : invocation.command->flags) {
    const auto found = invocation.values.find(flag.name);
    if (found == invocation.values.end() || flag.repeatable || flag.value_name.empty()) continue;
    if (found->second.size() > 1) {
      return usage(std::string(flag.name) + " is given twice; give it once");
    }
  }
  return ok();
}

std::string range_text(double least, double most) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%g to %g", least, most);
  return text.data();
}

}  // namespace

const CommandSpec* find_command(std::string_view name) {
  const auto all = commands();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const CommandSpec& c) { return c.name == name; });
  return found == all.end() ? nullptr : &*found;
}

std::optional<std::string> Invocation::text(std::string_view flag) const {
  const auto found = values.find(flag);
  if (found == values.end() || found->second.empty()) return std::nullopt;
  return found->second.back();
}

std::vector<std::string> Invocation::texts(std::string_view flag) const {
  const auto found = values.find(flag);
  return found == values.end() ? std::vector<std::string>() : found->second;
}

Result<std::optional<std::uint64_t>> Invocation::number(std::string_view flag, std::uint64_t least,
                                                        std::uint64_t most) const {
  const auto given = text(flag);
  if (!given) return std::optional<std::uint64_t>();
  const auto value = parse_u64(*given);
  if (!value || *value < least || *value > most) {
    return usage(std::string(flag) + ": '" + one_line(*given) + "' is not a whole number from " +
                 std::to_string(least) + " to " + std::to_string(most));
  }
  return std::optional<std::uint64_t>(*value);
}

Result<std::optional<double>> Invocation::decimal(std::string_view flag, double least,
                                                  double most) const {
  const auto given = text(flag);
  if (!given) return std::optional<double>();
  double value = 0;
  const char* last = given->data() + given->size();
  const auto [end, failure] = std::from_chars(given->data(), last, value);
  const bool whole = failure == std::errc() && end == last && std::isfinite(value);
  if (!whole || value < least || value > most) {
    return usage(std::string(flag) + ": '" + one_line(*given) + "' is not a number from " +
                 range_text(least, most));
  }
  return std::optional<double>(value);
}

std::string Invocation::operand(std::size_t index) const {
  return index < operands.size() ? operands[index] : std::string();
}

Result<Invocation> parse_arguments(const std::vector<std::string>& arguments) {
  Invocation out;
  out.help = true;
  if (arguments.empty()) return out;
  const std::string& first = arguments[0];
  if (first == "--help" || first == "-h") return out;
  if (first == "help") {  // `aioss help run` is `aioss run --help`
    const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
    if (rest.empty()) return out;
    std::size_t used = 0;
    out.command = match_command(rest, used);
    if (out.command != nullptr) return out;
    if (rest.size() > 1 || members_of(rest[0]).empty()) return unknown_command(rest);
    out.group = rest[0];
    return out;
  }
  if (first == "--version" || first == "-V") {
    out.help = false;
    out.command = find_command("version");
    return out;
  }
  std::size_t used = 0;
  const CommandSpec* command = match_command(arguments, used);
  if (command == nullptr) {
    const bool group = !members_of(first).empty();
    const bool asks = arguments.size() > 1 && (arguments[1] == "--help" || arguments[1] == "-h");
    if (!group || !asks) return unknown_command(arguments);
    out.group = first;
    return out;
  }
  Splitter splitter(*command);
  AIOSS_TRY(Invocation parsed, splitter.split(std::span(arguments).subspan(used)));
  if (parsed.help) return parsed;
  AIOSS_CHECK(check_operands(parsed));
  AIOSS_CHECK(check_repeats(parsed));
  return parsed;
}

}  // namespace aioss::cli
