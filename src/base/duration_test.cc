#include "base/duration.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace aioss {
namespace {

using std::chrono::seconds;

TEST(Duration, ReadsWhatPeopleWrite) {
  const std::vector<std::pair<std::string_view, seconds>> texts{
      {"0", seconds(0)},         {"0s", seconds(0)},   {"300", seconds(300)},
      {"90s", seconds(90)},      {"5m", seconds(300)}, {"1h30m", seconds(5400)},
      {"1h1m1s", seconds(3661)}, {"-1", kForever},     {"-1s", kForever},
      {"forever", kForever},     {"-0", seconds(0)},   {"8784h", kDurationMax}};
  for (const auto& [text, wanted] : texts) {
    const auto read = parse_duration(text);
    ASSERT_TRUE(read) << text;
    EXPECT_EQ(*read, wanted) << text;
  }
}

TEST(Duration, RefusesTheRest) {
  for (const std::string_view text :
       {"", "-", "m", "5x", "5 m", "1.5h", "--1", "+5", "5mm", "8785h", "99999999999999999999",
        "4294967296h", "never", "5m-3s"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(Duration, ShowsWhatItReads) {
  for (const std::string_view text : {"0s", "59s", "1m", "1h30m", "1h1s", "forever"}) {
    EXPECT_EQ(show_duration(*parse_duration(text)), text);
  }
}

}  // namespace
}  // namespace aioss
