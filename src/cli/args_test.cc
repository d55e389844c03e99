#include "cli/args.h"

#include <gtest/gtest.h>

#include "cli/run_options.h"
#include "cli/term.h"

namespace aioss::cli {
namespace {

using Words = std::vector<std::string>;

std::string usage_error(const Words& words) {
  const auto parsed = parse_arguments(words);
  if (parsed) return "no error";
  EXPECT_EQ(parsed.error().code, Code::kUsage);
  return parsed.error().message;
}

TEST(Arguments, EveryCommandParsesItsOwnFlags) {
  for (const CommandSpec& command : commands()) {
    Words words;
    const std::string name(command.name);
    words.push_back(name.substr(0, name.find(' ')));
    if (name.find(' ') != std::string::npos) words.push_back(name.substr(name.find(' ') + 1));
    for (const Operand& operand : command.operands) {
      words.emplace_back("op-" + std::string(operand.name));
    }
    for (const Flag& flag : command.flags) {
      words.emplace_back(flag.letter.empty() ? flag.name : flag.letter);
      if (!flag.value_name.empty()) words.emplace_back("value of " + std::string(flag.name));
    }
    for (const Setting& setting : settings()) {
      if ((setting.commands & command.settings) == 0) continue;
      words.push_back(flag_of(setting) + "=" + std::string(setting.name));
    }
    const auto parsed = parse_arguments(words);
    ASSERT_TRUE(parsed) << name << ": " << parsed.error().message;
    EXPECT_EQ(parsed->command, &command);
    EXPECT_FALSE(parsed->help);
    EXPECT_EQ(parsed->operands.size(), command.operands.size());
    for (const Flag& flag : command.flags) {
      ASSERT_TRUE(parsed->has(flag.name)) << flag.name;
      if (flag.value_name.empty()) continue;
      EXPECT_EQ(parsed->text(flag.name), "value of " + std::string(flag.name));
    }
    for (const auto& [key, value] : parsed->config.flags) EXPECT_EQ(value, setting(key).name);
  }
}

TEST(Arguments, OverviewAndHelp) {
  for (const Words& words :
       {Words{}, Words{"--help"}, Words{"-h"}, Words{"help"}, Words{"ledger", "--help"}}) {
    const auto parsed = parse_arguments(words);
    ASSERT_TRUE(parsed);
    EXPECT_TRUE(parsed->help);
    EXPECT_EQ(parsed->command, nullptr);
  }
  for (const Words& words :
       {Words{"run", "--help"}, Words{"help", "run"}, Words{"run", "model", "--seed", "x", "-h"}}) {
    const auto parsed = parse_arguments(words);
    ASSERT_TRUE(parsed);
    EXPECT_TRUE(parsed->help);
    ASSERT_NE(parsed->command, nullptr);
    EXPECT_EQ(parsed->command->name, "run");
  }
  EXPECT_EQ(parse_arguments({"--version"})->command, find_command("version"));
  EXPECT_EQ(parse_arguments({"-V"})->command, find_command("version"));
  EXPECT_EQ(parse_arguments({"help", "ledger", "tail"})->command, find_command("ledger tail"));
}

TEST(Arguments, AGroupOfCommandsHasAHelpOfItsOwn) {
  for (const Words& words : {Words{"ledger", "--help"}, Words{"help", "ledger"}}) {
    const auto parsed = parse_arguments(words);
    ASSERT_TRUE(parsed);
    EXPECT_TRUE(parsed->help);
    EXPECT_EQ(parsed->group, "ledger");
  }
  const std::string text = group_help("ledger");
  for (const CommandSpec& command : commands()) {
    EXPECT_EQ(text.find("  " + std::string(command.name) + " ") != std::string::npos,
              command.name.starts_with("ledger "))
        << command.name;
  }
}

TEST(Arguments, ErrorsSayWhatToDo) {
  struct Case {
    Words words;
    std::string message;
  };
  const std::vector<Case> cases{
      {{"srve"}, "unknown command 'srve' (did you mean 'serve'?)"},
      {{"frobnicate"}, "unknown command 'frobnicate'; see 'aioss --help'"},
      {{"--port", "80"}, "unknown flag '--port'; flags come after the command; see 'aioss --help'"},
      {{"ledger", "tial"}, "unknown command 'ledger tial' (did you mean 'ledger tail'?)"},
      {{"key"}, "'key' needs a second word: key new"},
      {{"serve", "--prot", "80"}, "unknown flag '--prot' (did you mean '--port'?)"},
      {{"serve", "--prot=80"}, "unknown flag '--prot' (did you mean '--port'?)"},
      {{"run", "m", "--temprature", "1"},
       "unknown flag '--temprature' (did you mean '--temperature'?)"},
      {{"serve", "--frobnicate"}, "unknown flag '--frobnicate'; see 'aioss serve --help'"},
      {{"run"}, "MODEL is missing; see 'aioss run --help'"},
      {{"verify"}, "PATH is missing; see 'aioss verify --help'"},
      {{"run", "m", "why", "is"},
       "'is' is one argument too many; put text in quotes; see 'aioss run --help'"},
      {{"models", "x"}, "'x' is one argument too many; see 'aioss models --help'"},
      {{"serve", "--port"}, "--port needs a value: --port PORT; see 'aioss serve --help'"},
      {{"serve", "--config"}, "--config needs a value: --config FILE; see 'aioss serve --help'"},
      {{"run", "m", "-n"}, "--max-tokens needs a value: --max-tokens N; see 'aioss run --help'"},
      {{"help", "frobnicate"}, "unknown command 'frobnicate'; see 'aioss --help'"},
      {{"run", "m", "--seed", "1", "--seed", "2"}, "--seed is given twice; give it once"},
  };
  for (const Case& c : cases) EXPECT_EQ(usage_error(c.words), c.message);
}

TEST(Arguments, AGroupAloneListsItsMembers) {
  std::string members;
  for (const CommandSpec& command : commands()) {
    if (!command.name.starts_with("ledger ")) continue;
    members += (members.empty() ? "" : ", ") + std::string(command.name);
  }
  EXPECT_EQ(usage_error({"ledger"}), "'ledger' needs a second word: " + members);
}

TEST(Arguments, TextThatLooksLikeAFlagGoesAfterTwoDashes) {
  const auto parsed = parse_arguments({"run", "m", "--", "--help me"});
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->operands, (Words{"m", "--help me"}));
}

TEST(Arguments, ValuesArriveAsTheyAre) {
  for (const std::string value : {"[a,b]", "", "-5", "--seed", "a=b", "{x}", "\"q\"", "a b", "%"}) {
    const auto apart = parse_arguments({"run", "m", "--system", value});
    ASSERT_TRUE(apart) << value << ": " << apart.error().message;
    EXPECT_EQ(apart->text("--system"), value);
    const auto joined = parse_arguments({"run", "m", "--system=" + value});
    ASSERT_TRUE(joined) << value << ": " << joined.error().message;
    EXPECT_EQ(joined->text("--system"), value);
    const auto operand = parse_arguments({"run", "m", "--", value});
    ASSERT_TRUE(operand);
    EXPECT_EQ(operand->operand(1), value);
  }
  EXPECT_EQ(usage_error({"run", "m", "--json=false"}),
            "--json takes no value; see 'aioss run --help'");
  EXPECT_EQ(parse_arguments({"run", "[a,b]", "-n5"})->text("--max-tokens"), "5");
  EXPECT_EQ(parse_arguments({"run", "[a,b]", "-n5"})->operand(0), "[a,b]");
}

Result<RunOptions> run_options(Words words) {
  words.insert(words.begin(), "run");
  AIOSS_TRY(const auto parsed, parse_arguments(words));
  return parse_run_options(parsed);
}

TEST(RunOptions, AllFlagsArrive) {
  const auto options =
      run_options({"m",      "why?",    "--system", "be brief", "-n",     "9",      "--temperature",
                   "0.5",    "--top-p", "0.9",      "--top-k",  "40",     "--seed", "0",
                   "--stop", "a",       "--stop",   "b",        "--json", "--stats"});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->model, "m");
  EXPECT_FALSE(options->is_file);
  EXPECT_EQ(options->prompt, "why?");
  EXPECT_EQ(options->system, "be brief");
  EXPECT_EQ(options->request.tokens_max, 9U);
  EXPECT_EQ(options->request.sampling.temperature, 0.5F);
  EXPECT_EQ(options->request.sampling.top_p, 0.9F);
  EXPECT_EQ(options->request.sampling.top_k, 40U);
  EXPECT_EQ(options->request.sampling.seed, 0U);
  EXPECT_TRUE(options->seed_given);  // 0 is a seed like any other
  EXPECT_EQ(options->request.stop, (Words{"a", "b"}));
  EXPECT_TRUE(options->json && options->stats && !options->raw);
}

