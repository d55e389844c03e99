// Everything an attacker without the key, or a bad disk, can do to the bytes; and what it is
// called.
#include "ledger/reading/verify.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ledger/format/bytes_io.h"
#include "ledger/format/chain.h"
#include "ledger/format/checkpoint.h"
#include "ledger/testing/test_support.h"

namespace aioss::ledger {
namespace {

using test::FrameAt;
using test::MemoryFileSystem;
using test::SmallLedger;

Verdict verdict_of(os::FileSystem& fs, const SmallLedger& small) {
  return test::verify_ledger(fs, small.verifier_key).verdict;
}

void flip(Bytes& bytes, std::size_t bit) {
  bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1U << bit % 8));
}

void replace(Bytes& content, const FrameAt& frame, const Bytes& with) {
  const auto at = content.begin() + static_cast<std::ptrdiff_t>(frame.offset);
  content.erase(at, at + static_cast<std::ptrdiff_t>(frame.bytes));
  content.insert(content.begin() + static_cast<std::ptrdiff_t>(frame.offset), with.begin(),
                 with.end());
}

Bytes slice(const Bytes& content, const FrameAt& frame) {
  const auto at = content.begin() + static_cast<std::ptrdiff_t>(frame.offset);
  return {at, at + static_cast<std::ptrdiff_t>(frame.bytes)};
}

TEST(Verify, AGoodLedgerIsOkWithItsKeyAndUnknownWithout) {
  const SmallLedger small = test::make_small_ledger(true);
  const VerifyReport report = test::verify_ledger(*small.fs, small.verifier_key);
  EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
  EXPECT_EQ(report.segments, 3U);
  EXPECT_EQ(report.checkpoint_size, report.records);
  EXPECT_EQ(report.dangling_requests, 2U);
  EXPECT_EQ(report.origin, test::kOrigin);
  EXPECT_EQ(test::verify_ledger(*small.fs, "").verdict, Verdict::kUnknown);
  EXPECT_EQ(test::verify_ledger(*small.fs, "nonsense").verdict, Verdict::kUsage);
  const auto other = *crypto::SigningKey::from_seed(Bytes(32, 9));
  const std::string wrong = format_verifier_key({test::kOrigin, other->public_key()});
  EXPECT_EQ(test::verify_ledger(*small.fs, wrong).verdict, Verdict::kTampered);
  MemoryFileSystem empty;
  EXPECT_EQ(verdict_of(empty, small), Verdict::kUsage);
}

// Who deletes the records and forgets the checkpoint has not hidden that there were any.
TEST(Verify, ACheckpointWithoutSegmentsIsTruncated) {
  const SmallLedger small = test::make_small_ledger(true);
  auto names = small.fs->list(std::string(test::kDirectory) + "/seg");
  ASSERT_TRUE(names);
  for (const std::string& name : *names) {
    ASSERT_TRUE(small.fs->remove(std::string(test::kDirectory) + "/seg/" + name));
  }
  EXPECT_EQ(verdict_of(*small.fs, small), Verdict::kTruncated);
  EXPECT_EQ(test::verify_ledger(*small.fs, "").verdict, Verdict::kTruncated);
}

TEST(Verify, EverySingleFlippedBitIsDetected) {
  const SmallLedger small = test::make_small_ledger(true);
  const std::size_t step = test::long_form() ? 1 : 13;
  auto paths = test::segment_paths(*small.fs);
  paths.push_back("ledger/checkpoint");
  int flips = 0;
  for (const std::string& path : paths) {
    Bytes& content = small.fs->content(path);
    for (std::size_t bit = 0; bit < content.size() * 8; bit += step) {
      flip(content, bit);
      const Verdict verdict = verdict_of(*small.fs, small);
      flip(content, bit);
      EXPECT_TRUE(verdict == Verdict::kTampered || verdict == Verdict::kTruncated)
          << path << " bit " << bit << ": " << name(verdict);
      ++flips;
    }
  }
  RecordProperty("flips", flips);
  EXPECT_EQ(verdict_of(*small.fs, small), Verdict::kOk);
}

