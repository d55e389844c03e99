#include "cli/model_settings_file.h"

#include <gtest/gtest.h>

namespace aioss::cli {
namespace {

using runtime::ModelSettings;

std::string problem(const std::string& text) {
  const auto parsed = parse_model_settings(text, "m.toml");
  return parsed ? "" : parsed.error().message;
}

TEST(ModelSettingsFile, ReadsEveryKey) {
  const auto parsed = parse_model_settings(
      "ctx = 8192\nparallel = 2\nthreads = 4\nkv_type = \"q8_0\"\nkeep_alive = \"10m\"\n"
      "warm_keep_alive = \"1h\"\n"
      "priority = -5\npinned = true\nmax_bytes = \"8GiB\"\naliases = [\"chat\", \"a.b\"]\n"
      "adapters = [\"pirate\"]\n",
      "m.toml");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->text(),
            "ctx=8192\nparallel=2\nthreads=4\nkv_type=q8_0\nkeep_alive=600\n"
            "warm_keep_alive=3600\npriority=-5\n"
            "pinned=true\nmax_bytes=8589934592\nadapters=pirate\naliases=chat,a.b\n");
  EXPECT_EQ(parse_model_settings("", "m.toml").value(), ModelSettings());
}

TEST(ModelSettingsFile, TimesAndSizes) {
  const auto seconds = [](const std::string& value) {
    const auto parsed = parse_model_settings("keep_alive = " + value, "m.toml");
    return parsed ? parsed->keep_alive_seconds.value_or(-9) : -9;
  };
  EXPECT_EQ(seconds("0"), 0);
  EXPECT_EQ(seconds("\"90s\""), 90);
  EXPECT_EQ(seconds("\"2h\""), 7200);
  EXPECT_EQ(seconds("\"1d\""), 86400);
  EXPECT_EQ(seconds("\"forever\""), runtime::kKeepAliveForever);
  EXPECT_EQ(seconds("-1"), runtime::kKeepAliveForever);
  for (const char* bad : {"-2", "\"m\"", "\"10\"", "\"10 m\"", "\"99999999999999999999s\"", "1.5",
                          "\"999999d\"", "true"}) {
    EXPECT_EQ(seconds(bad), -9) << bad;
  }
  EXPECT_EQ(parse_model_settings("max_bytes = 17", "")->max_bytes, 17U);
  EXPECT_NE(problem("max_bytes = \"8GB\""), "");
}

TEST(ModelSettingsFile, MistakesAreNamedWithTheNearestKey) {
  EXPECT_EQ(problem("paralel = 2"), "m.toml:1: unknown key 'paralel' (did you mean 'parallel'?)");
  EXPECT_EQ(problem("\n\nctx = \"x\""), "m.toml:3: 'ctx' takes a whole number from 0 to 1048576");
  EXPECT_NE(problem("colour = 1").find("a model has ctx, parallel"), std::string::npos);
  EXPECT_EQ(problem("zzz = 1\naaa = 2").find("m.toml:1:"), 0U) << "the first of the file";
  EXPECT_EQ(problem("aliases = [\"../x\"]").find("m.toml:1: 'aliases' takes"), 0U);
  EXPECT_EQ(problem("aliases = \"x\"").find("m.toml:1: 'aliases' takes"), 0U);
  EXPECT_EQ(problem("adapters = 3").find("m.toml:1: 'adapters' takes"), 0U);
  EXPECT_EQ(problem("kv_type = \"q2\"").find("m.toml:1: 'kv_type' takes one of \"f32\""), 0U);
  EXPECT_EQ(problem("ctx = \n").find("m.toml:1:"), 0U);
}

TEST(ModelSettingsFile, SectionsOfTheConfiguration) {
  const auto parsed = parse_model_sections(
      "port = 1\n[models.small]\nctx = 512\n[models.\"a.Q4_0\"]\naliases = [\"a\"]\n", "c.toml");
  ASSERT_TRUE(parsed) << parsed.error().message;
  ASSERT_EQ(parsed->size(), 2U);
  EXPECT_EQ(parsed->at("small").context_tokens, 512U);
  EXPECT_EQ(parsed->at("a.Q4_0").aliases, std::vector<std::string>{"a"});
  EXPECT_TRUE(parse_model_sections("port = 1\n", "c.toml")->empty());
  const auto why = [](const std::string& text) {
    const auto sections = parse_model_sections(text, "c.toml");
    return sections ? "" : sections.error().message;
  };
  EXPECT_EQ(why("[models.a.Q4_0]\nctx = 1\n").find("c.toml:1: unknown key 'Q4_0'; put a model's"),
            0U);
  EXPECT_EQ(why("[models]\nctx = 1\n").find("c.toml:2: 'ctx' is no section"), 0U);
}

}  // namespace
}  // namespace aioss::cli
