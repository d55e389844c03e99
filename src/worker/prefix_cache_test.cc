// What is kept, found, forgotten, and what a killed worker leaves.
#include "worker/prefix_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "os/shared_memory.h"

namespace aioss::worker {
namespace {

using Tokens = std::vector<PrefixCache::Token>;
constexpr std::uint64_t kMemory = 1 << 20;
constexpr std::size_t kState = 100'000;

class Memory {
 public:
  explicit Memory(std::uint64_t bytes = kMemory) : fd_(*os::create_shared_memory("test", bytes)) {}
  os::SharedMapping map() const { return *os::SharedMapping::map(fd_.get()); }
  bool holds(std::uint8_t byte) const {
    const os::SharedMapping mapping = map();
    const auto bytes = mapping.bytes();
    // The head and the table hold numbers; a state of this test is a run of one byte.
    const std::vector<std::uint8_t> run(64, byte);
    return std::search(bytes.begin(), bytes.end(), run.begin(), run.end()) != bytes.end();
  }

 private:
  os::Fd fd_;
};

Tokens tokens_from(std::int32_t first, std::size_t count = 100) {
  Tokens tokens(count);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

bool put(PrefixCache& cache, std::uint64_t tenant, const Tokens& tokens, std::uint8_t byte,
         std::size_t bytes = kState) {
  const auto number = cache.make_room({tenant, 0}, tokens, bytes);
  if (!number) return false;
  const auto room = cache.room(*number);
  EXPECT_GE(room.size(), bytes);
  std::fill_n(room.begin(), bytes, byte);
  cache.keep(*number, bytes);
  return true;
}

void expect_state(const PrefixCache& cache, std::uint64_t tenant, const Tokens& tokens,
                  std::uint8_t byte) {
  const TokenTree::Found found = cache.find(tenant, tokens);
  ASSERT_TRUE(found.whole);
  EXPECT_EQ(found.whole_tokens, tokens.size());
  const ByteView state = cache.state(*found.whole);
  EXPECT_EQ(state.size(), kState);
  EXPECT_TRUE(std::all_of(state.begin(), state.end(), [&](std::uint8_t b) { return b == byte; }));
}

TEST(PrefixCache, FindsWhatATenantHasAskedAndNobodyElses) {
  const Memory memory;
  PrefixCache cache(memory.map());
  ASSERT_TRUE(put(cache, 1, tokens_from(0), 11));
  ASSERT_TRUE(put(cache, 2, tokens_from(0), 22));
  expect_state(cache, 1, tokens_from(0), 11);
  expect_state(cache, 2, tokens_from(0), 22);
  EXPECT_FALSE(cache.find(3, tokens_from(0)).whole);
  EXPECT_FALSE(cache.find(3, tokens_from(0)).part);
}

TEST(PrefixCache, OutlivesItsWorker) {
  const Memory memory;
  {
    PrefixCache cache(memory.map());
    ASSERT_TRUE(put(cache, 1, tokens_from(0), 11));
    ASSERT_TRUE(put(cache, 2, tokens_from(500), 22));
    const auto unfinished =
        cache.make_room({1, 0}, tokens_from(9'000), kState);  // killed in between
    ASSERT_TRUE(unfinished);
    std::fill_n(cache.room(*unfinished).begin(), kState, std::uint8_t{33});
  }
  PrefixCache next(memory.map());
  EXPECT_EQ(next.size(), 2U);
  expect_state(next, 1, tokens_from(0), 11);
  expect_state(next, 2, tokens_from(500), 22);
  EXPECT_FALSE(memory.holds(33)) << "half a state is zeroed";
  EXPECT_TRUE(put(next, 1, tokens_from(9'000), 44)) << "and its room is used again";
}

TEST(PrefixCache, ForgetsToTheLastByte) {
  const Memory memory;
  PrefixCache cache(memory.map());
  ASSERT_TRUE(put(cache, 1, tokens_from(0), 11));
  ASSERT_TRUE(put(cache, 1, tokens_from(300), 12));
  ASSERT_TRUE(put(cache, 2, tokens_from(0), 22));
  ASSERT_TRUE(memory.holds(11));
  cache.clear();
  EXPECT_FALSE(cache.find(1, tokens_from(0)).whole);
  EXPECT_FALSE(memory.holds(11) || memory.holds(12) || memory.holds(22));
  EXPECT_EQ(cache.size(), 0U);
  EXPECT_EQ(cache.bytes(), 0U);
  EXPECT_TRUE(put(cache, 1, tokens_from(0), 13));
}

TEST(PrefixCache, TheLeastUsefulGoesFirst) {
  const Memory memory;  // for about nine
  PrefixCache cache(memory.map());
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(put(cache, 1, tokens_from(i * 1'000), 1));
  for (int i = 0; i < 9; ++i) {
    if (i != 4) cache.was_of_use(*cache.find(1, tokens_from(i * 1'000)).whole);
  }
  for (int i = 9; i < 11; ++i) ASSERT_TRUE(put(cache, 1, tokens_from(i * 1'000), 1));
  EXPECT_FALSE(cache.find(1, tokens_from(4'000)).whole) << "never of use";
  EXPECT_TRUE(cache.find(1, tokens_from(10'000)).whole) << "the newest is kept";
  EXPECT_LE(cache.bytes(), kMemory);
}

TEST(PrefixCache, WhatWasOfUseLongAgoGoesToo) {
  const Memory memory;
  PrefixCache cache(memory.map());
  ASSERT_TRUE(put(cache, 1, tokens_from(0), 1));
  for (int i = 0; i < 3; ++i) cache.was_of_use(*cache.find(1, tokens_from(0)).whole);
  for (int i = 1; i < 200; ++i) ASSERT_TRUE(put(cache, 1, tokens_from(i * 1'000), 1));
  EXPECT_FALSE(cache.find(1, tokens_from(0)).whole);
}

TEST(PrefixCache, WhatCannotFitLeavesTheOthersAlone) {
  const Memory memory;
  PrefixCache cache(memory.map());
  ASSERT_TRUE(put(cache, 1, tokens_from(0), 1));
  EXPECT_FALSE(put(cache, 1, tokens_from(1'000), 2, kMemory));
  EXPECT_EQ(cache.size(), 1U);
}

TEST(PrefixCache, NeverMoreEntriesThanTheTableHas) {
  const Memory memory(64 << 20);
  PrefixCache cache(memory.map());
  for (int i = 0; i < 600; ++i) ASSERT_TRUE(put(cache, 1, tokens_from(i * 1'000), 1, 100));
  EXPECT_EQ(cache.size(), StateArena::kEntriesMax);
}

// Every byte of head, table and tokens is a stranger's: nothing that was changed is believed, and
// what is believed is what was written.
TEST(PrefixCache, DamageIsFoundAndDoesNoHarm) {
  for (std::size_t at = 0; at < 36'000; at += at < 300 ? 1 : 97) {
    const Memory memory;
    {
      PrefixCache cache(memory.map());
      ASSERT_TRUE(put(cache, 1, tokens_from(0), 11));
      ASSERT_TRUE(put(cache, 1, tokens_from(5'000), 12));
    }
    memory.map().bytes()[at] ^= 0x41;
    PrefixCache next(memory.map());
    EXPECT_LE(next.size(), 2U);
    for (const std::int32_t first : {0, 5'000}) {
      if (next.find(1, tokens_from(first)).whole) {
        expect_state(next, 1, tokens_from(first), first == 0 ? 11 : 12);
      }
    }
    ASSERT_TRUE(put(next, 1, tokens_from(7'000), 13)) << "byte " << at;
  }
}

TEST(PrefixCache, TwoEntriesInOnePlaceAreNotBoth) {
  const Memory memory;
  {
    PrefixCache cache(memory.map());
    ASSERT_TRUE(put(cache, 1, tokens_from(0), 11));
  }
  const os::SharedMapping mapping = memory.map();
  std::copy_n(mapping.bytes().begin() + 64, 64, mapping.bytes().begin() + 128);  // entry 0 → 1
  PrefixCache next(memory.map());
  EXPECT_EQ(next.size(), 1U);
  expect_state(next, 1, tokens_from(0), 11);
}

TEST(PrefixCache, AMemoryThatIsTooSmallHoldsNothing) {
  const Memory memory(4'096);
  PrefixCache cache(memory.map());
  EXPECT_FALSE(put(cache, 1, tokens_from(0), 1, 10));
}

TEST(PrefixCache, WaitsUntilItMayTakeOver) {
  const Memory memory;
  {
    PrefixCache before(memory.map());
    ASSERT_TRUE(put(before, 1, tokens_from(0), 7));
  }
  PrefixCache cache(memory.map(), PrefixCache::TakeOver::kWhenTold);
  EXPECT_FALSE(cache.find(1, tokens_from(0)).whole);
  EXPECT_FALSE(put(cache, 1, tokens_from(500), 8)) << "where others may still write";
  cache.take_over();
  expect_state(cache, 1, tokens_from(0), 7);
  EXPECT_TRUE(put(cache, 1, tokens_from(500), 8));
}

TEST(PrefixCache, ForgetsAlsoWhatItTakesOverLater) {
  const Memory memory;
  {
    PrefixCache before(memory.map());
    ASSERT_TRUE(put(before, 1, tokens_from(0), 7));
  }
  PrefixCache cache(memory.map(), PrefixCache::TakeOver::kWhenTold);
  cache.clear();
  cache.take_over();
  EXPECT_EQ(cache.size(), 0U);
  EXPECT_FALSE(memory.holds(7));
}

}  // namespace
}  // namespace aioss::worker
