#include "runtime/requests/quarantine.h"

#include <gtest/gtest.h>

namespace aioss::runtime {
namespace {

ipc::Submit request(const std::string& prompt) {
  ipc::Submit submit;
  submit.prompt = prompt;
  return submit;
}

Digest content_of(const ipc::Submit& request) {
  return runtime::content_of(request, {}, {});
}

Digest digest(std::uint32_t number) {
  Digest made{};
  for (std::size_t i = 0; i < 4; ++i) made[i] = static_cast<std::uint8_t>(number >> (8 * i));
  return made;
}

TEST(Quarantine, TheContentIsWhatIsComputedAndNotWhoAsksOrWhen) {
  const ipc::Submit first = request("p");
  ipc::Submit again = first;
  again.id = 9;
  again.tenant = 8;
  again.sampling.seed = 7;
  again.now_unix_s = 6;
  again.credit_bytes = 5;
  again.resume = {{{1, 2}, false}};
  EXPECT_EQ(content_of(first), content_of(again));
  ipc::Submit other = first;
  other.tokens_max = 5;
  EXPECT_NE(content_of(first), content_of(other));
  other = first;
  other.sampling.temperature = 0.5F;
  EXPECT_NE(content_of(first), content_of(other));
  EXPECT_NE(content_of(first), content_of(request("q")));
}

// A request that an adapter makes deadly is not to blame without it.
TEST(Quarantine, AdaptersAreOfTheContent) {
  const ipc::Submit submit = request("p");
  Catalogue catalogue;
  catalogue.adapters["a"].file.size = 5;
  const auto under = [&](const std::vector<AdapterWish>& adapters) {
    return runtime::content_of(submit, adapters, catalogue);
  };
  const Digest under_a = under({{"a", 1.0F}});
  EXPECT_EQ(under_a, under({{"a", 1.0F}}));
  EXPECT_NE(under_a, content_of(submit));
  EXPECT_NE(under_a, under({{"a", 0.5F}}));
  EXPECT_NE(under_a, under({{"b", 1.0F}}));
  EXPECT_NE(under_a, under({{"a", 1.0F}, {"b", 1.0F}}));
  catalogue.adapters["a"].file.size = 6;
  EXPECT_NE(under_a, under({{"a", 1.0F}})) << "it is another file now";
}

const Quarantine::Engine kLinked{"llama"};

TEST(Quarantine, HoldsForOneFileOnly) {
  os::FileInfo here;
  here.size = 1;
  os::FileInfo changed = here;
  changed.size = 2;
  Quarantine quarantine;
  EXPECT_TRUE(quarantine.empty());
  quarantine.add(digest(1), kLinked, digest(2), {here});
  EXPECT_TRUE(quarantine.knows(digest(1)));
  EXPECT_FALSE(quarantine.knows(digest(2)));
  EXPECT_TRUE(quarantine.holds(digest(1), kLinked, digest(2)));
  EXPECT_FALSE(quarantine.holds(digest(1), kLinked, digest(3)));
  EXPECT_TRUE(quarantine.holds(digest(1), kLinked, {here}));
  EXPECT_FALSE(quarantine.holds(digest(1), kLinked, {changed}));
  EXPECT_FALSE(quarantine.holds(digest(1), kLinked, {here, here}));
  quarantine.add(digest(1), kLinked, digest(2), {here});
  EXPECT_EQ(quarantine.size(), 1U);
}

TEST(Quarantine, HoldsForOneEngineOnly) {
  const os::FileInfo file;
  Quarantine quarantine;
  quarantine.add(digest(1), {"ik", digest(7)}, digest(2), {file});
  for (const Quarantine::Engine& other :
       {kLinked, Quarantine::Engine{"ik", digest(8)}, Quarantine::Engine{"other", digest(7)}}) {
    EXPECT_FALSE(quarantine.holds(digest(1), other, digest(2)));
    EXPECT_FALSE(quarantine.holds(digest(1), other, {file}));
  }
  quarantine.add(digest(1), kLinked, digest(2), {file});
  EXPECT_EQ(quarantine.size(), 2U);
  EXPECT_TRUE(quarantine.holds(digest(1), {"ik", digest(7)}, digest(2)));
  EXPECT_TRUE(quarantine.holds(digest(1), {"ik", digest(7)}, {file}));
}

TEST(Quarantine, TheLeastRecentlySeenOneGoes) {
  Quarantine quarantine;
  for (std::uint32_t i = 0; i < kQuarantinedMax; ++i) {
    quarantine.add(digest(i), kLinked, digest(0), {});
  }
  EXPECT_TRUE(quarantine.holds(digest(0), kLinked, digest(0)));  // the oldest, seen again
  quarantine.add(digest(kQuarantinedMax), kLinked, digest(0), {});
  EXPECT_EQ(quarantine.size(), kQuarantinedMax);
  EXPECT_TRUE(quarantine.knows(digest(0)));
  EXPECT_FALSE(quarantine.knows(digest(1)));
}

}  // namespace
}  // namespace aioss::runtime
