// Pruned segments and the drop that makes them: what verifies, what is refused, what every changed
// bit does, and crashes at every step.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "ledger/custody/custody_fixture.h"
#include "ledger/custody/prune.h"
#include "ledger/format/chain.h"
#include "ledger/format/checkpoint.h"
#include "ledger/format/proof.h"
#include "ledger/format/pruned.h"
#include "ledger/reading/disk_tree.h"
#include "ledger/reading/history.h"
#include "os/testing/power_cut_file_system.h"

namespace aioss::ledger {
namespace {

using os::PowerCut;
using os::PowerCutFileSystem;
using test::kAlice;
using test::kBob;
using test::kDirectory;
using test::Office;
using test::operator_actor;
using Keep = PowerCut::Keep;

constexpr std::int64_t kDayNs = 24LL * 3600 * 1'000'000'000;
constexpr std::int64_t kThen = 1'750'000'000'000'000'000;  // of the fixture's clock
constexpr std::int64_t kNow = kThen + 200 * kDayNs;
constexpr std::int64_t kBefore = kNow - 184 * kDayNs;
constexpr std::uint64_t kSegmentBytes = 3'000;
constexpr const char* kRetentionGround = "end of retention";

std::string in_seg(const std::string& file) {
  return std::string(kDirectory) + "/seg/" + file;
}

std::vector<std::string> segments(os::FileSystem& fs) {
  return *fs.list(std::string(kDirectory) + "/seg");
}

Bytes read(os::FileSystem& fs, const std::string& path) {
  return *os::read_file(fs, path, 64 << 20);
}

// Several segments of requests of two people, 200 days old, and a live one of today.
class RetentionTest : public ::testing::Test {
 protected:
  RetentionTest() : vkey(test::make_ledger(fresh)) {
    {
      Office office(fresh, 1, kSegmentBytes);
      EXPECT_TRUE(office.good());
      int request = 0;
      while (segments(fresh).size() < 4) {
        const std::string id = "req_" + std::to_string(++request);
        EXPECT_TRUE(office.ask(request % 2 == 0 ? kAlice : kBob, id, "secret " + id, "x"));
      }
      EXPECT_TRUE(office.custody->hold("*", true, "case", operator_actor()).has_value());
      EXPECT_TRUE(office.custody->hold("*", false, "case", operator_actor()).has_value());
      EXPECT_TRUE(office.ledger->close().has_value());
    }
    Office office(fresh, 2, kSegmentBytes, kNow);
    while (segments(fresh).size() < 5) {
      EXPECT_TRUE(office.ask(kAlice, "req_new", "secret of today", "y").has_value());
    }
    EXPECT_TRUE(office.ledger->close().has_value());
    records = test::verify_ledger(fresh, vkey).records;
  }

  static Result<Dropped> drop_on(PowerCutFileSystem& disk, std::uint64_t seed = 5) {
    Office office(disk, seed, 256ULL << 20, kNow);
    if (!office.good()) return *office.problem;
    auto dropped = office.custody->drop(kBefore, kRetentionGround, operator_actor());
    (void)office.ledger->close();  // the power may be out
    return dropped;
  }

