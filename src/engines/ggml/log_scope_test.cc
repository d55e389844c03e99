#include "engines/ggml/log_scope.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace aioss::engines::ggml {
namespace {

TEST(LogScope, KeepsTheFirstErrorWithoutTheNameOfItsFunction) {
  LogScope log;
  EXPECT_EQ(log.error_or("nothing"), "nothing");
  log.add(false, "llama_model_load: all is well\n");
  log.add(true, "llama_model_load: error loading model: no magic\n");
  log.add(true, "llama_load_model_from_file: failed to load model\n");
  EXPECT_EQ(log.error_or("nothing"), "error loading model: no magic");
}

TEST(LogScope, JoinsALineThatComesInParts) {
  LogScope log;
  log.add(true, "load: tensor ");
  EXPECT_TRUE(log.is_amid_line());
  log.add({}, "'x' is missing\n");
  EXPECT_FALSE(log.is_amid_line());
  EXPECT_EQ(log.error_or(""), "tensor 'x' is missing");
}

TEST(LogScope, TakesNoLineForAnErrorThatGoesOnFromAnother) {
  LogScope log;
  log.add(false, "load: loading ");
  log.add({}, "...\n");
  EXPECT_EQ(log.error_or("nothing"), "nothing");
}

TEST(LogScope, KeepsAnErrorWhoseLineHasNoEnd) {
  LogScope log;
  log.add(false, "a line that was cut off");
  log.add(true, "it failed");
  EXPECT_EQ(log.error_or("nothing"), "it failed");
}

TEST(LogScope, QuotesNothingUnprintableAndNothingEndless) {
  LogScope log;
  log.add(true, "a\x1B[2J\xFF");
  EXPECT_EQ(log.error_or(""), "a?[2J?");
  LogScope longer;
  longer.add(true, std::string(10'000, 'x').c_str());
  EXPECT_EQ(longer.error_or("").size(), 400U);
}

TEST(LogScope, TheInnermostOfItsThreadCollects) {
  EXPECT_EQ(LogScope::current(), nullptr);
  LogScope outer;
  {
    const LogScope inner;
    EXPECT_EQ(LogScope::current(), &inner);
    std::thread([] { EXPECT_EQ(LogScope::current(), nullptr); }).join();
  }
  EXPECT_EQ(LogScope::current(), &outer);
}

}  // namespace
}  // namespace aioss::engines::ggml
