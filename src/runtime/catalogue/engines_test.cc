#include "runtime/catalogue/engines.h"

#include <gtest/gtest.h>

namespace aioss::runtime {
namespace {

plugins::EngineImage image(const std::string& name, bool linked = false) {
  plugins::EngineImage out;
  out.name = name;
  out.version = "1.2";
  out.is_linked = linked;
  out.sha256 = Digest{7};
  return out;
}

const auto kTable = std::make_shared<plugins::EngineTable>(
    std::vector<plugins::EngineImage>{image("llama", true), image("ik")});

TEST(Engines, AnUnknownOneIsAnErrorThatNamesThoseThatThereAre) {
  const auto found = engine_of(kTable, "il");
  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().message, "there is no engine 'il'; there is ik, llama");
  EXPECT_EQ((*engine_of(kTable, "ik"))->name, "ik");
  EXPECT_EQ(*engine_of(nullptr, "il"), nullptr) << "workers know what is linked";
}

TEST(Engines, APluginMustBeWhatItIsInstalledAs) {
  const EngineImagePointer ik = *engine_of(kTable, "ik");
  EXPECT_TRUE(check_engine(ik, {"ik", "1.2", "", "", ""}));
  EXPECT_FALSE(check_engine(ik, {"llama", "1.2", "", "", ""}));
  EXPECT_FALSE(check_engine(ik, {"ik", "1.3", "", "", ""}));
  EXPECT_TRUE(check_engine(*engine_of(kTable, "llama"), {"llama", "9", "", "", ""}));
  EXPECT_TRUE(check_engine(nullptr, {"fake", "9", "", "", ""}));
}

TEST(Engines, OnlyAPluginHasAFileOfItsOwn) {
  EXPECT_EQ(file_digest(*engine_of(kTable, "ik")), Digest{7});
  EXPECT_EQ(file_digest(*engine_of(kTable, "llama")), Digest{});
  EXPECT_EQ(with_engine(Digest{1}, *engine_of(kTable, "llama")), Digest{1});
  EXPECT_NE(with_engine(Digest{1}, *engine_of(kTable, "ik")), Digest{1});
}

}  // namespace
}  // namespace aioss::runtime