  PowerCutFileSystem fresh;
  std::string vkey;
  std::uint64_t records = 0;
};

std::set<std::uint64_t> visible(os::FileSystem& fs) {
  std::set<std::uint64_t> all;
  EXPECT_TRUE(read_records(fs, kDirectory, 0, [&](const Record& record) {
                all.insert(record.index);
                return true;
              }).has_value());
  return all;
}

// By index: those of all records, while they are whole.
std::vector<Digest> leaves_of(os::FileSystem& fs) {
  std::vector<Digest> leaves;
  EXPECT_TRUE(read_records(fs, kDirectory, 0, [&](const Record& record) {
                leaves.push_back(record.leaf);
                return true;
              }).has_value());
  return leaves;
}

// Proofs go over leaves, whatever was dropped.
void expect_proven(Ledger& ledger, const std::vector<Digest>& leaves) {
  const auto note = ledger.checkpoint_now();
  ASSERT_TRUE(note.has_value());
  const Checkpoint checkpoint = parse_note(*note)->checkpoint;
  ASSERT_GE(checkpoint.size, leaves.size());
  History::Tree tree = ledger.history().tree();
  for (std::uint64_t index = 0; index < leaves.size(); ++index) {
    const auto proof = prove_inclusion(tree, index, checkpoint.size);
    ASSERT_TRUE(proof.has_value()) << index;
    EXPECT_EQ(root_of_inclusion(leaves[index], index, checkpoint.size, *proof), checkpoint.root)
        << index;
  }
}

TEST_F(RetentionTest, OldSegmentsBecomeHashesAndTheLedgerVerifies) {
  const std::vector<Digest> leaves = leaves_of(fresh);
  const VerifyReport before = test::verify_payloads(fresh, vkey);
  ASSERT_EQ(before.verdict, Verdict::kOk) << before.finding;
  const auto dropped = drop_on(fresh);
  ASSERT_TRUE(dropped.has_value()) << dropped.error().message;
  // The fourth was sealed today.
  EXPECT_EQ(dropped->segments, 3U);
  EXPECT_EQ(dropped->first, 0U);
  std::size_t pruned = 0;
  for (const std::string& file : segments(fresh)) pruned += file.ends_with(".pruned") ? 1 : 0;
  EXPECT_EQ(pruned, 3U);
  const VerifyReport after = test::verify_payloads(fresh, vkey);
  EXPECT_EQ(after.verdict, Verdict::kOk) << after.finding;
  EXPECT_EQ(after.records, records + 1);
  EXPECT_EQ(after.pruned_segments, 3U);
  EXPECT_GT(after.pruned_records, 10U);
  EXPECT_EQ(after.payloads->missing, 0U);
  EXPECT_LT(after.payloads->named, before.payloads->named);
  EXPECT_EQ(visible(fresh).size(), after.records - after.pruned_records);
  // What must stay readable is: GENESIS, and the legal holds.
  EXPECT_TRUE(visible(fresh).contains(1));
  std::size_t holds = 0;
  (void)read_records(fresh, kDirectory, 0, [&](const Record& record) {
    holds += record.type == RecordType::kLegalHold ? 1 : 0;
    return true;
  });
  EXPECT_EQ(holds, 2U);
  // The texts are destroyed with their records, and no others.
  std::size_t blobs = 0;
  for (const std::string& path : test::files_below(fresh, std::string(kDirectory) + "/blob")) {
    blobs += path.empty() ? 0 : 1;
  }
  EXPECT_EQ(blobs, after.payloads->present);
  // It goes on: records, drops, and what is left to drop is nothing.
  Office office(fresh, 7, 256ULL << 20, kNow);
  ASSERT_TRUE(office.good()) << office.problem->message;
  EXPECT_TRUE(office.ask(kBob, "req_later", "p", "q").has_value());
  expect_proven(*office.ledger, leaves);
  EXPECT_EQ(office.ledger->history().record(3).error().code, Code::kNotFound);
  EXPECT_TRUE(office.ledger->history().record(1).has_value());
  EXPECT_EQ(office.ledger->history().find_request("req_1").error().code, Code::kNotFound);
  EXPECT_TRUE(office.ledger->history().find_request("req_later").has_value());
  const auto again = office.custody->drop(kBefore, kRetentionGround, operator_actor());
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->segments, 0U);
  EXPECT_EQ(office.custody->open_request("req_1", operator_actor()).error().code, Code::kNotFound);
  EXPECT_TRUE(office.custody->open_request("req_later", operator_actor()).has_value());
}

// On this disk every file is of 1970.
TEST_F(RetentionTest, StatesOfPromptsGoByTheirOwnAge) {
  Office office(fresh, 5, 256ULL << 20, kNow);
  ASSERT_TRUE(office.good());
  const std::vector<PrefixFiles::Token> tokens(10, 1);
  const PrefixFiles::Prefix prefix{"ward-3", tokens, as_bytes("state")};
  PrefixFiles& files = office.custody->prefixes();
  ASSERT_TRUE(*files.save(*office.custody->find(kAlice), {}, prefix, [] { return true; }));
  EXPECT_EQ(files.list(10)->size(), 1U);
  ASSERT_TRUE(office.custody->drop(kBefore, kRetentionGround, operator_actor()).has_value());
  EXPECT_TRUE(files.list(10)->empty());
  ASSERT_TRUE(*files.save(*office.custody->find(kAlice), {}, prefix, [] { return true; }));
  const auto again = office.custody->drop(kBefore, kRetentionGround, operator_actor());
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->segments, 0U);
  EXPECT_TRUE(files.list(10)->empty()) << "also when no segment goes";
}

