#include "cli/top_view.h"

#include <gtest/gtest.h>

#include "base/strings.h"
#include "cli/term.h"

namespace aioss::cli {
namespace {

constexpr std::string_view kTopPage = R"({"object":"queue","models":[
  {"model":"smol","state":"ready","engine":"ik","streams":4,"running":4,
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
  const std::string shown = frame(kTopPage);
  EXPECT_NE(shown.find("2 models, 4 running, 14 waiting, 41.2 tokens/s"), std::string::npos)
      << shown;
  for (const std::string_view part :
       {"smol", "ENGINE", "  ik ", "2 (1.05 MB)", "30 s", "loading 58 %", "ward-3", "1.2 M"}) {
    EXPECT_NE(shown.find(part), std::string::npos) << part << "\n" << shown;
  }
}

// Wide names, and more models and tenants than there are lines.
std::string full_page() {
  std::string models, tenants;
  for (int i = 0; i < 40; ++i) {
    tenants += std::string(i == 0 ? "" : ",") + R"({"tenant":"tenant-of-a-very-long-name-)" +
               std::to_string(i) + R"(","waiting":123,"running":45,"tokens":123456789})";
  }
  for (int i = 0; i < 6; ++i) {
    models += std::string(i == 0 ? "" : ",") + R"({"model":"a-model-of-a-long-name-)" +
              std::to_string(i) + R"(","state":"loading","load_fraction":0.99,"streams":16,)" +
              R"("running":16,"waiting":{"interactive":200,"batch":200},"parked":100,)" +
              R"("spilled":20,"spilled_bytes":123456789,"tokens_per_second":12345.6,)" +
              R"("memory_bytes":123456789012,"estimate_seconds":3600,"tenants":[)" + tenants + "]}";
  }
  return R"({"object":"queue","models":[)" + models + "]}";
}

TEST(TopView, FitsTheTerminal) {
  for (const std::size_t columns : {1, 10, 20, 40, 60, 80, 100, 200}) {
    for (const std::size_t rows : {1, 2, 3, 4, 6, 9, 10, 11, 12, 13, 23, 50, 500}) {
      for (const std::string note : {"", "x"}) {
        TopFrame about;
        about.place = "http://127.0.0.1:8484";
        about.note = note;
        about.columns_max = columns;
        about.rows_max = rows;
        const auto shown = top_frame(full_page(), about);
        ASSERT_TRUE(shown);
        EXPECT_TRUE(shown->starts_with(columns < 5 ? "" : "aioss")) << "the headline stays";
        std::vector<std::string_view> lines = split(*shown, '\n');
        EXPECT_EQ(lines.back(), "");
        lines.pop_back();
        EXPECT_LE(lines.size(), rows);
        for (const std::string_view line : lines) {
          EXPECT_LE(display_width(line), columns) << columns << "x" << rows << "\n" << *shown;
        }
      }
    }
  }
}

TEST(TopView, SaysWhatItLeavesOut) {
  TopFrame about;
  about.columns_max = 80;
  about.rows_max = 5;
  const auto few = top_frame(full_page(), about);
  ASSERT_TRUE(few);
  EXPECT_NE(few->find("… and 5 more\n"), std::string::npos) << *few;
  about.rows_max = 23;
  const auto usual = top_frame(full_page(), about);
  ASSERT_TRUE(usual);
  for (const std::string_view part :
       {"RUNNING", "TOKENS/S", "QUEUE", "WAIT", "a-model-of-a-long-name-5",
        "tenant-of-a-very-long-name-0", "… and 229 more\n"}) {
    EXPECT_NE(usual->find(part), std::string::npos) << part << "\n" << *usual;
  }
  EXPECT_EQ(usual->find("SPILLED"), std::string::npos) << *usual;
}

// Broken, twice, or with what a terminal obeys: it is not handed on.
TEST(TopView, JsonIsNotTheServersBytes) {
  const std::string spaced = "{ \"models\" : [],\n \"object\":\"queue\", \"x\":\"\\u001b[2J\" }";
  const auto shown = top_json(spaced, "here");
  ASSERT_TRUE(shown);
  EXPECT_EQ(*shown, R"({"models":[],"object":"queue","x":"\u001b[2J"})"
                    "\n");
  for (const std::string_view page : {"", "\x1b[2J", "{}", "[1]", R"({"object":"queue"})",
                                      R"({"object":"queue","models":[]}{})"}) {
    EXPECT_FALSE(top_json(page, "here")) << page;
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
