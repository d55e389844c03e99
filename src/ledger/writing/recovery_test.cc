// What a crash leaves, and what no crash leaves (docs/formats/ledger.md, section 7).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "crypto/ed25519.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "ledger/format/format.h"
#include "ledger/testing/test_support.h"

namespace aioss::ledger {
namespace {

using test::FrameAt;
using test::kDirectory;
using test::MemoryFileSystem;
using test::SmallLedger;

Result<std::unique_ptr<Ledger>> reopen(os::FileSystem& fs) {
  static const test::FixedClock clock;
  static crypto::SystemRandom random;  // another instance each time
  return Ledger::open(fs, clock, random, test::open_options());
}

std::vector<Record> all_records(os::FileSystem& fs) {
  std::vector<Record> records;
  EXPECT_TRUE(read_records(fs, kDirectory, 0, [&](const Record& record) {
                records.push_back(record);
                return true;
              }).has_value());
  return records;
}

std::vector<Record> of_type(const std::vector<Record>& records, RecordType type) {
  std::vector<Record> found;
  std::copy_if(records.begin(), records.end(), std::back_inserter(found),
               [type](const Record& record) { return record.type == type; });
  return found;
}

// The ledger cut at a byte of all its segments one after the other, as a disk that lost the rest.
struct Cut {
  std::unique_ptr<MemoryFileSystem> fs;
  std::uint64_t whole_records = 0;  // that end at or before the cut
  bool at_border = false;           // between two records: nothing is torn
};

Cut cut_at(const SmallLedger& small, std::size_t place) {
  Cut cut{small.fs->copy(), 0, false};
  std::size_t before = 0;
  for (const std::string& path : test::segment_paths(*small.fs)) {
    Bytes& content = cut.fs->content(path);
    if (before >= place) {
      EXPECT_TRUE(cut.fs->remove(path).has_value());
      continue;
    }
    const std::size_t keep = std::min(content.size(), place - before);
    before += content.size();
    cut.at_border = false;
    for (const FrameAt& frame : test::frames_of(content)) {
      if (frame.offset + frame.bytes > keep) break;
      ++cut.whole_records;
      cut.at_border = frame.offset + frame.bytes == keep;
    }
    content.resize(keep);
  }
  return cut;
}

std::size_t total_bytes(const SmallLedger& small) {
  std::size_t total = 0;
  for (const auto& path : test::segment_paths(*small.fs)) total += small.fs->content(path).size();
  return total;
}

std::vector<std::size_t> places_to_cut(const SmallLedger& small) {
  const std::size_t step = test::long_form() ? 1 : 7;
  std::vector<std::size_t> places;
  for (std::size_t place = 1; place < total_bytes(small); place += step) places.push_back(place);
  std::size_t before = 0;
  for (const std::string& path : test::segment_paths(*small.fs)) {
    const Bytes& content = small.fs->content(path);
    for (const FrameAt& frame : test::frames_of(content)) places.push_back(before + frame.offset);
    before += content.size();
    places.push_back(before);
  }
  return places;
}

// Without a later checkpoint every cut after GENESIS looks like a crash: the good records stay, the
// rest is kept aside, and the ledger goes on.
TEST(Recovery, EveryCutAfterTheCheckpointRecovers) {
  const SmallLedger small = test::make_small_ledger(false);
  std::size_t cuts = 0;
  for (const std::size_t place : places_to_cut(small)) {
    SCOPED_TRACE(place);
    ++cuts;
    Cut cut = cut_at(small, place);
    const VerifyReport before = test::verify_ledger(*cut.fs, small.verifier_key);
    EXPECT_EQ(before.records, cut.whole_records);
    auto opened = reopen(*cut.fs);
    if (cut.whole_records < 2) {  // shorter than the checkpoint that init signed
      EXPECT_EQ(before.verdict, Verdict::kTruncated) << before.finding;
      EXPECT_FALSE(opened.has_value());
      continue;
    }
    EXPECT_EQ(before.verdict, cut.at_border ? Verdict::kOk : Verdict::kTornTail) << before.finding;
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    ASSERT_TRUE((*opened)->append_and_wait(RecordType::kInferPart, {}).has_value());
    ASSERT_TRUE((*opened)->close().has_value());
    const VerifyReport after = test::verify_ledger(*cut.fs, small.verifier_key);
    EXPECT_EQ(after.verdict, Verdict::kOk) << after.finding;
    EXPECT_EQ(after.dangling_requests, 0U);
    EXPECT_GT(after.records, cut.whole_records);
    const auto recoveries = of_type(all_records(*cut.fs), RecordType::kRecovery);
    EXPECT_EQ(recoveries.size(), cut.at_border ? 0U : 1U);
  }
  RecordProperty("cuts", static_cast<int>(cuts));
}

TEST(Recovery, EveryCutBelowTheCheckpointIsTruncatedAndRefused) {
  const SmallLedger small = test::make_small_ledger(true);
  for (const std::size_t place : places_to_cut(small)) {
    if (place == total_bytes(small)) continue;
    SCOPED_TRACE(place);
    Cut cut = cut_at(small, place);
    const VerifyReport report = test::verify_ledger(*cut.fs, small.verifier_key);
    EXPECT_EQ(report.verdict, Verdict::kTruncated) << report.finding;
    const auto before = cut.fs->copy();
    const auto opened = reopen(*cut.fs);
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code, Code::kCorrupt);
    for (const std::string& path : test::segment_paths(*before)) {  // and nothing was changed
      EXPECT_EQ(cut.fs->content(path), before->content(path));
    }
  }
}

TEST(Recovery, KeepsTheTornBytesAndRecordsThem) {
  const SmallLedger small = test::make_small_ledger(false);
  const std::string last = test::segment_paths(*small.fs).back();
  Bytes& content = small.fs->content(last);
  const std::vector<FrameAt> frames = test::frames_of(content);
  content.resize(frames.back().offset + 30);
  const Bytes torn(content.begin() + static_cast<std::ptrdiff_t>(frames.back().offset),
                   content.end());
  auto opened = reopen(*small.fs);
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  opened->reset();
  const auto recoveries = of_type(all_records(*small.fs), RecordType::kRecovery);
  ASSERT_EQ(recoveries.size(), 1U);
  const codec::Map& body = recoveries[0].body;
  EXPECT_EQ(*body.get_uint(key::recovery::kSegment, ""), 2U);
  EXPECT_EQ(*body.get_uint(key::recovery::kOffset, ""), frames.back().offset);
  EXPECT_EQ(*body.get_uint(key::recovery::kBytes, ""), 30U);
  EXPECT_EQ(*body.get_digest(key::recovery::kQuarantineHash, ""), crypto::sha3_256(torn));
  const auto kept = small.fs->list(std::string(kDirectory) + "/quarantine");
  ASSERT_TRUE(kept.has_value());
  ASSERT_EQ(kept->size(), 1U);
  EXPECT_EQ(small.fs->content(std::string(kDirectory) + "/quarantine/" + kept->front()), torn);
}

TEST(Recovery, ARequestLeftOpenGetsItsAbort) {
  const SmallLedger small = test::make_small_ledger(false);
  EXPECT_EQ(test::verify_ledger(*small.fs, small.verifier_key).dangling_requests, 2U);
  auto opened = reopen(*small.fs);
  ASSERT_TRUE(opened.has_value());
  ASSERT_TRUE((*opened)->close().has_value());
  const auto records = all_records(*small.fs);
  const auto aborts = of_type(records, RecordType::kInferAbort);
  ASSERT_EQ(aborts.size(), 2U);
  for (const Record& abort : aborts) {
    EXPECT_EQ(*abort.body.get_text(key::infer_abort::kCause, ""), abort_cause::kCrash);
    const auto request = *abort.body.get_uint(key::kRefIndex, "");
    EXPECT_EQ(records[request].type, RecordType::kInferRequest);
  }
  opened = reopen(*small.fs);  // and gets it once
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ(of_type(all_records(*small.fs), RecordType::kInferAbort).size(), 2U);
}

// A crash between putting a torn end aside and recording it: the next start records it.
TEST(Recovery, AnInterruptedRecoveryIsRecorded) {
  const SmallLedger small = test::make_small_ledger(false);
  const std::string last = test::segment_paths(*small.fs).back();
  const std::size_t cut = test::frames_of(small.fs->content(last)).back().offset + 30;
  small.fs->content(last).resize(cut);
  const auto before = small.fs->copy();
  ASSERT_TRUE(reopen(*small.fs).has_value());
  // The disk as it was after the copy and the cut, before the record.
  const std::string folder = std::string(kDirectory) + "/quarantine";
  const std::string name = folder + '/' + small.fs->list(folder)->front();
  auto file = before->open(name, os::OpenMode::kCreateNew);
  ASSERT_TRUE((*file)->write_at(0, small.fs->content(name)).has_value());
  for (const bool truncated : {false, true}) {
    auto disk = before->copy();
    if (truncated) disk->content(last).resize(cut - 30);
    ASSERT_TRUE(reopen(*disk).has_value());
    const auto recoveries = of_type(all_records(*disk), RecordType::kRecovery);
    ASSERT_EQ(recoveries.size(), 1U);
    EXPECT_EQ(*recoveries[0].body.get_text(key::recovery::kCause, ""),
              truncated ? "interrupted_recovery" : "torn_tail");
    EXPECT_EQ(*recoveries[0].body.get_uint(key::recovery::kBytes, ""), 30U);
    ASSERT_TRUE(reopen(*disk).has_value());
    EXPECT_EQ(of_type(all_records(*disk), RecordType::kRecovery).size(), 1U);
  }
}

// Two torn ends may hold the same bytes, zeros for one; the record of the first is not the
// second's.
TEST(Recovery, AnInterruptedRecoveryIsRecordedAlsoIfItLooksLikeAnEarlierOne) {
  const SmallLedger small = test::make_small_ledger(false);
  Bytes& content = small.fs->content(test::segment_paths(*small.fs).back());
  const Bytes zeros(40, 0);
  content.insert(content.end(), zeros.begin(), zeros.end());
  ASSERT_TRUE(reopen(*small.fs).has_value());
  const std::string folder = std::string(kDirectory) + "/quarantine/";
  const std::string first = small.fs->list(std::string(kDirectory) + "/quarantine")->front();
  const std::string second = "2-" + std::to_string(content.size()) + first.substr(first.rfind('-'));
  auto file = small.fs->open(folder + second, os::OpenMode::kCreateNew);
  ASSERT_TRUE((*file)->write_at(0, zeros).has_value());
  for (int start = 0; start < 2; ++start) {
    ASSERT_TRUE(reopen(*small.fs).has_value());
    EXPECT_EQ(of_type(all_records(*small.fs), RecordType::kRecovery).size(), 2U);
  }
}

// A group of records is one write. A power cut may lose any part of it, also the first.
TEST(Recovery, AHoleInTheLastGroupIsATornWrite) {
  const SmallLedger small = test::make_small_ledger(false);
  const std::string last = test::segment_paths(*small.fs).back();
  // Two aborts in one group, written by a recovery.
  ASSERT_TRUE(reopen(*small.fs).has_value());
  const std::vector<FrameAt> frames = test::frames_of(small.fs->content(last));
  const FrameAt first_of_group = frames[frames.size() - 2];
  const auto torn = small.fs->copy();
  Bytes& content = torn->content(last);
  std::fill_n(content.begin() + static_cast<std::ptrdiff_t>(first_of_group.offset),
              first_of_group.bytes, std::uint8_t{0});
  EXPECT_EQ(test::verify_ledger(*torn, small.verifier_key).verdict, Verdict::kTornTail);
  ASSERT_TRUE(reopen(*torn).has_value());
  EXPECT_EQ(test::verify_ledger(*torn, small.verifier_key).verdict, Verdict::kOk);
  // The same hole one record earlier was synced before that group was written: no crash made it.
  const FrameAt before_group = frames[frames.size() - 3];
  const auto damaged = small.fs->copy();
  Bytes& other = damaged->content(last);
  std::fill_n(other.begin() + static_cast<std::ptrdiff_t>(before_group.offset), before_group.bytes,
              std::uint8_t{0});
  EXPECT_EQ(test::verify_ledger(*damaged, small.verifier_key).verdict, Verdict::kTampered);
  EXPECT_FALSE(reopen(*damaged).has_value());
}

TEST(Recovery, ZerosAndGarbageAtTheEndAreATornTail) {
  for (const std::size_t size : {1, 7, 56, 4'096, 200'000}) {
    for (const std::uint8_t fill : Bytes{0x00, 0x41, 0xFF}) {
      const SmallLedger small = test::make_small_ledger(false);
      Bytes& content = small.fs->content(test::segment_paths(*small.fs).back());
      content.insert(content.end(), size, fill);
      EXPECT_EQ(test::verify_ledger(*small.fs, small.verifier_key).verdict, Verdict::kTornTail);
      ASSERT_TRUE(reopen(*small.fs).has_value());
      EXPECT_EQ(test::verify_ledger(*small.fs, small.verifier_key).verdict, Verdict::kOk);
    }
  }
}

TEST(Recovery, MissingLiveSegmentAndStaleFilesAreHarmless) {
  const SmallLedger small = test::make_small_ledger(false);
  const auto paths = test::segment_paths(*small.fs);
  ASSERT_TRUE(small.fs->remove(paths.back()).has_value());  // the one before it is sealed
  for (const std::string& stale : {paths.back() + ".tmp", std::string("ledger/checkpoint.tmp")}) {
    auto file = small.fs->open(stale, os::OpenMode::kCreateNew);
    ASSERT_TRUE((*file)->write_at(0, Bytes(40, 1)).has_value());
  }
  EXPECT_EQ(test::verify_ledger(*small.fs, small.verifier_key).verdict, Verdict::kOk);
  auto opened = reopen(*small.fs);
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  ASSERT_TRUE((*opened)->close().has_value());
  EXPECT_FALSE(small.fs->has(paths.back() + ".tmp"));
  EXPECT_FALSE(small.fs->has("ledger/checkpoint.tmp"));
  EXPECT_EQ(test::verify_ledger(*small.fs, small.verifier_key).verdict, Verdict::kOk);
}

// A ledger on a real disk, whose modes count.
class RealLedger : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "aioss-recovery-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    options_.directory = folder_ + "/ledger";
    options_.segment_bytes_max = 1;  // every group fills its segment
    options_.reserve_bytes = 0;
    InitOptions making;
    making.directory = options_.directory;
    making.origin = test::kOrigin;
    making.trial = true;
    const auto identity = init(fs_, clock_, random_, making);
    ASSERT_TRUE(identity.has_value()) << identity.error().message;
    verifier_key_ = identity->verifier_key;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Result<std::unique_ptr<Ledger>> open() { return Ledger::open(fs_, clock_, random_, options_); }
  std::string path(const std::string& name) const { return options_.directory + '/' + name; }
  std::filesystem::perms mode(const std::string& name) const {
    return std::filesystem::status(path(name)).permissions();
  }
  VerifyReport verify_it() {
    VerifyOptions options;
    options.directory = options_.directory;
    options.verifier_key = verifier_key_;
    return verify(fs_, options);
  }
  std::vector<std::string> recovery_causes() {
    std::vector<std::string> causes;
    const auto note = [&causes](const Record& record) {
      if (record.type != RecordType::kRecovery) return true;
      causes.push_back(*record.body.get_text(key::recovery::kCause, ""));
      return true;
    };
    EXPECT_TRUE(read_records(fs_, options_.directory, 0, note).has_value());
    return causes;
  }