TEST_F(RetentionTest, TheFloorAndHoldsRefuse) {
  Office office(fresh, 5, kSegmentBytes, kNow);
  const auto code = [&](std::int64_t before) {
    const auto dropped = office.custody->drop(before, kRetentionGround, operator_actor());
    return dropped ? Code::kUsage : dropped.error().code;
  };
  EXPECT_EQ(code(kNow), Code::kForbidden);
  EXPECT_EQ(code(kNow - 183 * kDayNs + 1), Code::kForbidden);
  ASSERT_TRUE(office.custody->hold("ward-3/bob-oconnor", true, "c", operator_actor()));
  EXPECT_EQ(code(kBefore), Code::kConflict);
  ASSERT_TRUE(office.custody->hold("ward-3/bob-oconnor", false, "c", operator_actor()));
  EXPECT_FALSE(office.custody->drop(kBefore, " ", operator_actor()).has_value());
  const auto nothing = office.custody->drop(kThen, kRetentionGround, operator_actor());
  ASSERT_TRUE(nothing.has_value());
  EXPECT_EQ(nothing->segments, 0U) << "sealed at that moment is not before it";
  for (const std::string& file : segments(fresh)) EXPECT_TRUE(file.ends_with(".aioss")) << file;
}

TEST_F(RetentionTest, PruningWithoutARecordIsTampering) {
  const auto disk = test::synced_copy(fresh);
  const PruneEvents nothing{[](const Record&) { return ok(); }, [] { return ok(); }};
  ASSERT_TRUE(prune_segment(*disk, kDirectory, 0, nothing).has_value());
  const VerifyReport report = test::verify_ledger(*disk, vkey);
  EXPECT_EQ(report.verdict, Verdict::kTampered) << report.finding;
  EXPECT_EQ(report.bad_index, 0U);
  EXPECT_NE(report.finding.find("RETENTION_DROP"), std::string::npos);
  const Office office(*disk, 5);
  EXPECT_FALSE(office.good());
  EXPECT_EQ(office.problem->code, Code::kCorrupt);
}

TEST_F(RetentionTest, WhatWasDroppedIsProvenFromTheDisk) {
  const std::vector<Digest> leaves = leaves_of(fresh);
  const Checkpoint before = read_checkpoint(fresh, kDirectory)->checkpoint;
  ASSERT_TRUE(drop_on(fresh).has_value());
  const std::set<std::uint64_t> kept = visible(fresh);
  const Checkpoint after = read_checkpoint(fresh, kDirectory)->checkpoint;
  ASSERT_GT(after.size, before.size);
  std::vector<std::vector<Digest>> inclusion(leaves.size());
  std::vector<Digest> consistency, located;
  std::size_t seen = 0;
  Onlooker onlooker;
  onlooker.located = [&](const RecordPlace& place) { located.push_back(place.leaf); };
  onlooker.visit = [&](const Record& record) { seen += kept.contains(record.index) ? 1 : 0; };
  const auto plan = [&](SubtreeSource& tree) -> Status {
    for (std::uint64_t index = 0; index < leaves.size(); ++index) {
      AIOSS_TRY(inclusion[index], prove_inclusion(tree, index, after.size));
    }
    AIOSS_TRY(consistency, prove_consistency(tree, before.size, after.size));
    return ok();
  };
  const auto facts = prove_on_disk(fresh, kDirectory, after.size, plan, onlooker);
  ASSERT_TRUE(facts.has_value()) << facts.error().message;
  EXPECT_EQ(facts->root, after.root);
  ASSERT_EQ(located.size(), after.size);
  EXPECT_TRUE(std::equal(leaves.begin(), leaves.end(), located.begin()));
  EXPECT_LT(seen, after.size) << "some were dropped";
  EXPECT_GT(seen, 2U) << "and some were kept";
  for (std::uint64_t index = 0; index < leaves.size(); ++index) {
    EXPECT_EQ(root_of_inclusion(leaves[index], index, after.size, inclusion[index]), after.root)
        << index << (kept.contains(index) ? ", kept" : ", dropped");
  }
  const auto roots = roots_of_consistency(before.size, after.size, before.root, consistency);
  ASSERT_TRUE(roots.has_value());
  EXPECT_EQ(roots->first, before.root);
  EXPECT_EQ(roots->second, after.root);
}

