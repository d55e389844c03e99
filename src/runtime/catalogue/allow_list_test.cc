#include "runtime/catalogue/allow_list.h"

#include <gtest/gtest.h>

#include "crypto/hash.h"

namespace aioss::runtime {
namespace {

const std::string kA(64, 'a'), kB(64, 'b');

Digest filled(std::uint8_t value) {
  Digest digest{};
  digest.fill(value);
  return digest;
}

TEST(AllowList, ReadsWhatSha256sumWrites) {
  const auto list =
      AllowList::parse("# mine\n" + kA + "  models/x.gguf\r\n\n" + kB + " *x.gguf\n", "allow");
  ASSERT_TRUE(list) << list.error().message;
  EXPECT_EQ(list->size(), 1U);
  EXPECT_TRUE(list->check({"/srv/x.gguf"}, {filled(0xAA)}));
  EXPECT_TRUE(list->check({"x.gguf"}, {filled(0xBB)})) << "a file may have several versions";
  EXPECT_EQ(list->check({"x.gguf"}, {filled(0xCC)}).error().code, Code::kForbidden);
  EXPECT_EQ(list->check({"y.gguf"}, {filled(0xAA)}).error().code, Code::kForbidden);
  EXPECT_FALSE(list->check_names({"y.gguf"}));
  EXPECT_FALSE(list->check({"x.gguf"}, {})) << "no digest is no good digest";
}

TEST(AllowList, EveryPartMustBeInIt) {
  const auto list = AllowList::parse(kA + "  a-1\n" + kB + "  a-2\n", "allow");
  ASSERT_TRUE(list);
  EXPECT_TRUE(list->check({"a-1", "a-2"}, {filled(0xAA), filled(0xBB)}));
  EXPECT_FALSE(list->check({"a-1", "a-2"}, {filled(0xBB), filled(0xAA)}));
}

TEST(AllowList, BadLinesAreNamed) {
  for (const std::string& line : {kA, kA + " x", "zz" + kA.substr(2) + "  x", kA.substr(1) + "  x",
                                  kA + "  ", "x  " + kA, kA + "  dir/"}) {
    const auto list = AllowList::parse("\n" + line + "\n", "allow");
    ASSERT_FALSE(list) << line;
    EXPECT_EQ(list.error().message.find("allow:2: "), 0U) << list.error().message;
  }
}

}  // namespace
}  // namespace aioss::runtime