  std::string folder_;
  OpenOptions options_;
  std::string verifier_key_;
  os::RealFileSystem fs_;
  test::FixedClock clock_;
  crypto::SystemRandom random_;
};

// The whole last segment goes, and the mode of nothing but segments is touched.
TEST_F(RealLedger, ATornSegmentIsPutAsideAndTheLedgerStaysWithinReach) {
  {
    const auto ledger = open();
    ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
    ASSERT_TRUE((*ledger)->append_and_wait(RecordType::kInferPart, {}).has_value());
  }
  const auto files = fs_.list(path("seg"));
  ASSERT_TRUE(files.has_value());
  ASSERT_EQ(files->size(), 2U);
  const std::string sealed = "seg/" + files->front();
  const auto mode_of_folder = mode("seg");
  const auto mode_of_sealed = mode(sealed);
  {
    const auto file = fs_.open(path("seg/" + files->back()), os::OpenMode::kReadWrite);
    ASSERT_TRUE(file.has_value()) << file.error().message;
    const Bytes zeros((*file)->info()->size, 0);  // its header, and the only record it has
    ASSERT_TRUE((*file)->write_at(0, zeros).has_value());
  }
  for (int start = 0; start < 2; ++start) {
    const auto ledger = open();
    ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
    EXPECT_EQ(mode("seg"), mode_of_folder);
    EXPECT_EQ(mode(sealed), mode_of_sealed);
    EXPECT_EQ(recovery_causes(), std::vector<std::string>{"torn_segment"});
  }
  const VerifyReport report = verify_it();
  EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
}

TEST(Recovery, RefusesAnotherKeyAndAMissingCheckpoint) {
  const SmallLedger small = test::make_small_ledger(true);
  auto other = small.fs->copy();
  const auto key = *crypto::SigningKey::from_seed(Bytes(32, 9));
  ASSERT_TRUE(key->save(*other, "ledger/keys/signing.key").has_value());
  EXPECT_EQ(reopen(*other).error().code, Code::kCorrupt);
  other = small.fs->copy();
  ASSERT_TRUE(other->remove("ledger/checkpoint").has_value());
  EXPECT_EQ(reopen(*other).error().code, Code::kCorrupt);
  EXPECT_EQ(test::verify_ledger(*other, small.verifier_key).verdict, Verdict::kTampered);
}

}  // namespace
}  // namespace aioss::ledger