// Behind the checkpoint the chain needs no secret: whoever writes to the disk can add a record.
TEST_F(RetentionTest, ADropThatNoCheckpointCoversAccountsForNothing) {
  const auto disk = test::synced_copy(fresh);
  const Bytes signed_before = read(*disk, std::string(kDirectory) + "/checkpoint");
  {
    Office office(*disk, 3, 256ULL << 20, kNow);
    ASSERT_TRUE(office.good());
    codec::Map body;
    body.set(key::retention_drop::kFirstIndex, codec::Value::uint(0))
        .set(key::retention_drop::kAfterIndex, codec::Value::uint(records));
    ASSERT_TRUE(office.ledger->append_and_wait(RecordType::kRetentionDrop, body).has_value());
    ASSERT_TRUE(office.ledger->close().has_value());
  }
  const auto covered = test::synced_copy(*disk);
  ASSERT_TRUE(os::replace_file(*disk, std::string(kDirectory) + "/checkpoint", signed_before));
  const auto opened = test::synced_copy(*disk);
  for (const std::uint64_t start : {4U, 5U, 6U}) {  // nor once aioss itself has signed it
    Office office(*opened, start, 256ULL << 20, kNow);
    ASSERT_TRUE(office.good()) << office.problem->message;
    for (const std::string& file : segments(*opened)) EXPECT_TRUE(file.ends_with(".aioss"));
    ASSERT_TRUE(office.ledger->close().has_value());
  }
  const PruneEvents nothing{[](const Record&) { return ok(); }, [] { return ok(); }};
  for (os::FileSystem* const one : {disk.get(), covered.get()}) {
    ASSERT_TRUE(prune_segment(*one, kDirectory, 0, nothing).has_value());
  }
  EXPECT_EQ(test::verify_ledger(*disk, vkey).verdict, Verdict::kTampered);
  EXPECT_EQ(test::verify_ledger(*covered, vkey).verdict, Verdict::kOk);
}

TEST(Retention, LeavesTheRuleOfTwoOperatorsInForce) {
  PowerCutFileSystem disk;
  const test::FixedClock clock;
  test::SeededRandom random(7);
  InitOptions making;
  making.directory = kDirectory;
  making.policy = {{"erase", "rotate"}};
  const auto identity = init(disk, clock, random, making);
  ASSERT_TRUE(identity.has_value()) << identity.error().message;
  {
    Office office(disk, 1, kSegmentBytes);
    ASSERT_TRUE(office.good());
    for (int request = 0; segments(disk).size() < 3; ++request) {
      ASSERT_TRUE(office.ask(kAlice, "req_" + std::to_string(request), "secret", "x"));
    }
    ASSERT_TRUE(office.ledger->close().has_value());
  }
  {
    Office office(disk, 2, kSegmentBytes, kNow);
    ASSERT_TRUE(office.good());
    const auto dropped = office.custody->drop(kBefore, kRetentionGround, operator_actor());
    ASSERT_TRUE(dropped.has_value()) << dropped.error().message;
    EXPECT_GE(dropped->segments, 2U);
    ASSERT_TRUE(office.ledger->close().has_value());
  }
  const Office office(disk, 3, kSegmentBytes, kNow);
  ASSERT_TRUE(office.good()) << office.problem->message;
  EXPECT_TRUE(office.ledger->controls().policy().needs_approval("erase"));
  EXPECT_EQ(test::verify_ledger(disk, identity->verifier_key).verdict, Verdict::kOk);
}

// The other way round: a text is gone, and only a record behind the checkpoint says why.
TEST_F(RetentionTest, AnErasureThatNoCheckpointCoversAccountsForNothing) {
  const auto disk = test::synced_copy(fresh);
  const Bytes signed_before = read(*disk, std::string(kDirectory) + "/checkpoint");
  {
    Office office(*disk, 3, 256ULL << 20, kNow);
    ASSERT_TRUE(office.custody->erase("ward-3/bob-oconnor", kRetentionGround, operator_actor())
                    .has_value());
    ASSERT_TRUE(office.ledger->close().has_value());
  }
  EXPECT_EQ(test::verify_payloads(*disk, vkey).verdict, Verdict::kOk);
  ASSERT_TRUE(os::replace_file(*disk, std::string(kDirectory) + "/checkpoint", signed_before));
  EXPECT_EQ(test::verify_payloads(*disk, vkey).verdict, Verdict::kPayloadMissing);
}

