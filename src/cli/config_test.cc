#include "cli/config.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <map>

#include "base/strings.h"
#include "cli/args.h"
#include "cli/config_file.h"

namespace aioss::cli {
namespace {

using Variables = std::map<std::string, std::string, std::less<>>;

Environment environment_of(Variables variables) {
  variables.emplace("HOME", "/h");
  return [variables](std::string_view name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

// A folder of its own that goes with the test.
class ConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "aioss-config-" + std::to_string(::getpid());
    ASSERT_TRUE(files_.make_directories(path_));
  }
  void TearDown() override {
    (void)files_.remove(path_ + "/aioss.toml");
    (void)files_.remove(path_);
  }
  std::string write(std::string_view text) {
    const std::string file = path_ + "/aioss.toml";
    EXPECT_TRUE(os::replace_file(files_, file, as_bytes(text)));
    return file;
  }
  Result<Config> load(ConfigInput input, Variables variables = {}) {
    return load_config(files_, environment_of(std::move(variables)), input);
  }
  std::string message(ConfigInput input, Variables variables = {}) {
    const auto config = load(std::move(input), std::move(variables));
    if (config) return "no error";
    EXPECT_EQ(config.error().code, Code::kUsage);
    return config.error().message;
  }
  os::RealFileSystem files_;
  std::string path_;
};

TEST_F(ConfigTest, TheTableIsInTheOrderOfItsKeys) {
  ASSERT_EQ(settings().size(), kKeyCount);
  for (std::size_t i = 0; i < kKeyCount; ++i) {
    EXPECT_EQ(static_cast<std::size_t>(settings()[i].key), i) << settings()[i].name;
    EXPECT_FALSE(settings()[i].help.empty());
    EXPECT_NE(settings()[i].commands, 0U);
  }
  EXPECT_EQ(flag_of(setting(Key::kModelsDir)), "--models-dir");
  EXPECT_EQ(variable_of(setting(Key::kModelsDir)), "AIOSS_MODELS_DIR");
}

TEST_F(ConfigTest, DefaultsAreValidAndKnowTheirPlace) {
  const auto config = load({});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->text(Key::kHost), "127.0.0.1");
  EXPECT_EQ(config->number(Key::kPort), 8484U);
  EXPECT_EQ(config->text(Key::kLedger), "/h/.local/state/aioss/ledger");
  EXPECT_EQ(config->text(Key::kModelsDir), "/h/.local/share/aioss/models");
  EXPECT_EQ(config->origin(Key::kPort), "default");
}

TEST_F(ConfigTest, XdgVariablesMoveTheDefaultsIfTheyAreAbsolute) {
  const auto moved = load({}, {{"XDG_STATE_HOME", "/s"}, {"XDG_DATA_HOME", "relative"}});
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->text(Key::kLedger), "/s/aioss/ledger");
  EXPECT_EQ(moved->text(Key::kModelsDir), "/h/.local/share/aioss/models");
  const auto homeless = load({}, {{"HOME", ""}});
  ASSERT_TRUE(homeless);
  EXPECT_EQ(homeless->text(Key::kLedger), "");  // the command says so
}

// For one key of each kind: what each source says, and what must win.
TEST_F(ConfigTest, FlagsWinOverEnvironmentOverFileOverDefaults) {
  const std::string file =
      write("port = 1001\nprofile = \"reproducible\"\n\nmodels_dir = \"/f\"\n");
  struct Case {
    bool flag, variable;
    std::uint64_t port;
    std::string origin;
    Source source;
  };
  const std::vector<Case> cases{
      {true, true, 1003, "--port", Source::kFlag},
      {true, false, 1003, "--port", Source::kFlag},
      {false, true, 1002, "AIOSS_PORT", Source::kEnvironment},
      {false, false, 1001, file + ":1", Source::kFile},
  };
  for (const Case& c : cases) {
    ConfigInput input;
    input.config_file = file;
    if (c.flag) input.flags = {{Key::kPort, "1003"}};
    Variables variables;
    if (c.variable) variables["AIOSS_PORT"] = "1002";
    const auto config = load(input, variables);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->number(Key::kPort), c.port);
    EXPECT_EQ(config->origin(Key::kPort), c.origin);
    EXPECT_EQ(config->source(Key::kPort), c.source);
    EXPECT_EQ(config->text(Key::kProfile), "reproducible");
    EXPECT_EQ(config->origin(Key::kModelsDir), file + ":4");
  }
}

