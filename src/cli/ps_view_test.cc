#include "cli/ps_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace aioss::cli {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kPage = R"({"object":"queue","models":[
  {"model":"smol","state":"ready","engine":"ik","streams":4,"running":0,"memory_bytes":314572800,
   "waiting":{"interactive":0,"batch":0,"load":0},"pinned":false,
   "idle_since":1700000000,"expires_at":1700000300},
  {"model":"kept","state":"ready","streams":2,"running":0,"pinned":true,"idle_since":1700000040},
  {"model":"busy","state":"ready","streams":2,"running":2,"waiting":{"interactive":2,"batch":1},
   "pinned":false,"unloading":true},
  {"model":"qwen","state":"loading","load_fraction":0.58,"waiting":{"load":3}},
  {"model":"bad","state":"failed","error":"no \u001b[31mGGUF","retry_seconds":16}]})";

PsLook at(std::int64_t now) {
  PsLook look;
  look.place = "http://127.0.0.1:8484";
  look.now_unix_s = now;
  return look;
}

TEST(PsView, SaysOfEachModelWhatItDoesAndWhenItGoes) {
  const auto shown = ps_table(kPage, at(1'700'000'060));
  ASSERT_TRUE(shown);
  EXPECT_THAT(*shown, ContainsRegex("smol +ready +ik +315 MB +0/4 +0 +60.0 s +in 240.0 s"));
  EXPECT_THAT(*shown, ContainsRegex("kept .*pinned"));
  EXPECT_THAT(*shown, ContainsRegex("busy +ready, to unload +- +- +2/2 +3 +- +-"));
  EXPECT_THAT(*shown, ContainsRegex("qwen +loading 58 % +- +- +- +3"));
  EXPECT_THAT(*shown, HasSubstr("again in 16 s: no "));
  EXPECT_THAT(*shown, Not(HasSubstr("\x1b")));
}

TEST(PsView, HasAFormForScripts) {
  const auto shown = ps_json(kPage, at(0));
  ASSERT_TRUE(shown);
  EXPECT_THAT(*shown, HasSubstr(R"({"name":"smol","state":"ready","memory_bytes":314572800,)"
                                R"("running":0,"streams":4,"waiting":0,"pinned":false,)"
                                R"("unloading":false,"idle_since":1700000000,)"
                                R"("expires_at":1700000300,"engine":"ik"})"));
  EXPECT_THAT(*shown, HasSubstr(R"("load_fraction":0.58)"));
}

TEST(PsView, TakesNothingForGranted) {
  for (const std::string_view page : {"", "{}", "[]", R"({"models":{}})", "<html>"}) {
    EXPECT_EQ(ps_table(page, at(0)).error().code, Code::kCorrupt) << page;
  }
  for (const std::string_view model :
       {"7", "{}", R"({"model":7,"state":[],"pinned":"yes","idle_since":-1,"expires_at":1e300})",
        R"({"load_fraction":1e300,"state":"loading","expires_at":18446744073709551615})"}) {
    const std::string page = R"({"models":[)" + std::string(model) + "]}";
    EXPECT_TRUE(ps_table(page, at(INT64_MAX))) << model;
    EXPECT_TRUE(ps_json(page, at(0))) << model;
  }
}

}  // namespace
}  // namespace aioss::cli
