#include "runtime/models/model_table.h"

#include <gtest/gtest.h>

namespace aioss::runtime {
namespace {

TEST(ModelTableTest, ALifeThatIsOverIsFoundNoMoreButStaysUntilItIsBuried) {
  ModelTable table({}, {});
  Model& model = table.of("m");
  EXPECT_EQ(model.phase(), Phase::kCold);
  Life& life = table.begin_life(model);
  const std::uint64_t number = life.number;
  EXPECT_EQ(model.phase(), Phase::kWaitingForRoom);
  EXPECT_EQ(table.life(number), &life);
  EXPECT_EQ(table.holder_life("m"), &life);
  const std::vector<Life*> seen = table.lives();
  table.end_life(life);
  EXPECT_EQ(seen.at(0)->phase, Phase::kCold) << "whoever works with it may go on";
  table.end_life(life);
  EXPECT_EQ(table.life(number), nullptr);
  EXPECT_EQ(model.serving, nullptr);
  EXPECT_TRUE(table.lives().empty());
  Life& next = table.begin_life(model);
  EXPECT_NE(next.number, number) << "late tasks of the first do not reach it";
  table.bury();
  EXPECT_EQ(table.life(next.number), &next);
}

TEST(ModelTableTest, PrioritiesOfSettingsWinOverThoseOfOptions) {
  Catalogue catalogue;
  catalogue.models["own"].settings.priority = 3;
  catalogue.models["none"];
  catalogue.aliases["alias"] = "own";
  ModelTable table(std::move(catalogue), {{"own", -1}, {"none", -2}});
  EXPECT_EQ(table.priority_of(table.of("own")), 3);
  EXPECT_EQ(table.priority_of(table.of("none")), -2);
  EXPECT_EQ(table.priority_of(table.of("gone")), 0);
  EXPECT_EQ(table.real_name("alias"), "own");
  EXPECT_EQ(table.real_name("gone"), "gone");
  EXPECT_EQ(table.entry("gone"), nullptr);
}

TEST(ModelTableTest, OnlyThoseWithAWorkerOrItsPlaceCountAsWorkers) {
  ModelTable table({}, {});
  Life& waiting = table.begin_life(table.of("a"));
  table.begin_life(table.of("b")).phase = Phase::kLoading;
  EXPECT_EQ(table.workers(), 1U);
  waiting.phase = Phase::kLoading;
  EXPECT_EQ(table.workers(), 2U);
}

}  // namespace
}  // namespace aioss::runtime