// Four values that a setting takes, none like its neighbour in the list.
std::vector<std::string> samples(const Setting& setting) {
  std::vector<std::string> out;
  const std::vector<std::string_view> choices = split(setting.choices, '|');
  for (std::size_t i = 0; i < 4; ++i) {
    switch (setting.type) {
      case SettingType::kNumber:
        out.push_back(std::to_string(setting.least + i));
        break;
      case SettingType::kChoice:
        out.emplace_back(choices[i % choices.size()]);
        break;
      case SettingType::kBytes:
        out.push_back(std::to_string(i + 1) + "GiB");
        break;
      default:
        out.push_back("/value-" + std::to_string(i));
    }
  }
  return out;
}

// Every setting: each source that speaks wins over those below it.
TEST_F(ConfigTest, EverySettingFollowsTheSameOrder) {
  for (const Setting& at : settings()) {
    const std::vector<std::string> value = samples(at);
    const std::string quote = at.type == SettingType::kNumber ? "" : "\"";
    const std::string file = write(std::string(at.name) + " = " + quote + value[1] + quote + "\n");
    const Variables variables{{variable_of(at), value[2]}};
    const ConfigInput in_file{.flags = {}, .config_file = file};
    const ConfigInput in_both{.flags = {{at.key, value[3]}}, .config_file = file};
    const auto expect = [&](const Result<Config>& config, const std::string& text,
                            const std::string& origin) {
      ASSERT_TRUE(config) << at.name << ": " << config.error().message;
      EXPECT_EQ(config->text(at.key), text) << at.name;
      EXPECT_EQ(config->origin(at.key), origin) << at.name;
    };
    expect(load(in_file), value[1], file + ":1");
    expect(load(in_file, variables), value[2], variable_of(at));
    expect(load(in_both, variables), value[3], flag_of(at));
    expect(load(in_both), value[3], flag_of(at));
  }
}

// Every key, misspelt, is recognised; every number and choice out of its range is refused, and the
// message names file and line.
TEST_F(ConfigTest, EverySettingIsCheckedInTheFile) {
  for (const Setting& at : settings()) {
    const std::string name(at.name);
    const std::string typo = write("\n" + name + "x = 1\n");
    EXPECT_EQ(message({.flags = {}, .config_file = typo}),
              typo + ":2: unknown key '" + name + "x' (did you mean '" + name + "'?)");
    const bool text = at.type == SettingType::kText || at.type == SettingType::kPath ||
                      at.type == SettingType::kBytes;
    const std::string wrong = at.type == SettingType::kNumber ? std::to_string(at.most + 1)
                              : text                          ? "7"
                                                              : "\"no such choice\"";
    const bool list = at.type == SettingType::kList;
    const std::string bad = write("\n\n" + name + " = " + (list ? "[\"a\", 7]" : wrong) + "\n");
    EXPECT_EQ(message({.flags = {}, .config_file = bad}).find(bad + ":3: "), 0U) << name;
  }
}

TEST_F(ConfigTest, ListIsAnArrayOrATextWithCommas) {
  for (const std::string value : {"[\"a\", \"b\"]", "\"a,b\""}) {
    const auto config = load({.flags = {}, .config_file = write("pin = " + value + "\n")});
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->text(Key::kPin), "a,b");
  }
}

TEST_F(ConfigTest, TheFileIsFoundByFlagVariableOrPlace) {
  const std::string file = write("port = 1001\n");
  EXPECT_EQ(load({}, {{"AIOSS_CONFIG", file}})->number(Key::kPort), 1001U);
  EXPECT_EQ(load({})->number(Key::kPort), 8484U);  // no file at the default place
  const auto absent = load({.flags = {}, .config_file = path_ + "/absent.toml"});
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, Code::kNotFound);
  EXPECT_NE(absent.error().message.find("absent.toml"), std::string::npos);
}

TEST_F(ConfigTest, PathsInAFileStartFromItsFolder) {
  const std::string file = write("models_dir = \"models\"\nledger = \"~/l\"\nkeys = \"/k\"\n");
  const auto config = load({.flags = {{Key::kUnix, "here.sock"}}, .config_file = file});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->text(Key::kModelsDir), path_ + "/models");
  EXPECT_EQ(config->text(Key::kLedger), "/h/l");
  EXPECT_EQ(config->text(Key::kKeys), "/k");
  EXPECT_EQ(config->text(Key::kUnix), "here.sock");  // of a flag: from the working directory
}

