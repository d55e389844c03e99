#include "cli/run_options.h"

#include <gtest/gtest.h>

namespace aioss::cli {
namespace {

Result<RunOptions> parse(std::vector<std::string> adapters) {
  Invocation invocation;
  invocation.operands = {"smol", "hello"};
  invocation.values["--lora"] = std::move(adapters);
  return parse_run_options(invocation);
}

TEST(RunOptions, AdaptersAreNamesOrFilesWithAScale) {
  const auto options = parse({"pirate", "polite=-0.5", "./x=y.lora.gguf=2", "a.lora.gguf"});
  ASSERT_TRUE(options) << options.error().message;
  ASSERT_EQ(options->adapters.size(), 4U);
  EXPECT_EQ(options->adapters[0].name, "pirate");
  EXPECT_EQ(options->adapters[0].scale, 1.0F);
  EXPECT_FALSE(options->adapters[0].is_file);
  EXPECT_EQ(options->adapters[1].scale, -0.5F);
  EXPECT_EQ(options->adapters[2].name, "./x=y.lora.gguf");
  EXPECT_TRUE(options->adapters[2].is_file);
  EXPECT_TRUE(options->adapters[3].is_file);
  const auto path = parse({"./x=y.lora.gguf"});
  ASSERT_TRUE(path) << path.error().message;
  EXPECT_EQ(path->adapters[0].name, "./x=y.lora.gguf");
}

TEST(RunOptions, ScalesThatAreNoneAreRefused) {
  for (const char* wrong : {"pirate=", "pirate=x", "pirate=nan", "pirate=101", "=1", ""}) {
    EXPECT_FALSE(parse({wrong})) << wrong;
  }
  EXPECT_FALSE(parse({"a", "b", "c", "d", "e"}));
}

}  // namespace
}  // namespace aioss::cli
