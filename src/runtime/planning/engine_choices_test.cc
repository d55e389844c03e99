// Pins of engines: what is kept of them, and of a file that cannot be read.
#include "runtime/planning/engine_choices.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace aioss::runtime {
namespace {

namespace fs = std::filesystem;

class EngineChoicesTest : public ::testing::Test {
 protected:
  EngineChoicesTest() {
    std::string pattern = ::testing::TempDir() + "aioss-pins-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  ~EngineChoicesTest() override { fs::remove_all(folder_); }

  std::string file() const { return folder_ + "/model-engines.cbor"; }
  std::string damaged() const { return file() + ".damaged"; }
  static std::string text_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const std::string& bytes) {
    std::ofstream(file(), std::ios::binary | std::ios::trunc) << bytes;
  }
  void pin(const std::string& model, const std::string& engine) {
    EngineChoices choices(fs_, folder_);
    choices.set(model, {engine, true, ""});
  }
  std::string pinned(const std::string& model) {
    const auto found = EngineChoices(fs_, folder_).of(model);
    return found && found->pinned ? found->engine : "";
  }

  os::RealFileSystem fs_;
  std::string folder_;
};

TEST_F(EngineChoicesTest, PinsAreKeptAndTakenAway) {
  pin("m", "ik");
  pin("n", "llama");
  EXPECT_EQ(pinned("m"), "ik");
  EXPECT_EQ(pinned("n"), "llama");
  {
    EngineChoices choices(fs_, folder_);
    choices.set("m", {"ik", false, ""});
    choices.set("n", {"ik", true, ""});
  }
  EXPECT_EQ(pinned("m"), "");
  EXPECT_EQ(pinned("n"), "ik");
  EXPECT_FALSE(fs::exists(damaged()));
}

TEST_F(EngineChoicesTest, AFileThatCannotBeReadIsKeptBesideTheNext) {
  pin("m", "ik");
  const std::string good = text_of(file());
  std::string other_version = good;
  other_version[2] = 9;  // {0: 1, …
  const std::string bad[] = {"", "no cbor", good.substr(0, good.size() - 1), other_version,
                             std::string(std::size_t{1} << 20, 'x')};
  for (const std::string& bytes : bad) {
    write(bytes);
    EXPECT_EQ(pinned("m"), "");
    EXPECT_EQ(text_of(file()), bytes) << "reading alone changes nothing";
    pin("n", "llama");
    EXPECT_EQ(text_of(damaged()), bytes);
    EXPECT_EQ(pinned("n"), "llama");
    pin("n", "ik");
    EXPECT_EQ(text_of(damaged()), bytes) << "a good one is not kept so";
  }
}

TEST_F(EngineChoicesTest, WhatIsNoFileIsNoPinsAndIsNotLost) {
  fs::create_directory(file());
  EXPECT_EQ(pinned("m"), "");
  pin("m", "ik");
  EXPECT_EQ(pinned("m"), "ik");
  EXPECT_TRUE(fs::is_directory(damaged()));
}

TEST_F(EngineChoicesTest, PinsAreBounded) {
  EngineChoices choices(fs_, "");
  for (std::size_t i = 0; i < kEnginePinsMax; ++i) {
    EXPECT_TRUE(choices.has_room_for_pin()) << i;
    choices.set("m" + std::to_string(i), {"ik", true, ""});
  }
  EXPECT_FALSE(choices.has_room_for_pin());
  choices.set("m0", {"ik", false, ""});
  EXPECT_TRUE(choices.has_room_for_pin());
}

}  // namespace
}  // namespace aioss::runtime