TEST_F(ConfigTest, EmptyVariablesAreAbsent) {
  const auto config = load({}, {{"AIOSS_PORT", ""}});
  ASSERT_TRUE(config);
  EXPECT_EQ(config->origin(Key::kPort), "default");
}

TEST_F(ConfigTest, ErrorsInTheFileNameFileLineAndTheNearestKey) {
  struct Case {
    std::string_view text;
    std::string after_file;  // the message without the file's name
  };
  const std::vector<Case> cases{
      {"prot = 1\n", ":1: unknown key 'prot' (did you mean 'port'?)"},
      {"# fine\n\nmodel_dir = \"x\"\n", ":3: unknown key 'model_dir' (did you mean 'models_dir'?)"},
      {"models-dir = \"x\"\n", ":1: unknown key 'models-dir' (did you mean 'models_dir'?)"},
      {"colour = 1\n", ":1: unknown key 'colour'; 'aioss serve --print-config' lists the keys"},
      {"port = \"80\"\n", ":1: 'port' takes a whole number"},
      {"port = 8.5\n", ":1: 'port' takes a whole number"},
      {"\nhost = 5\n", ":2: 'host' takes a text in quotes"},
      {"port = 65536\n",
       ":1: '65536' is not a value of 'port'; it takes a whole number from 0 to 65535"},
      {"port = -1\n", ":1: '-1' is not a value of 'port'; it takes a whole number from 0 to 65535"},
      {"profile = \"reproducable\"\n",
       ":1: 'reproducable' is not a value of 'profile' (did you mean 'reproducible'?); it takes "
       "one of fast, reproducible"},
      {"[server]\nport = 1\n",
       ":1: the only sections of this file are [models.NAME]; take out [server]"},
      // Two errors: the one that stands first, though its key comes later in the alphabet.
      {"zzz = 1\naaa = 2\n", ":1: unknown key 'zzz'; 'aioss serve --print-config' lists the keys"},
  };
  for (const Case& c : cases) {
    const std::string file = write(c.text);
    EXPECT_EQ(message({.flags = {}, .config_file = file}), file + c.after_file);
  }
}

TEST_F(ConfigTest, BrokenTomlNamesItsLine) {
  const std::string file = write("port = 1\nhost = \"unclosed\nthreads = 2\n");
  EXPECT_EQ(message({.flags = {}, .config_file = file}).find(file + ":2: "), 0U);
  const std::string twice = write("port = 1\nport = 2\n");
  EXPECT_EQ(message({.flags = {}, .config_file = twice}).find(twice + ":2: "), 0U);
}

TEST_F(ConfigTest, AFileThatIsTooLongIsRefused) {
  const std::string file = write(std::string(kConfigBytesMax + 1, '#'));
  const auto config = load({.flags = {}, .config_file = file});
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, Code::kTooLarge);
}

TEST_F(ConfigTest, ErrorsInVariablesAndFlagsNameThem) {
  EXPECT_EQ(message({}, {{"AIOSS_THREADS", "many"}}),
            "AIOSS_THREADS: 'many' is not a value of 'threads'; it takes a whole number from 0 to "
            "512");
  EXPECT_EQ(message({.flags = {{Key::kLogLevel, "inof"}}, .config_file = ""}),
            "--log-level: 'inof' is not a value of 'log_level' (did you mean 'info'?); it takes "
            "one of debug, info, warn, error, off");
  EXPECT_EQ(message({.flags = {{Key::kPort, "0x50"}}, .config_file = ""}),
            "--port: '0x50' is not a value of 'port'; it takes a whole number from 0 to 65535");
  EXPECT_EQ(message({.flags = {{Key::kQueue, "0"}}, .config_file = ""}),
            "--queue: '0' is not a value of 'queue'; it takes a whole number from 1 to 4096");
  EXPECT_EQ(message({.flags = {{Key::kMemoryMax, "8 gigs"}}, .config_file = ""}),
            "--memory-max: '8 gigs' is not a value of 'memory_max'; it takes a size, as 8GiB or "
            "500MB");
}

}  // namespace
}  // namespace aioss::cli
