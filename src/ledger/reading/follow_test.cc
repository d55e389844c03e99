#include "ledger/reading/follow.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ledger/format/pruned.h"
#include "ledger/testing/test_support.h"
#include "ledger/writing/ledger.h"

namespace aioss::ledger {
namespace {

using test::kDirectory;
using test::MemoryFileSystem;
using test::SmallLedger;

std::vector<Record> all_of(os::FileSystem& fs) {
  std::vector<Record> records;
  EXPECT_TRUE(read_records(fs, kDirectory, 0, [&](const Record& record) {
                records.push_back(record);
                return true;
              }).has_value());
  return records;
}

struct Following {
  Follower follower;
  std::vector<Record> got;

  Following(os::FileSystem& fs, std::uint64_t next) : follower(fs, kDirectory, next) {}
  Result<bool> round() {
    return follower.read([this](const Record& record) {
      got.push_back(record);
      return true;
    });
  }
  // So often that what stands still is no longer a write under way.
  Result<bool> many_rounds() {
    for (unsigned i = 1; i < Follower::kRoundsMax; ++i) {
      AIOSS_TRY(const bool more, round());
      EXPECT_TRUE(more);
    }
    return round();
  }
};

void expect_same(const std::vector<Record>& got, const std::vector<Record>& all,
                 std::uint64_t from) {
  std::vector<Record> expected;
  std::copy_if(all.begin(), all.end(), std::back_inserter(expected),
               [from](const Record& record) { return record.index >= from; });
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].index, expected[i].index);
    EXPECT_EQ(got[i].type, expected[i].type);
    EXPECT_EQ(got[i].flags, expected[i].flags);
    EXPECT_EQ(got[i].leaf, expected[i].leaf);
    EXPECT_EQ(got[i].chain, expected[i].chain);
    EXPECT_EQ(got[i].body, expected[i].body);
  }
}

struct Live {
  MemoryFileSystem fs;
  test::FixedClock clock;
  test::CountingRandom random;
  std::unique_ptr<Ledger> ledger;

  explicit Live(std::uint64_t segment_bytes) {
    InitOptions making;
    making.directory = kDirectory;
    EXPECT_TRUE(init(fs, clock, random, making).has_value());
    ledger = std::move(*Ledger::open(fs, clock, random, test::open_options(segment_bytes)));
  }
  void append(std::uint64_t count = 1) {
    for (std::uint64_t i = 0; i < count; ++i) {
      EXPECT_TRUE(ledger->append_and_wait(RecordType::kInferPart, {}).has_value());
    }
  }
  std::string last_segment() { return test::segment_paths(fs).back(); }
};

TEST(Follower, GivesEachRecordOnceAndInOrder) {
  constexpr std::uint64_t kSegmentBytes = 1'500;
  for (const std::uint64_t from : {0ULL, 1ULL, 5ULL, 40ULL}) {
    Live live(kSegmentBytes);
    live.append(7);
    Following following(live.fs, from);
    for (std::uint64_t i = 0; i < 60; ++i) {
      ASSERT_TRUE(*following.round());
      live.append(i % 4);
    }
    ASSERT_TRUE(live.ledger->close().has_value());
    ASSERT_TRUE(*following.round());
    ASSERT_TRUE(*following.round());
    EXPECT_GT(test::segment_paths(live.fs).size(), 5U);
    expect_same(following.got, all_of(live.fs), from);
  }
}

TEST(Follower, ReadsNothingTwice) {
  Live live(3'000);
  while (test::segment_paths(live.fs).size() < 4) live.append();
  live.append(3);
  const std::uint64_t from = all_of(live.fs).size();
  // Segments before the one that is being written are not looked at.
  const std::string last = live.last_segment();
  for (const std::string& path : test::segment_paths(live.fs)) {
    if (path != last) live.fs.content(path).assign(500, 0xAA);
  }
  Following following(live.fs, from);
  ASSERT_TRUE(*following.round());
  EXPECT_TRUE(following.got.empty());
  // Nor is what was read of it.
  Bytes& content = live.fs.content(last);
  std::fill(content.begin(), content.end(), std::uint8_t{0xAA});
  live.append(2);
  ASSERT_TRUE(*following.round());
  ASSERT_EQ(following.got.size(), 2U);
  EXPECT_EQ(following.got[0].index, from);
  EXPECT_EQ(following.got[1].index, from + 1);
}

TEST(Follower, EndsWhenItsVisitorHasSeenEnough) {
  const SmallLedger small = test::make_small_ledger(true);
  Follower follower(*small.fs, kDirectory, 2);
  std::vector<std::uint64_t> seen;
  const auto one = [&](const Record& record) {
    seen.push_back(record.index);
    return false;
  };
  EXPECT_FALSE(*follower.read(one));
  EXPECT_FALSE(*follower.read(one));
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{2, 3}));
}

