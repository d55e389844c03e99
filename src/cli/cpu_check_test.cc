// A processor that lacks what the engines were built for: said before a command blames its file.
#include "cli/cpu_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <memory>

#include "cli/cli.h"
#include "os/clock.h"

namespace aioss::cli {
namespace {

using testing::HasSubstr;

class CpuCheck : public testing::Test {
 protected:
  CpuCheck() {
    services_.cpu_level = "x86-64-v3";
    services_.cpu = [] {
      os::CpuInfo cpu;
      cpu.features = {"cx16", "lahf_lm", "popcnt", "sse2", "sse4_1", "sse4_2", "ssse3"};
      return Result<os::CpuInfo>(cpu);
    };
    services_.environment = [](std::string_view) { return std::optional<std::string>(); };
  }

  // What a command says is wrong; "" if its exit code is 0.
  std::string complaint(const std::vector<std::string>& arguments) {
    std::rewind(error_.get());
    const int code = run(services_, arguments);
    const long bytes = std::ftell(error_.get());
    std::string said(static_cast<std::size_t>(bytes), '\0');
    std::rewind(error_.get());
    EXPECT_EQ(std::fread(said.data(), 1, said.size(), error_.get()), said.size());
    return code == 0 ? "" : said;
  }

  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  using Stream = std::unique_ptr<std::FILE, Close>;
  Stream out_{std::tmpfile()}, error_{std::tmpfile()};
  os::RealFileSystem files_;
  os::SystemClock clock_;
  crypto::SystemRandom random_;
  Console console_{out_.get(), error_.get(), {}};
  Services services_{files_, clock_, random_, console_};
};

TEST_F(CpuCheck, ComesFirstWhereverAnEngineComputesOrIsOpened) {
  const std::array<std::vector<std::string>, 7> commands = {{
      {"serve"},
      {"run", "/none.gguf", "Hello"},
      {"plan", "/none.gguf"},
      {"tune", "none"},
      {"engine", "check", "/none.so", "--model", "/none.gguf"},
      {"engine", "add", "/none.so"},
      {"update", "apply", "/none", "--unsigned"},
  }};
  for (const auto& command : commands) {
    EXPECT_THAT(complaint(command), HasSubstr("needs a processor of level x86-64-v3; this one "
                                              "lacks avx, avx2,"))
        << command.front();
  }
}

TEST_F(CpuCheck, IsNotInTheWayOfWhatComputesNothing) {
  EXPECT_EQ(complaint({"serve", "--print-config"}), "");
  EXPECT_THAT(complaint({"tune", "none", "--show"}), testing::Not(HasSubstr("processor of level")));
  EXPECT_THAT(complaint({"inspect", "/none.gguf"}), HasSubstr("no such file"));
}

TEST_F(CpuCheck, HasNothingAgainstAProcessorThatHasItAllOrIsNotKnown) {
  EXPECT_FALSE(check_cpu(services_));
  services_.cpu = [] { return Result<os::CpuInfo>(Error{Code::kIo, "no /proc"}); };
  EXPECT_TRUE(check_cpu(services_));
  services_.cpu = [] { return Result<os::CpuInfo>(os::CpuInfo()); };
  services_.cpu_level = "native";
  EXPECT_TRUE(check_cpu(services_));
}

}  // namespace
}  // namespace aioss::cli