// With the checksum made right again, so that only the chain stands against it.
TEST(Verify, NoRepairedChangeOfARecordIsAccepted) {
  const SmallLedger small = test::make_small_ledger(false);  // no checkpoint helps
  for (const std::string& path : test::segment_paths(*small.fs)) {
    const Bytes good = small.fs->content(path);
    for (const FrameAt& frame : test::frames_of(good)) {
      const auto body_bytes = load_little<std::uint32_t>(good, frame.offset + 4);
      // Index, type, flags, chain, and every byte of the body and its padding.
      std::vector<std::size_t> targets;
      for (std::size_t i = 8; i < 20; ++i) targets.push_back(i);
      const std::size_t step = test::long_form() ? 1 : 5;
      for (std::size_t i = 24; i < frame.bytes; i += step) targets.push_back(i);
      targets.push_back(frame.bytes - 1);
      for (const std::size_t target : targets) {
        Bytes& content = small.fs->content(path);
        content[frame.offset + target] ^= 1;
        test::repair_checksum(content, frame.offset);
        EXPECT_EQ(verdict_of(*small.fs, small), Verdict::kTampered)
            << path << " frame at " << frame.offset << " byte " << target << " of " << body_bytes;
        content = good;
      }
    }
  }
}

TEST(Verify, DeletedRepeatedSwappedAndInsertedRecordsAreTampering) {
  const SmallLedger small = test::make_small_ledger(false);
  for (const std::string& path : test::segment_paths(*small.fs)) {
    Bytes& content = small.fs->content(path);
    const Bytes good = content;
    const std::vector<FrameAt> frames = test::frames_of(good);
    for (std::size_t i = 0; i + 1 < frames.size(); ++i) {
      replace(content, frames[i], {});
      EXPECT_EQ(verdict_of(*small.fs, small), Verdict::kTampered) << "deleted " << i;
      content = good;
      Bytes twice = slice(good, frames[i]);
      const Bytes once = twice;
      twice.insert(twice.end(), once.begin(), once.end());
      replace(content, frames[i], twice);
      EXPECT_EQ(verdict_of(*small.fs, small), Verdict::kTampered) << "repeated " << i;
      content = good;
      const FrameAt both{frames[i].offset, frames[i].bytes + frames[i + 1].bytes};
      Bytes swapped = slice(good, frames[i + 1]);
      swapped.insert(swapped.end(), once.begin(), once.end());
      replace(content, both, swapped);
      EXPECT_EQ(verdict_of(*small.fs, small), Verdict::kTampered) << "swapped " << i;
      content = good;
    }
  }
}

// Records changed and everything after them chained anew, as whoever can run the writer could do
// it: the checkpoint knows better.
TEST(Verify, ARewrittenHistoryIsAForkOfTheCheckpoint) {
  const SmallLedger small = test::make_small_ledger(true);
  const std::string path = test::segment_paths(*small.fs).back();
  Bytes& content = small.fs->content(path);
  const Bytes good = content;
  const std::vector<FrameAt> frames = test::frames_of(good);
  const ParsedHeader header = parse_header(good);
  const std::size_t victim = 1;
  Bytes forged(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(frames[victim].offset));
  Digest chain = parse_frame(ByteView(good).subspan(frames[victim - 1].offset)).frame.chain;
  ChainHasher hasher;
  std::uint64_t index = header.header.first_index + victim;
  for (std::size_t i = victim; i < frames.size(); ++i) {
    Frame frame = parse_frame(ByteView(good).subspan(frames[i].offset)).frame;
    Bytes body(frame.body.begin(), frame.body.end());
    if (as_text(body).ends_with("cli")) body.back() = 'j';  // the endpoint
    frame.index = index++;
    frame.body = body;
    chain = hasher.chain(chain, hasher.leaf(header.header.ledger_id, frame));
    frame.chain = chain;
    encode_frame(frame, forged);
  }
  content = forged;
  const VerifyReport report = test::verify_ledger(*small.fs, small.verifier_key);
  EXPECT_EQ(report.verdict, Verdict::kFork) << report.finding;
}

