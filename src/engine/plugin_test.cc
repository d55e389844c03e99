// The example engine and its faulty variants (tests/plugins), opened as a worker opens them. Each
// descriptor stays open: the loader knows what it opened by its path.
#include "engine/plugin.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <string>

#include "engine/conformance.h"
#include "os/file.h"

namespace aioss::engine {
namespace {

using testing::HasSubstr;

int plugin(const std::string& name) {
  static std::map<std::string, os::Fd> open;
  os::Fd& fd = open[name];
  if (!fd.valid()) {
    fd = os::Fd(::open((AIOSS_TEST_PLUGINS "/" + name + ".so").c_str(), O_RDONLY | O_CLOEXEC));
  }
  EXPECT_TRUE(fd.valid()) << name;
  return fd.get();
}

std::string refusal(const std::string& name) {
  const auto engine = open_plugin(plugin(name));
  EXPECT_FALSE(engine.has_value()) << name;
  if (engine) return "";
  EXPECT_EQ(engine.error().code, Code::kUnsupported) << name;
  EXPECT_EQ(engine.error().message.find('\n'), std::string::npos) << name;
  return engine.error().message;
}

// The head of a GGUF file with a vocabulary, and nothing else.
class GgufFile {
 public:
  explicit GgufFile(std::uint32_t vocabulary) {
    bytes_ = "GGUF";
    number<std::uint32_t>(3);
    number<std::uint64_t>(0);
    number<std::uint64_t>(3);
    text("general.architecture");
    number<std::uint32_t>(8);
    text("parrot");
    text("parrot.context_length");
    number<std::uint32_t>(4);
    number<std::uint32_t>(4096);
    text("tokenizer.ggml.tokens");
    number<std::uint32_t>(9);
    number<std::uint32_t>(8);
    number<std::uint64_t>(vocabulary);
    for (std::uint32_t i = 0; i < vocabulary; ++i) text(std::to_string(i));
    fd_ = os::Fd(::memfd_create("gguf", MFD_CLOEXEC));
    EXPECT_EQ(::write(fd_.get(), bytes_.data(), bytes_.size()),
              static_cast<ssize_t>(bytes_.size()));
  }
  int fd() const { return fd_.get(); }

 private:
  template <typename T>
  void number(T value) {
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    bytes_.append(raw, sizeof value);
  }
  void text(const std::string& value) {
    number<std::uint64_t>(value.size());
    bytes_ += value;
  }
  std::string bytes_;
  os::Fd fd_;
};

TEST(Plugin, TheExampleIsOpenedAndSaysWhoItIs) {
  const auto engine = open_plugin(plugin("minimal"));
  ASSERT_TRUE(engine.has_value()) << engine.error().message;
  const auto who = checked_identity(**engine);
  ASSERT_TRUE(who.has_value());
  EXPECT_EQ(who->name, "minimal");
  EXPECT_EQ(who->version, "1.0.0");
  EXPECT_EQ(who->abi_version, AIOSS_ENGINE_ABI_VERSION);
}

TEST(Plugin, TheExampleKeepsAllThatTheAbiPromises) {
  const auto engine = open_plugin(plugin("minimal"));
  ASSERT_TRUE(engine.has_value());
  const GgufFile model(97);
  ConformanceOptions options;
  options.fds = {model.fd()};
  options.prompt_lengths = {30, 155, 500};
  const ConformanceReport report = run_conformance(**engine, options);
  EXPECT_TRUE(report.passed()) << report.text();
  EXPECT_GT(report.checks.size(), 100U);
}

TEST(Plugin, WhatIsNoPluginIsRefusedInOneClearLine) {
  EXPECT_THAT(refusal("no_entry"), HasSubstr("does not export aioss_engine_entry"));
  EXPECT_THAT(refusal("no_table"), HasSubstr("gives no table"));
  EXPECT_THAT(refusal("newer"), HasSubstr("ABI version 7"));
  EXPECT_THAT(refusal("newer"), HasSubstr("update aioss"));
  EXPECT_THAT(refusal("short_table"), HasSubstr("shorter than"));
  EXPECT_THAT(refusal("huge_table"), HasSubstr("4000000000 bytes"));
  EXPECT_THAT(refusal("lacks_decode"), HasSubstr("missing functions"));
  EXPECT_THAT(refusal("bad_name"), HasSubstr("calls itself 'Not A Name'"));
  EXPECT_THAT(refusal("not_utf8"), HasSubstr("version is not UTF-8"));
  EXPECT_THAT(refusal("endless_name"), HasSubstr("name is longer than"));
}

// As in a table that was built with another header.
std::string refusal_of_abi(std::uint32_t version) {
  const auto minimal = open_plugin(plugin("minimal"));
  EXPECT_TRUE(minimal.has_value());
  aioss_engine table = **minimal;
  table.abi_version = version;
  const Status valid = validate_table(table);
  EXPECT_FALSE(valid.has_value()) << version;
  if (valid) return "";
  EXPECT_EQ(valid.error().code, Code::kUnsupported);
  return valid.error().message;
}

TEST(Plugin, OfAnotherAbiIsRefusedWithBothVersionsAndWhatToDo) {
  const std::string ours = std::to_string(AIOSS_ENGINE_ABI_VERSION);
  const std::string newer = refusal_of_abi(AIOSS_ENGINE_ABI_VERSION + 1);
  EXPECT_THAT(newer, HasSubstr("version " + std::to_string(AIOSS_ENGINE_ABI_VERSION + 1) + ","));
  EXPECT_THAT(newer, HasSubstr("this program version " + ours));
  EXPECT_THAT(newer, HasSubstr("update aioss, or install the engine"));
  const std::string older = refusal_of_abi(AIOSS_ENGINE_ABI_VERSION - 1);
  EXPECT_THAT(older, HasSubstr("version " + std::to_string(AIOSS_ENGINE_ABI_VERSION - 1) + ","));
  EXPECT_THAT(older, HasSubstr("this program version " + ours));
  EXPECT_THAT(older, HasSubstr("; install the engine"));
  EXPECT_THAT(older, testing::Not(HasSubstr("update aioss")));
}

TEST(Plugin, AnyOtherFileIsRefused) {
  const GgufFile model(3);
  const auto engine = open_plugin(model.fd());
  ASSERT_FALSE(engine.has_value());
  EXPECT_THAT(engine.error().message, HasSubstr("the system's loader cannot open this plugin"));
  EXPECT_THAT(engine.error().message, testing::Not(HasSubstr("/proc/self/fd")));
}

TEST(Plugin, NamesAreShortAndPlain) {
  for (const char* name : {"ik", "llama-x86-64-v4", "9", "a.b_c"}) {
    EXPECT_TRUE(is_engine_name(name)) << name;
  }
  const std::string long_name(kEngineNameBytesMax + 1, 'a');
  for (const std::string& name : {std::string(), std::string("A"), std::string(".a"),
                                  std::string("a/b"), std::string("a b"), long_name}) {
    EXPECT_FALSE(is_engine_name(name)) << name;
  }
}

}  // namespace
}  // namespace aioss::engine
