#include "runtime/catalogue/engine_reload.h"

#include <gtest/gtest.h>

namespace aioss::runtime {
namespace {

using plugins::EngineImage;
using plugins::EngineTable;

EngineImage image(const std::string& name, std::uint8_t content, const std::string& origin) {
  EngineImage out;
  out.name = name;
  out.version = "1";
  out.sha256[0] = content;
  out.origin = origin;
  out.is_linked = origin == "linked";
  return out;
}

TEST(EngineReload, NewOnesOthersAndThoseThatAreGone) {
  EngineTable table({image("llama", 0, "linked"), image("ik", 9, "embedded"),
                     image("same", 1, "/e/same.so"), image("other", 2, "/e/other.so"),
                     image("gone", 3, "/e/gone.so")});
  const std::vector<EngineImage> installed{
      image("same", 1, "/e/same.so"), image("other", 7, "/e/other.so"),
      image("new", 4, "/e/new.so"), image("ik", 5, "/e/ik.so"), image("llama", 6, "/e/llama.so")};
  const EngineChanges changes = engine_changes(table, installed);
  ASSERT_EQ(changes.put.size(), 2U);
  EXPECT_EQ(changes.put[0].name, "other");
  EXPECT_EQ(changes.put[1].name, "new");
  EXPECT_EQ(changes.removed, std::vector<std::string>{"gone"});
  ASSERT_EQ(changes.details.size(), 3U);
  EXPECT_EQ(changes.details[0], "engine other 1 sha256 07" + std::string(62, '0'));
  EXPECT_EQ(changes.details[2], "engine gone removed");
  take_up(changes, table);
  EXPECT_EQ(table.find("other")->sha256[0], 7);
  EXPECT_EQ(table.find("ik")->origin, "embedded");
  EXPECT_TRUE(table.find("llama")->is_linked);
  EXPECT_FALSE(table.find("gone"));
  EXPECT_TRUE(engine_changes(table, {image("same", 1, "/e/same.so"), image("new", 4, "/e/new.so"),
                                     image("other", 7, "/e/other.so")})
                  .details.empty());
}

}  // namespace
}  // namespace aioss::runtime