TEST(RunOptions, DefaultsLeaveTheModelAlone) {
  const auto options = run_options({"m"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->request, ipc::Submit());
  EXPECT_FALSE(options->prompt);
  EXPECT_FALSE(options->seed_given);
}

TEST(RunOptions, PathsAreFilesAndNamesAreNot) {
  for (const char* file : {"./m", "a/b", "m.gguf", "/x/m.gguf"}) {
    EXPECT_TRUE(run_options({file})->is_file) << file;
  }
  for (const char* name : {"m", "SmolLM2-135M-Instruct.Q4_1"}) {
    EXPECT_FALSE(run_options({name})->is_file) << name;
  }
}

TEST(RunOptions, BadValuesNameTheFlagAndItsRange) {
  struct Case {
    Words words;
    std::string message;
  };
  const std::vector<Case> cases{
      {{"m", "--temperature", "2.5"}, "--temperature: '2.5' is not a number from 0 to 2"},
      {{"m", "--temperature", "-1"}, "--temperature: '-1' is not a number from 0 to 2"},
      {{"m", "--temperature", "nan"}, "--temperature: 'nan' is not a number from 0 to 2"},
      {{"m", "--temperature", "hot"}, "--temperature: 'hot' is not a number from 0 to 2"},
      {{"m", "--top-p", "1.1"}, "--top-p: '1.1' is not a number from 0 to 1"},
      {{"m", "-n", "0"}, "--max-tokens: '0' is not a whole number from 1 to 1048576"},
      {{"m", "-n", "5x"}, "--max-tokens: '5x' is not a whole number from 1 to 1048576"},
      {{"m", "--stop", ""}, "--stop takes a text of 1 to 256 bytes"},
      {{""}, "MODEL is empty; 'aioss models' lists names"},
      {{"m", ""}, "the prompt is empty"},
      {{"m", "x", "--raw", "--system", "s"},
       "--system needs the chat template that --raw leaves out; give one of them"},
  };
  for (const Case& c : cases) {
    const auto options = run_options(c.words);
    ASSERT_FALSE(options) << c.message;
    EXPECT_EQ(options.error().message, c.message);
    EXPECT_EQ(options.error().code, Code::kUsage);
  }
}

TEST(Help, WrapsAtWords) {
  EXPECT_EQ(wrap("a b", 0, 2), "a b");
  const std::string wrapped = wrap(std::string(60, 'a') + " " + std::string(40, 'b'), 0, 4);
  EXPECT_EQ(wrapped, std::string(60, 'a') + "\n    " + std::string(40, 'b'));
  EXPECT_EQ(wrap("one\ntwo", 2, 2), "one\n  two");
}

TEST(Help, EveryCommandHasAnExampleOfItself) {
  for (const CommandSpec& command : commands()) {
    const std::string name(command.name);
    ASSERT_FALSE(command.examples.empty()) << name;
    EXPECT_TRUE(command.examples.front().starts_with("aioss " + name)) << name;
  }
}

}  // namespace
}  // namespace aioss::cli
