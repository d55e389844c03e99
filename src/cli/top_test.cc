#include "cli/top_view.h"

#include <gtest/gtest.h>

#include "cli/term.h"

namespace aioss::cli {
namespace {

constexpr std::string_view kPage = R"({"object":"queue","models":[
  {"model":"smol","state":"ready","streams":4,"running":4,
   "waiting":{"interactive":2,"batch":9,"load":0},"parked":1,"spilled":2,"spilled_bytes":1048576,
   "tokens_per_second":41.25,"memory_bytes":314572800,"estimate_seconds":30,
   "tenants":[{"tenant":"ward-3","waiting":10,"running":3,"tokens":1234567}]},
  {"model":"qwen","state":"loading","load_fraction":0.58,"waiting":{"load":3},
   "estimate_seconds":null,"tenants":[]}]})";

std::string frame(std::string_view page, std::size_t columns = 0) {
  TopFrame about;
  about.place = "http://127.0.0.1:8484";
  about.time = "2026-03-01 12:30:05Z";
  about.columns_max = columns;
  const auto shown = top_frame(page, about);
  return shown ? *shown : "error: " + shown.error().message;
}

TEST(TopView, ShowsModelsAndTenants) {
  const std::string shown = frame(kPage);
  EXPECT_NE(shown.find("2 models, 4 running, 14 waiting, 41.2 tokens/s"), std::string::npos)
      << shown;
  for (const std::string_view part :
       {"smol", "2 (1.05 MB)", "30 s", "loading 58 %", "ward-3", "1.2 M"}) {
    EXPECT_NE(shown.find(part), std::string::npos) << part << "\n" << shown;
  }
}

TEST(TopView, FitsTheTerminal) {
  const std::string shown = frame(kPage, 60);
  std::size_t begin = 0;
  while (begin < shown.size()) {
    const std::size_t end = shown.find('\n', begin);
    const std::string line = shown.substr(begin, end - begin);
    if (line.starts_with("aioss")) {
      EXPECT_LE(display_width(line), 60U) << line;
    }
    begin = end + 1;
  }
}

TEST(TopView, TrustsNoServer) {
  EXPECT_NE(frame("{}").find("error: "), std::string::npos);
  EXPECT_NE(frame("[1]").find("error: "), std::string::npos);
  EXPECT_NE(frame("nonsense").find("error: "), std::string::npos);
  const std::string odd =
      frame(R"({"object":"queue","models":[7,{"model":"\u001b[2Jx","running":-4,"waiting":[],)"
            R"("tenants":{"a":1}},{"model":5,"tokens_per_second":"fast","tenants":[3]}]})");
  EXPECT_EQ(odd.find('\x1b'), std::string::npos) << "no escape sequence gets through";
  EXPECT_NE(odd.find("3 models"), std::string::npos) << odd;
  EXPECT_NE(frame(R"({"object":"queue","models":[]})").find("No model is loaded"),
            std::string::npos);
}

}  // namespace
}  // namespace aioss::cli
