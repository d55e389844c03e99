#include "base/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include <string>
#include <thread>
#include <vector>

namespace aioss::log {
namespace {

using testing::HasSubstr;
using testing::Not;

// A pipe that the log writes to.
class LogTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::pipe2(ends_, O_CLOEXEC), 0); }
  void TearDown() override {
    configure({});
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  void start(Format format, Level level = Level::kInfo) {
    configure({.level = level, .format = format, .descriptor = ends_[1]});
  }
  std::string written() {
    std::string out;
    pollfd event{ends_[0], POLLIN, 0};
    while (::poll(&event, 1, 0) == 1) {
      char buffer[65536];
      const ssize_t got = ::read(ends_[0], buffer, sizeof buffer);
      if (got <= 0) break;
      out.append(buffer, static_cast<std::size_t>(got));
    }
    return out;
  }
  int ends_[2] = {-1, -1};
};

// The time, which is not the test's business, is cut off.
std::string after_time(const std::string& line) {
  return line.substr(line.find(',') + 1);
}

TEST_F(LogTest, JsonLines) {
  start(Format::kJson);
  info("model ready", {{"model", "m"}, {"slots", 4}, {"ok", true}, {"seconds", 0.25}});
  const std::string line = written();
  EXPECT_THAT(line, testing::StartsWith("{\"time\":\"2"));
  EXPECT_EQ(after_time(line),
            "\"level\":\"info\",\"msg\":\"model ready\",\"model\":\"m\",\"slots\":4,\"ok\":true,"
            "\"seconds\":0.25}\n");
}

TEST_F(LogTest, JsonEscapes) {
  start(Format::kJson);
  warn("a\"b\\c\nd\x1b", {{"bad", std::string("x\xff")}, {"odd", std::nan("")}});
  const std::string line = written();
  EXPECT_THAT(line, HasSubstr(R"("level":"warn","msg":"a\"b\\c\nd\u001b","bad":"x)"
                              "\xEF\xBF\xBD\""));
  EXPECT_THAT(line, HasSubstr("nan\""));  // quoted: JSON has no such number
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
}

TEST_F(LogTest, TextIsOneLineWhateverItIsGiven) {
  start(Format::kText);
  error("first\nforged line", {{"path", "a b"}, {"n", -3}, {"escape", "\x1b[2J"}, {"empty", ""}});
  const std::string line = written();
  EXPECT_THAT(line, HasSubstr("error first\\nforged line path=\"a b\" n=-3 escape=\\x1b[2J"
                              " empty=\"\"\n"));
  EXPECT_THAT(line, Not(HasSubstr("\x1b")));  // no colour either: this is no terminal
}

TEST_F(LogTest, TheFormatFollowsTheDescriptor) {
  start(Format::kAuto);
  info("x");
  EXPECT_THAT(written(), testing::StartsWith("{"));
}

TEST_F(LogTest, LevelsFilterAndChangeAtRunTime) {
  start(Format::kJson, Level::kWarn);
  info("hidden");
  EXPECT_EQ(written(), "");
  set_level(Level::kDebug);
  debug("shown");
  EXPECT_THAT(written(), HasSubstr("\"level\":\"debug\",\"msg\":\"shown\""));
  set_level(Level::kOff);
  error("hidden");
  EXPECT_EQ(written(), "");
  EXPECT_EQ(level_from_name("warn"), Level::kWarn);
  EXPECT_EQ(level_from_name("off"), Level::kOff);
  EXPECT_EQ(level_from_name("loud"), std::nullopt);
}

TEST_F(LogTest, AHugeLineIsShortenedAndStaysWhole) {
  start(Format::kJson);
  const std::string huge(100'000, '\x01');  // six bytes each when escaped
  info(huge, {{"a", huge}, {"b", huge}, {"small", 1}});
  const std::string line = written();
  EXPECT_LE(line.size(), 4096u);
  EXPECT_TRUE(line.ends_with(",\"small\":1}\n")) << line.substr(line.size() - 80);
}

// Nobody reads: the log must return, and say later how much is missing. Would hang if it blocked.
TEST_F(LogTest, AReaderThatDoesNotReadStopsNobody) {
  start(Format::kJson);
  const std::string filler(500, 'x');
  for (int i = 0; i < 1000; ++i) info("line", {{"filler", filler}});  // 64 KiB fit the pipe
  (void)written();
  info("afterwards");
  const std::string rest = written();
  EXPECT_THAT(rest, HasSubstr("log lines were dropped"));
  EXPECT_THAT(rest, HasSubstr("\"afterwards\""));
}

TEST_F(LogTest, LinesOfManyThreadsAreNotMixed) {
  start(Format::kJson);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 50; ++i) info("from a thread", {{"i", i}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string text = written();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 200);
  EXPECT_EQ(std::count(text.begin(), text.end(), '{'), 200);
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string line = text.substr(begin, end - begin);
    EXPECT_TRUE(line.starts_with("{\"time\"") && line.ends_with("}")) << line;
  }
}

}  // namespace
}  // namespace aioss::log