TEST_F(RetentionTest, TheSegmentCountsWhereBothFilesAreThere) {
  const Bytes whole = read(fresh, in_seg(segment_file_name(0)));
  ASSERT_TRUE(drop_on(fresh).has_value());
  ASSERT_TRUE(os::replace_file(fresh, in_seg(segment_file_name(0)), whole).has_value());
  const VerifyReport report = test::verify_ledger(fresh, vkey);
  EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
  EXPECT_EQ(report.pruned_segments, 2U);
  Bytes bad = read(fresh, in_seg(pruned_file_name(0)));
  bad[200] = static_cast<std::uint8_t>(bad[200] ^ 1);
  ASSERT_TRUE(os::replace_file(fresh, in_seg(pruned_file_name(0)), bad).has_value());
  EXPECT_EQ(test::verify_ledger(fresh, vkey).verdict, Verdict::kOk);
  EXPECT_EQ(drop_on(fresh, 6)->segments, 1U) << "given again, it is finished";
  EXPECT_FALSE(fresh.info(in_seg(segment_file_name(0))).has_value());
}

TEST_F(RetentionTest, EveryChangedBitOfAPrunedSegmentIsSeen) {
  ASSERT_TRUE(drop_on(fresh).has_value());
  const std::size_t step = test::long_form() ? 1 : 7;
  std::size_t tried = 0;
  for (const std::string& file : segments(fresh)) {
    if (!file.ends_with(".pruned")) continue;
    const Bytes good = read(fresh, in_seg(file));
    for (std::size_t bit = 0; bit < 8 * good.size(); bit += step, ++tried) {
      Bytes bad = good;
      bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ (1U << (bit % 8)));
      ASSERT_TRUE(os::replace_file(fresh, in_seg(file), bad).has_value());
      const Verdict verdict = test::verify_ledger(fresh, vkey).verdict;
      const bool later = bit / 8 >= 8 && bit / 8 < 14;  // a later version or algorithm, so it says
      ASSERT_TRUE(verdict == Verdict::kTampered || (later && verdict == Verdict::kUnknown))
          << file << " bit " << bit << ": " << name(verdict);
    }
    const std::size_t cut = test::long_form() ? 1 : 13;
    for (std::size_t size = 0; size < good.size(); size += cut, ++tried) {
      const ByteView part = ByteView(good).first(size);
      ASSERT_TRUE(os::replace_file(fresh, in_seg(file), part).has_value());
      ASSERT_EQ(test::verify_ledger(fresh, vkey).verdict, Verdict::kTampered) << file << size;
    }
    ASSERT_TRUE(os::replace_file(fresh, in_seg(file), good).has_value());
  }
  EXPECT_EQ(test::verify_ledger(fresh, vkey).verdict, Verdict::kOk);
  std::printf("pruned segments: %zu changes, none unseen\n", tried);
}

// A pruned segment may hide nothing that must stay readable, and show nothing that should be gone.
TEST_F(RetentionTest, WhatStaysAndWhatGoesIsFixed) {
  const std::string first = in_seg(segment_file_name(0));
  const Bytes whole = read(fresh, first);
  const auto frames = test::frames_of(whole);
  ASSERT_TRUE(drop_on(fresh).has_value());
  const Bytes pruned = read(fresh, in_seg(pruned_file_name(0)));
  const auto verdict_of = [&](const Bytes& bytes) {
    EXPECT_TRUE(os::replace_file(fresh, in_seg(pruned_file_name(0)), bytes).has_value());
    return test::verify_ledger(fresh, vkey).verdict;
  };
  EXPECT_EQ(verdict_of(whole), Verdict::kTampered) << "records that should be gone";
  // GENESIS as a hash.
  ChainHasher hasher;
  const auto leaf_of = [&](const test::FrameAt& at) {
    const ParsedFrame parsed = parse_frame(ByteView(whole).subspan(at.offset));
    return hasher.leaf(parse_header(whole).header.ledger_id, parsed.frame);
  };
  Bytes hidden(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(frames[1].offset));
  std::vector<Digest> leaves;
  for (std::size_t i = 1; i + 1 < frames.size(); ++i) leaves.push_back(leaf_of(frames[i]));
  encode_leaves(1, leaves, hidden);
  hidden.insert(hidden.end(), whole.begin() + static_cast<std::ptrdiff_t>(frames.back().offset),
                whole.end());
  EXPECT_EQ(verdict_of(hidden), Verdict::kTampered);
  // Without the seal; with bytes behind it.
  const std::size_t seal = frames.back().bytes;
  EXPECT_EQ(verdict_of(Bytes(pruned.begin(), pruned.end() - static_cast<std::ptrdiff_t>(seal))),
            Verdict::kTampered);
  Bytes longer = pruned;
  encode_leaves(frames.size(), {{leaves.front()}}, longer);
  EXPECT_EQ(verdict_of(longer), Verdict::kTampered);
  EXPECT_EQ(verdict_of(pruned), Verdict::kOk);
}