TEST(Verify, SegmentsCannotBeRemovedRenamedOrBorrowed) {
  const SmallLedger small = test::make_small_ledger(false);
  const auto paths = test::segment_paths(*small.fs);
  auto fs = small.fs->copy();
  ASSERT_TRUE(fs->remove(paths[1]).has_value());
  EXPECT_EQ(verdict_of(*fs, small), Verdict::kTampered);
  fs = small.fs->copy();
  ASSERT_TRUE(fs->remove(paths[0]).has_value());
  EXPECT_EQ(verdict_of(*fs, small), Verdict::kTampered);
  fs = small.fs->copy();
  ASSERT_TRUE(fs->rename(paths[2], test::segment_path(9'999)).has_value());
  EXPECT_EQ(verdict_of(*fs, small), Verdict::kTampered);
  fs = small.fs->copy();  // the same place in another ledger, whose instances and keys differ
  const SmallLedger other = test::make_small_ledger(false);
  Bytes borrowed = other.fs->content(paths[1]);
  borrowed[20] ^= 1;  // its id
  fs->content(paths[1]) = borrowed;
  EXPECT_EQ(verdict_of(*fs, small), Verdict::kTampered);
  fs = small.fs->copy();
  std::swap(fs->content(paths[1]), fs->content(paths[2]));
  EXPECT_EQ(verdict_of(*fs, small), Verdict::kTampered);
}

TEST(Verify, AHeaderRewrittenWithAGoodChecksumIsTampering) {
  const SmallLedger small = test::make_small_ledger(false);
  for (const std::string& path : test::segment_paths(*small.fs)) {
    Bytes& content = small.fs->content(path);
    const Bytes good = content;
    for (int field = 0; field < 6; ++field) {
      SegmentHeader header = parse_header(good).header;
      if (field == 0) header.ledger_id[3] ^= 1;
      if (field == 1) ++header.segment_number;
      if (field == 2) ++header.first_index;
      if (field == 3) header.previous_chain[0] ^= 1;
      if (field == 4) header.previous_segment[0] ^= 1;
      if (field == 5) ++header.created_ns;
      const SegmentHeaderBytes bytes = encode(header);
      std::copy(bytes.begin(), bytes.end(), content.begin());
      EXPECT_EQ(verdict_of(*small.fs, small), Verdict::kTampered) << path << " field " << field;
      content = good;
    }
  }
}

// A record chained as the writer would have, of any type and body, at the end of a good ledger.
void append_forged(SmallLedger& small, std::uint16_t type, const Bytes& body) {
  Bytes& content = small.fs->content(test::segment_paths(*small.fs).back());
  const FrameAt last = test::frames_of(content).back();
  const Frame before = parse_frame(ByteView(content).subspan(last.offset)).frame;
  Frame frame;
  frame.index = before.index + 1;
  frame.type = type;
  frame.flags = kFlagGroupFirst;
  frame.body = body;
  ChainHasher hasher;
  frame.chain =
      hasher.chain(before.chain, hasher.leaf(parse_header(content).header.ledger_id, frame));
  Bytes forged;
  encode_frame(frame, forged);
  content.insert(content.end(), forged.begin(), forged.end());
}

Bytes common_body() {
  codec::Map body;
  body.set(0, codec::Value::uint(1)).set(1, codec::Value::uint(1));
  body.set(3, codec::Value::bytes(Bytes(16)));
  return codec::encode(body);
}

TEST(Verify, KnowsItsTypesAndLeavesPrivateOnesAlone) {
  SmallLedger small = test::make_small_ledger(true);
  append_forged(small, 0x8001, common_body());
  EXPECT_EQ(verdict_of(*small.fs, small), Verdict::kOk);
  append_forged(small, 99, common_body());
  const VerifyReport report = test::verify_ledger(*small.fs, small.verifier_key);
  EXPECT_EQ(report.verdict, Verdict::kUnknown) << report.finding;
}

TEST(Verify, RefusesBodiesThatNoWriterWrites) {
  const std::vector<Bytes> bodies{
      {},                                          // nothing
      {0xA0},                                      // without the common keys
      {0x01},                                      // not a map
      {0xBF, 0xFF},                                // indefinite
      {0xA2, 0x01, 0x00, 0x00, 0x00},              // keys not ascending
      {0xA1, 0x00, 0xFB, 0, 0, 0, 0, 0, 0, 0, 0},  // a float
  };
  for (const Bytes& body : bodies) {
    SmallLedger small = test::make_small_ledger(false);
    append_forged(small, 20, body);
    EXPECT_EQ(verdict_of(*small.fs, small), Verdict::kTampered);
  }
  const std::uint16_t own_types[] = {1, 2, 3};
  for (const std::uint16_t type : own_types) {  // out of place
    SmallLedger small = test::make_small_ledger(false);
    append_forged(small, type, common_body());
    EXPECT_EQ(verdict_of(*small.fs, small), Verdict::kTampered) << type;
  }
}

TEST(Verify, ATornTailIsNamedBeforeAMissingKey) {
  const SmallLedger small = test::make_small_ledger(false);
  Bytes& content = small.fs->content(test::segment_paths(*small.fs).back());
  content.pop_back();
  EXPECT_EQ(test::verify_ledger(*small.fs, "").verdict, Verdict::kTornTail);
}

TEST(Verify, ACheckpointOfAnotherSizeOrKeyIsNoticed) {
  const SmallLedger small = test::make_small_ledger(true);
  const auto other = *crypto::SigningKey::from_seed(Bytes(32, 9));
  ASSERT_TRUE(
      write_checkpoint(*small.fs, test::kDirectory, {test::kOrigin, 2, {}}, *other).has_value());
  EXPECT_EQ(verdict_of(*small.fs, small), Verdict::kTampered);
  // Signed by the right key over other records: whoever holds it has told two stories.
  const auto own = *crypto::SigningKey::load(*small.fs, "ledger/keys/signing.key");
  ASSERT_TRUE(
      write_checkpoint(*small.fs, test::kDirectory, {test::kOrigin, 2, {}}, *own).has_value());
  EXPECT_EQ(verdict_of(*small.fs, small), Verdict::kFork);
  ASSERT_TRUE(
      write_checkpoint(*small.fs, test::kDirectory, {test::kOrigin, 1'000, {}}, *own).has_value());
  EXPECT_EQ(verdict_of(*small.fs, small), Verdict::kTruncated);
}

TEST(ReadRecords, StopsAtDamageAfterEverythingBeforeIt) {
  const SmallLedger small = test::make_small_ledger(true);
  const std::string path = test::segment_paths(*small.fs)[1];
  Bytes& content = small.fs->content(path);
  const FrameAt victim = test::frames_of(content)[2];
  const std::uint64_t index = parse_header(content).header.first_index + 2;
  content[victim.offset + 60] ^= 1;
  std::uint64_t seen = 0;
  const auto status = read_records(*small.fs, test::kDirectory, 0, [&](const Record& record) {
    EXPECT_EQ(record.index, seen++);
    return true;
  });
  EXPECT_FALSE(status.has_value());
  EXPECT_EQ(seen, index);
  seen = 0;
  EXPECT_TRUE(read_records(*small.fs, test::kDirectory, 1, [&](const Record&) {
                return ++seen < 2;
              }).has_value());
  EXPECT_EQ(seen, 2U);
}

}  // namespace
}  // namespace aioss::ledger
