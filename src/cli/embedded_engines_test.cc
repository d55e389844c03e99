#include "cli/embedded_engines.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "crypto/random.h"
#include "os/clock.h"
#include "os/file.h"

namespace aioss::cli {
namespace {

class EmbeddedEngines : public testing::Test {
 protected:
  EmbeddedEngines() {
    services_.cpu_level = "x86-64-v3";
    services_.embedded = [this] {
      return std::vector<EmbeddedEngine>{{"llama", "0.5.0", "x86-64-v4", as_bytes(bytes_)},
                                         {"ik", "1", "", as_bytes(bytes_)}};
    };
    plugins::EngineImage linked;
    linked.name = "llama";
    linked.is_linked = true;
    table_.put(linked);
  }

  os::RealFileSystem files_;
  const os::SystemClock clock_;
  crypto::SystemRandom random_;
  Console console_ = Console::standard();
  Services services_{files_, clock_, random_, console_};
  const std::string bytes_ = "not really a plugin";
  plugins::EngineTable table_{{}};
};

os::CpuInfo level_4() {
  os::CpuInfo cpu;
  cpu.features = {"abm",      "avx",    "avx2", "avx512bw", "avx512cd", "avx512dq", "avx512f",
                  "avx512vl", "bmi1",   "bmi2", "cx16",     "f16c",     "fma",      "lahf_lm",
                  "movbe",    "popcnt", "sse2", "sse4_1",   "sse4_2",   "ssse3"};
  return cpu;
}

TEST_F(EmbeddedEngines, TakeThePlaceOfTheLinkedOneWhereTheProcessorHasTheirInstructions) {
  const os::CpuInfo cpu = level_4();
  put_embedded(services_, &cpu, table_);
  const auto llama = table_.find("llama");
  ASSERT_TRUE(llama);
  EXPECT_FALSE(llama->is_linked);
  EXPECT_EQ(llama->origin, "embedded");
  ASSERT_TRUE(llama->file);
  Bytes found(bytes_.size());
  ASSERT_EQ(::pread(llama->file->get(), found.data(), found.size(), 0),
            static_cast<ssize_t>(bytes_.size()));
  EXPECT_EQ(as_text(found), bytes_);
  EXPECT_TRUE(table_.find("ik"));
}

TEST_F(EmbeddedEngines, StayAwayFromOtherProcessors) {
  os::CpuInfo cpu = level_4();
  std::erase(cpu.features, "avx512vl");
  put_embedded(services_, &cpu, table_);
  EXPECT_TRUE(table_.find("llama")->is_linked);
  EXPECT_TRUE(table_.find("ik"));  // which wants no level
}

TEST_F(EmbeddedEngines, OfAnUnknownProcessorOnlyThoseThatNeedNoLevelAreThere) {
  put_embedded(services_, nullptr, table_);
  EXPECT_TRUE(table_.find("llama")->is_linked);
  EXPECT_TRUE(table_.find("ik"));
}

}  // namespace
}  // namespace aioss::cli
