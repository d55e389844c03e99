#include "base/suggest.h"

#include <gtest/gtest.h>

namespace aioss {
namespace {

TEST(Suggest, EditDistance) {
  EXPECT_EQ(edit_distance("", "", 3), 0u);
  EXPECT_EQ(edit_distance("abc", "abc", 3), 0u);
  EXPECT_EQ(edit_distance("abc", "abd", 3), 1u);
  EXPECT_EQ(edit_distance("abc", "ab", 3), 1u);
  EXPECT_EQ(edit_distance("abc", "acb", 3), 1u);  // neighbours swapped
  EXPECT_EQ(edit_distance("kitten", "sitting", 3), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting", 2), 3u);  // more than the limit: limit + 1
  EXPECT_EQ(edit_distance("", "abcd", 3), 4u);
  const std::string longest(kSuggestLengthMax, 'a');
  EXPECT_EQ(edit_distance(longest, longest, 3), 0u);
  EXPECT_EQ(edit_distance(longest + 'a', longest, 3), 4u);  // never compared
}

TEST(Suggest, NearestIsTheOneThatWasMeant) {
  const std::vector<std::string> keys{"parallel", "port", "profile", "models-dir", "host"};
  EXPECT_EQ(nearest("paralel", keys), "parallel");
  EXPECT_EQ(nearest("prot", keys), "port");
  EXPECT_EQ(nearest("Port", keys), "port");
  EXPECT_EQ(nearest("models_dir", keys), "models-dir");
  EXPECT_EQ(nearest("ledger", keys), std::nullopt);
  EXPECT_EQ(nearest("x", keys), std::nullopt);
  EXPECT_EQ(nearest("", keys), std::nullopt);
  EXPECT_EQ(nearest("port", {}), std::nullopt);
}

TEST(Suggest, TheFirstOfEqualsWins) {
  EXPECT_EQ(nearest("cat", {"bat", "hat"}), "bat");
}

TEST(Suggest, Sentence) {
  EXPECT_EQ(did_you_mean("serv", {"serve", "run"}), " (did you mean 'serve'?)");
  EXPECT_EQ(did_you_mean("xyzzy", {"serve", "run"}), "");
}

}  // namespace
}  // namespace aioss