TEST(Follower, AWriteUnderWayIsNoDamage) {
  const SmallLedger small = test::make_small_ledger(true);
  const std::vector<Record> all = all_of(*small.fs);
  Bytes& content = small.fs->content(test::segment_paths(*small.fs).back());
  const Bytes whole = content;
  const std::size_t last = test::frames_of(whole).back().offset;
  content.resize(last);
  Following following(*small.fs, 0);
  ASSERT_TRUE(*following.round());
  ASSERT_EQ(following.got.size(), all.size() - 1);
  // It comes byte by byte, and now and then it halts.
  for (std::size_t size = last + 1; size < whole.size(); ++size) {
    content.assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    for (unsigned i = 1; i < Follower::kRoundsMax; i += 1 + static_cast<unsigned>(size % 7)) {
      const auto read = following.round();
      ASSERT_TRUE(read.has_value()) << read.error().message;
    }
  }
  EXPECT_EQ(following.got.size(), all.size() - 1);
  content = whole;
  ASSERT_TRUE(*following.round());
  expect_same(following.got, all, 0);
}

TEST(Follower, DamageThatStaysIsOne) {
  const SmallLedger small = test::make_small_ledger(true);
  const std::vector<Record> all = all_of(*small.fs);
  const std::string path = test::segment_paths(*small.fs).back();
  const Bytes whole = small.fs->content(path);
  const auto frames = test::frames_of(whole);
  const std::size_t victim = frames.size() - 2;
  const auto damaged = [&](Bytes bytes) {
    small.fs->content(path) = std::move(bytes);
    Following following(*small.fs, 0);
    const auto read = following.many_rounds();
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error().code, Code::kCorrupt);
    const std::string place = " at byte " + std::to_string(frames[victim].offset) + ":";
    EXPECT_NE(read.error().message.find(place), std::string::npos) << read.error().message;
    EXPECT_EQ(following.got.size(), all.size() - 2);
    // Whoever repairs it may go on.
    small.fs->content(path) = whole;
    ASSERT_TRUE(*following.round());
    expect_same(following.got, all, 0);
  };
  const std::size_t inside = frames[victim].offset + frames[victim].bytes - 20;
  Bytes bad = whole;
  bad[inside] ^= 1;
  damaged(bad);
  test::repair_checksum(bad, frames[victim].offset);
  damaged(bad);  // the chain knows
  damaged(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(inside)));
  bad = whole;
  bad.erase(bad.begin() + static_cast<std::ptrdiff_t>(frames[victim].offset),
            bad.begin() + static_cast<std::ptrdiff_t>(frames[victim + 1].offset));
  damaged(bad);  // a record is missing
}

TEST(Follower, DamageInALedgerThatGrowsIsFound) {
  Live live(1ULL << 20);
  live.append(5);
  Bytes& content = live.fs.content(live.last_segment());
  const auto frames = test::frames_of(content);
  content[frames[4].offset + 60] ^= 1;
  Following following(live.fs, 0);
  unsigned rounds = 0;
  for (; rounds < 2 * Follower::kRoundsMax; ++rounds) {
    const auto read = following.round();
    if (!read) break;
    live.append();
  }
  EXPECT_EQ(rounds + 1, Follower::kRoundsMax);
  EXPECT_EQ(following.got.size(), 4U);
}

TEST(Follower, PassesOverPrunedRecords) {
  const SmallLedger small = test::make_small_ledger(true);
  test::prune_by_hand(*small.fs, 0);
  Following following(*small.fs, 0);
  ASSERT_TRUE(*following.round());
  ASSERT_LT(following.got.size(), small.records);
  expect_same(following.got, all_of(*small.fs), 0);
}

// Rotation and a retention drop happen while it looks on.
TEST(Follower, GoesOnWhereSegmentsComeAndGo) {
  const SmallLedger small = test::make_small_ledger(true);
  const std::vector<Record> all = all_of(*small.fs);
  const std::vector<std::string> paths = test::segment_paths(*small.fs);
  const Bytes third = small.fs->content(paths[2]);
  const std::uint64_t second_first = parse_header(small.fs->content(paths[1])).header.first_index;
  const std::uint64_t third_first = parse_header(third).header.first_index;
  ASSERT_TRUE(small.fs->remove(paths[2]).has_value());
  Following following(*small.fs, 0);
  ASSERT_TRUE(*following.many_rounds());  // sealed, and nothing follows it yet
  EXPECT_EQ(following.got.size(), third_first);
  test::prune_by_hand(*small.fs, second_first);
  ASSERT_TRUE(*following.many_rounds());
  ASSERT_TRUE(os::replace_file(*small.fs, paths[2], third).has_value());
  ASSERT_TRUE(*following.round());
  expect_same(following.got, all, 0);
  // A segment that belongs behind another chain.
  Following other(*small.fs, third_first - 1);
  SegmentHeader header = parse_header(third).header;
  header.previous_chain[0] ^= 1;
  const SegmentHeaderBytes foreign = encode(header);
  std::copy(foreign.begin(), foreign.end(), small.fs->content(paths[2]).begin());
  EXPECT_EQ(other.many_rounds().error().code, Code::kCorrupt);
  EXPECT_EQ(other.got.size(), 1U);
  const std::string folder = std::string(kDirectory) + "/seg";
  const std::vector<std::string> names = *small.fs->list(folder);
  for (const std::string& name : names) ASSERT_TRUE(small.fs->remove(folder + '/' + name));
  EXPECT_EQ(Following(*small.fs, 0).round().error().code, Code::kNotFound);
}

}  // namespace
}  // namespace aioss::ledger