TEST(Leaves, AreReadAsTheyWereWritten) {
  for (const std::size_t count : {std::size_t{1}, std::size_t{2}, kLeavesMax}) {
    std::vector<Digest> hashes(count);
    for (std::size_t i = 0; i < count; ++i) hashes[i].fill(static_cast<std::uint8_t>(i));
    Bytes bytes{1, 2, 3};
    encode_leaves(77, hashes, bytes);
    const ParsedLeaves parsed = parse_leaves(ByteView(bytes).subspan(3));
    ASSERT_EQ(parsed.form, Form::kGood) << parsed.problem;
    EXPECT_EQ(parsed.leaves.first_index, 77U);
    EXPECT_EQ(parsed.leaves.bytes, bytes.size() - 3);
    ASSERT_EQ(parsed.leaves.count, count);
    EXPECT_EQ(parsed.leaves.at(count - 1), hashes.back());
    for (std::size_t size = 0; size + 3 < bytes.size(); size += 1 + size / 40) {
      EXPECT_NE(parse_leaves(ByteView(bytes).subspan(3, size)).form, Form::kGood);
    }
  }
}

// ---- crashes ------------------------------------------------------------------------------------

TEST_F(RetentionTest, ADropMayBeCutAtEveryStep) {
  const auto start = test::synced_copy(fresh);
  const std::uint64_t operations = [&] {
    const auto disk = test::synced_copy(*start);
    EXPECT_EQ(drop_on(*disk)->segments, 3U);
    return disk->operations();
  }();
  std::size_t before = 0, after = 0;
  const std::uint64_t seeds = test::long_form() ? 20 : 1;
  for (std::uint64_t stop = 0; stop <= operations; ++stop) {
    const auto disk = test::synced_copy(*start);
    disk->stop_after(stop);
    const bool acknowledged = drop_on(*disk).has_value();
    for (std::uint64_t seed = 0; seed < seeds; ++seed) {
      for (const Keep keep : {Keep::kNothing, Keep::kPrefix, Keep::kSubset}) {
        SCOPED_TRACE("before operation " + std::to_string(stop) + ", cut " +
                     std::to_string(static_cast<int>(keep)) + " seed " + std::to_string(seed));
        const auto left = disk->after_power_cut({keep, stop * seeds + seed});
        const VerifyReport at_once = test::verify_payloads(*left, vkey);
        EXPECT_TRUE(at_once.verdict == Verdict::kOk || at_once.verdict == Verdict::kTornTail)
            << at_once.finding;
        {
          const Office office(*left, 8, 256ULL << 20, kNow);
          ASSERT_TRUE(office.good()) << office.problem->message;
        }
        const VerifyReport report = test::verify_payloads(*left, vkey);
        EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
        EXPECT_EQ(report.pruned_segments, at_once.pruned_segments) << "a start prunes nothing";
        if (acknowledged) {
          EXPECT_EQ(report.pruned_segments, 3U);
        }
        const auto again = test::synced_copy(*left);
        ASSERT_TRUE(drop_on(*again, 9).has_value());
        const VerifyReport finished = test::verify_payloads(*again, vkey);
        EXPECT_EQ(finished.verdict, Verdict::kOk) << finished.finding;
        EXPECT_EQ(finished.pruned_segments, 3U);
        const std::string blobs = std::string(kDirectory) + "/blob";
        EXPECT_EQ(test::files_below(*again, blobs).size(), finished.payloads->present)
            << "a text that no record names any more";
        (report.pruned_segments == 0 ? before : after) += 1;
        if (HasFailure()) return;
      }
    }
  }
  EXPECT_GT(before, 10U);
  EXPECT_GT(after, 10U);
  std::printf("drop: %llu operations cut; %zu ledgers of before, %zu of after\n",
              static_cast<unsigned long long>(operations), before, after);
}

}  // namespace
}  // namespace aioss::ledger
