#include "runtime/prefixes/prefix_store.h"

#include <gtest/gtest.h>

#include "os/shared_memory.h"

namespace aioss::runtime {
namespace {

constexpr std::uint64_t kBytes = 1 << 20;

std::vector<os::FileInfo> file(std::uint64_t inode) {
  os::FileInfo info;
  info.inode = inode;
  info.size = 100;
  return {info};
}

std::uint8_t first_byte(int memory) {
  return os::SharedMapping::map(memory)->bytes()[0];
}
void mark(int memory) {
  os::SharedMapping::map(memory)->bytes()[0] = 1;
}

TEST(PrefixStore, TheNextWorkerOfAModelGetsWhatTheLastOneLeft) {
  PrefixStore store(kBytes, 4);
  mark(store.memory_for("a", file(1)));
  EXPECT_EQ(first_byte(store.memory_for("b", file(2))), 0);
  EXPECT_EQ(first_byte(store.memory_for("a", file(1))), 1);
}

TEST(PrefixStore, SaysWhatItHolds) {
  PrefixStore store(kBytes, 4);
  EXPECT_FALSE(store.bytes_of("a"));
  const int memory = store.memory_for("a", file(1));
  EXPECT_EQ(store.bytes_of("a"), 0U);
  mark(memory);
  EXPECT_GT(store.bytes_of("a").value_or(0), 0U);
  store.ended("a");
  EXPECT_GT(store.bytes_of("a").value_or(0), 0U);
  store.drop("a");
  EXPECT_FALSE(store.bytes_of("a"));
}

TEST(PrefixStore, MemoryThatIsFarTooLargeIsNotGivenAgain) {
  PrefixStore store(kBytes, 4);
  mark(store.memory_for("a", file(1)));
  EXPECT_EQ(first_byte(store.memory_for("a", file(1), {}, kBytes / 2)), 1) << "about right";
  EXPECT_EQ(first_byte(store.memory_for("a", file(1), {}, kBytes / 4)), 0);
  EXPECT_EQ(os::SharedMapping::map(store.memory_for("a", file(1)))->bytes().size(), kBytes / 4);
  EXPECT_EQ(store.memory_for("a", file(1), {}, 0), -1);
  EXPECT_FALSE(store.bytes_of("a"));
}

// A model that is cold is loaded again with another engine, say, or another kv_type.
TEST(PrefixStore, NorWhatSomethingElseHasComputed) {
  PrefixStore store(kBytes, 4);
  mark(store.memory_for("a", file(1), Digest{1}));
  store.ended("a");
  EXPECT_EQ(first_byte(store.memory_for("a", file(1), Digest{1})), 1);
  store.ended("a");
  EXPECT_EQ(first_byte(store.memory_for("a", file(1), Digest{2})), 0);
  EXPECT_TRUE(store.is_new("a"));
  store.ended("a");
  EXPECT_EQ(first_byte(store.memory_for("a", file(1), Digest{1})), 0) << "that is gone";
}

TEST(PrefixStore, ButNotIfItsFilesAreOthers) {
  PrefixStore store(kBytes, 4);
  mark(store.memory_for("a", file(1)));
  EXPECT_EQ(first_byte(store.memory_for("a", file(2))), 0);
  mark(store.memory_for("a", file(2)));
  std::vector<os::FileInfo> two = file(2);
  two.push_back(two.front());
  EXPECT_EQ(first_byte(store.memory_for("a", two)), 0);
}

TEST(PrefixStore, NorAfterACrashOrAnErasure) {
  PrefixStore store(kBytes, 4);
  mark(store.memory_for("a", file(1)));
  mark(store.memory_for("b", file(2)));
  store.drop("a");
  EXPECT_EQ(first_byte(store.memory_for("a", file(1))), 0);
  EXPECT_EQ(first_byte(store.memory_for("b", file(2))), 1);
  store.clear();
  EXPECT_EQ(first_byte(store.memory_for("b", file(2))), 0);
}

TEST(PrefixStore, HoldsNoMoreThanItMay) {
  PrefixStore store(kBytes, 2);
  for (const char* model : {"a", "b", "a", "c"}) {
    mark(store.memory_for(model, file(1)));
    store.ended(model);
  }
  EXPECT_EQ(first_byte(store.memory_for("a", file(1))), 1);
  EXPECT_EQ(first_byte(store.memory_for("b", file(1))), 0) << "started longest ago";
}

TEST(PrefixStore, DoesNotTakeItFromOneThatRuns) {
  PrefixStore store(kBytes, 2);
  mark(store.memory_for("a", file(1)));
  for (const char* model : {"b", "c", "d"}) {
    mark(store.memory_for(model, file(1)));
    store.ended(model);
  }
  store.ended("a");
  EXPECT_EQ(first_byte(store.memory_for("a", file(1))), 1);
}

TEST(PrefixStore, TakesBackWhatTheDiskHasBeforeAWorkerGetsIt) {
  PrefixStore store(kBytes, 4);
  const ledger::SubjectName name{"tenant", "user"};
  const auto subject =
      std::make_shared<const ledger::Subject>(name, crypto::SecretKey(Bytes(32, 1)));
  store.memory_for("a", file(1));
  EXPECT_TRUE(store.is_new("a"));
  store.identify("a", Digest{1});
  store.add_owner("a", {subject, "tenant"});
  EXPECT_FALSE(store.left_by("a")) << "a worker has it";
  store.ended("a");
  const auto left = store.left_by("a");
  ASSERT_TRUE(left);
  EXPECT_EQ(left->owners.count(owner_number(*subject)), 1U);
  EXPECT_EQ(left->identity, Digest{1});
  EXPECT_FALSE(left->taken_back->load());
  store.memory_for("a", file(1));
  EXPECT_TRUE(left->taken_back->load());
  EXPECT_FALSE(store.is_new("a"));
  store.clear();
  store.ended("a");
  EXPECT_FALSE(store.left_by("a")) << "somebody was erased";
}

TEST(PrefixStore, CanBeOff) {
  PrefixStore store(0, 4);
  EXPECT_EQ(store.memory_for("a", file(1)), -1);
}

}  // namespace
}  // namespace aioss::runtime
