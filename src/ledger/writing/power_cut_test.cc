// The power goes out at every operation of a ledger's life, on a disk that then forgets what was
// not synced: all of it, or any part. What the ledger acknowledged is there afterwards, and it
// verifies. A failure names the operation and the cut, which reproduce it.
#include <gtest/gtest.h>

#include <array>
#include <condition_variable>
#include <map>
#include <mutex>

#include "codec/hex.h"
#include "ledger/testing/test_support.h"
#include "os/testing/power_cut_file_system.h"

namespace aioss::ledger {
namespace {

using os::PowerCut;
using os::PowerCutFileSystem;
using test::kDirectory;
using Keep = PowerCut::Keep;
using Leaves = std::map<std::uint64_t, Digest>;  // by index

constexpr std::uint64_t kSmallSegmentBytes = 1'500;  // a few rotations in each life

struct Disk {
  std::unique_ptr<PowerCutFileSystem> fs = std::make_unique<PowerCutFileSystem>();
  std::string verifier_key;
};

// With everything on it durable.
std::unique_ptr<PowerCutFileSystem> copy(const PowerCutFileSystem& disk) {
  return disk.after_power_cut({Keep::kNothing, 0});
}

Result<Identity> init_on(PowerCutFileSystem& disk) {
  static const test::FixedClock clock;
  test::CountingRandom random;
  InitOptions options;
  options.directory = kDirectory;
  options.origin = test::kOrigin;
  options.boot_id.emplace();
  return init(disk, clock, random, options);
}

Disk new_ledger() {
  Disk disk;
  const auto identity = init_on(*disk.fs);
  EXPECT_TRUE(identity.has_value());
  disk.verifier_key = identity->verifier_key;
  disk.fs = copy(*disk.fs);
  return disk;
}

Result<std::unique_ptr<Ledger>> open_on(PowerCutFileSystem& disk,
                                        std::uint64_t segment_bytes = kSmallSegmentBytes) {
  static const test::FixedClock clock;
  test::CountingRandom random;
  return Ledger::open(disk, clock, random, test::open_options(segment_bytes));
}

// Appends in bursts. Each is one commit group, always the same one: from its second on a burst is
// queued on the ledger's own thread, which is busy with nothing else.
class Bursts {
 public:
  explicit Bursts(Ledger& ledger) : ledger_(ledger) {}

  // What was acknowledged before all was done or something failed.
  Leaves run() {
    append_burst();
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return done_; });
    return acknowledged_;
  }

 private:
  static constexpr std::array<std::size_t, 7> kSizes{1, 3, 2, 6, 1, 4, 1};

  void append_burst() {
    const std::size_t size = kSizes[burst_++];
    left_ = size;
    for (std::size_t i = 0; i < size; ++i) {
      const bool request = i == 1;
      codec::Map body;
      body.set(16, codec::Value::bytes(Bytes(40 + 350 * i, static_cast<std::uint8_t>(burst_))));
      ledger_.append(request ? RecordType::kInferRequest : RecordType::kInferPart,
                     request ? test::request_body() : body,
                     [this](const Result<Committed>& result) { take(result); });
    }
  }

  void take(const Result<Committed>& result) {
    {
      std::lock_guard lock(mutex_);
      if (result) acknowledged_[result->index] = result->leaf;
      failed_ = failed_ || !result;
      if (--left_ > 0) return;
      done_ = failed_ || burst_ == kSizes.size();
      if (done_) ended_.notify_one();
      if (done_) return;
    }
    append_burst();
  }

  Ledger& ledger_;
  std::size_t burst_ = 0, left_ = 0;  // handed from the first caller to the ledger's thread
  bool failed_ = false;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool done_ = false;    // guarded by mutex_
  Leaves acknowledged_;  // guarded by mutex_
};

// A process's life: start, append, stop. What it acknowledged; a failure ends it early.
Leaves live(PowerCutFileSystem& disk) {
  auto ledger = open_on(disk);
  if (!ledger) return {};
  Leaves acknowledged = Bursts(**ledger).run();
  (void)(*ledger)->close();
  return acknowledged;
}

std::uint64_t operations_of_a_life(const Disk& disk) {
  const auto fs = copy(*disk.fs);
  EXPECT_GT(live(*fs).size(), 10U);
  EXPECT_GT(fs->list(std::string(kDirectory) + "/seg")->size(), 2U);
  return fs->operations();
}

void add_records(PowerCutFileSystem& disk, Leaves& leaves) {
  ASSERT_TRUE(read_records(disk, kDirectory, 0, [&](const Record& record) {
                leaves[record.index] = record.leaf;
                return true;
              }).has_value());
}

// What was put aside is named by exactly one RECOVERY.
void expect_quarantine_recorded(PowerCutFileSystem& disk) {
  std::map<std::string, int> recorded;
  const auto note = [&recorded](const Record& record) {
    namespace own = key::recovery;
    if (record.type != RecordType::kRecovery) return true;
    const auto number = [&record](std::uint64_t key) {
      return std::to_string(*record.body.get_uint(key, ""));
    };
    const Digest hash = *record.body.get_digest(own::kQuarantineHash, "");
    ++recorded[number(own::kSegment) + '-' + number(own::kOffset) + '-' + codec::to_hex(hash) +
               ".torn"];
    return true;
  };
  ASSERT_TRUE(read_records(disk, kDirectory, 0, note).has_value());
  const auto names = disk.list(std::string(kDirectory) + "/quarantine");
  if (!names) return;
  for (const std::string& name : *names) {
    if (!name.ends_with(".torn")) continue;
    EXPECT_EQ(recorded[name], 1) << name;
  }
}

// The ledger starts, takes more, survives another cut, and all of `wanted` is in it.
void expect_recovers(PowerCutFileSystem& disk, const std::string& verifier_key, Leaves wanted) {
  {
    auto ledger = open_on(disk);
    ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
    const auto committed = (*ledger)->append_and_wait(RecordType::kInferPart, {});
    ASSERT_TRUE(committed.has_value());
    wanted[committed->index] = committed->leaf;
  }
  const auto left = copy(disk);
  const VerifyReport report = test::verify_ledger(*left, verifier_key);
  EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
  EXPECT_EQ(report.dangling_requests, 0U);
  Leaves found;
  add_records(*left, found);
  for (const auto& [index, leaf] : wanted) {
    EXPECT_TRUE(found.contains(index) && found[index] == leaf) << "record " << index;
  }
  expect_quarantine_recorded(*left);
}

std::vector<PowerCut> cuts(std::uint64_t seed) {
  std::vector<PowerCut> cuts{{Keep::kNothing, 0}};
  const std::uint64_t seeds = test::long_form() ? 60 : 4;
  for (std::uint64_t i = 0; i < seeds; ++i) {
    cuts.push_back({Keep::kPrefix, seed * seeds + i});
    cuts.push_back({Keep::kSubset, seed * seeds + i});
  }
  return cuts;
}

std::string describe(PowerCut cut) {
  return "cut " + std::to_string(static_cast<int>(cut.keep)) + " seed " + std::to_string(cut.seed);
}

TEST(PowerCut, NoAcknowledgedRecordIsLost) {
  const Disk disk = new_ledger();
  const std::uint64_t operations = operations_of_a_life(disk);
  for (std::uint64_t operation = 0; operation <= operations; ++operation) {
    SCOPED_TRACE("before operation " + std::to_string(operation));
    const auto fs = copy(*disk.fs);
    fs->stop_after(operation);
    const Leaves acknowledged = live(*fs);
    for (const PowerCut cut : cuts(operation)) {
      SCOPED_TRACE(describe(cut));
      expect_recovers(*fs->after_power_cut(cut), disk.verifier_key, acknowledged);
      if (HasFailure()) return;
    }
  }
  RecordProperty("operations", static_cast<int>(operations));
}

// The start after a cut is cut itself, before each of its operations.
TEST(PowerCut, RecoveryMayBeCutAnywhere) {
  const Disk disk = new_ledger();
  const std::uint64_t operations = operations_of_a_life(disk);
  const std::uint64_t step = test::long_form() ? 1 : 3;
  std::size_t recoveries = 0;
  for (std::uint64_t operation = 0; operation <= operations; operation += step) {
    const auto fs = copy(*disk.fs);
    fs->stop_after(operation);
    const Leaves acknowledged = live(*fs);
    const auto once_cut = fs->after_power_cut({Keep::kSubset, operation});
    for (std::uint64_t last = 0;; ++last) {
      SCOPED_TRACE("before operation " + std::to_string(operation) + ", then before " +
                   std::to_string(last) + " of the recovery");
      const auto again = copy(*once_cut);
      again->stop_after(last);
      const bool opened = open_on(*again).has_value();
      for (const PowerCut cut : {PowerCut{Keep::kNothing, 0}, PowerCut{Keep::kPrefix, last},
                                 PowerCut{Keep::kSubset, last}}) {
        SCOPED_TRACE(describe(cut));
        expect_recovers(*again->after_power_cut(cut), disk.verifier_key, acknowledged);
        if (HasFailure()) return;
      }
      ++recoveries;
      if (opened) break;
    }
  }
  EXPECT_GT(recoveries, 100U);
}

TEST(PowerCut, AnInterruptedInitIsTakenUp) {
  const std::uint64_t operations = [] {
    PowerCutFileSystem disk;
    EXPECT_TRUE(init_on(disk).has_value());
    return disk.operations();
  }();
  for (std::uint64_t operation = 0; operation <= operations; ++operation) {
    PowerCutFileSystem disk;
    disk.stop_after(operation);
    const auto first = init_on(disk);
    EXPECT_EQ(first.has_value(), operation == operations);
    for (const PowerCut cut : cuts(operation)) {
      SCOPED_TRACE("before operation " + std::to_string(operation) + ", " + describe(cut));
      const auto left = disk.after_power_cut(cut);
      const auto second = init_on(*left);
      if (first) {
        ASSERT_FALSE(second.has_value());
        expect_recovers(*left, first->verifier_key, {});
      } else if (second) {
        expect_recovers(*left, second->verifier_key, {});
      } else {  // it was complete, only nobody had been told
        ASSERT_EQ(second.error().code, Code::kConflict) << second.error().message;
        EXPECT_TRUE(open_on(*left).has_value());
      }
    }
  }
}

std::vector<std::string> recovery_causes(PowerCutFileSystem& disk) {
  std::vector<std::string> causes;
  EXPECT_TRUE(read_records(disk, kDirectory, 0, [&](const Record& record) {
                if (record.type == RecordType::kRecovery) {
                  causes.push_back(*record.body.get_text(key::recovery::kCause, ""));
                }
                return true;
              }).has_value());
  return causes;
}

// One group that fills its segment; the last sync is the first of the next segment.
void live_until_a_segment_begins(PowerCutFileSystem& disk) {
  const auto ledger = open_on(disk, 1);
  ASSERT_TRUE(ledger.has_value());
  EXPECT_TRUE((*ledger)->append_and_wait(RecordType::kInferPart, {}).has_value());
}

// A segment has its name before anything of it is on a disk that lied. Nothing else is lost. (A
// disk that lies and keeps the second sector without the first is beyond what recovery takes for a
// crash.)
TEST(PowerCut, ASegmentThatTheDiskLiedAboutIsPutAside) {
  const Disk disk = new_ledger();
  const auto honest = copy(*disk.fs);
  live_until_a_segment_begins(*honest);
  const auto fs = copy(*disk.fs);
  fs->lie_on_sync(honest->file_syncs());
  live_until_a_segment_begins(*fs);
  Leaves wanted;
  add_records(*fs, wanted);
  ASSERT_EQ(wanted.size(), 5U);  // SEGMENT_OPEN, GENESIS, ours, SEGMENT_SEAL; SEGMENT_OPEN
  wanted.erase(4);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    for (const Keep keep : {Keep::kNothing, Keep::kPrefix}) {
      const PowerCut cut{keep, seed};
      SCOPED_TRACE(describe(cut));
      const auto left = fs->after_power_cut(cut);
      const bool whole = test::verify_ledger(*left, disk.verifier_key).verdict == Verdict::kOk;
      EXPECT_FALSE(whole && keep == Keep::kNothing);
      expect_recovers(*left, disk.verifier_key, wanted);
      std::vector<std::string> expected;
      if (!whole) expected.emplace_back("torn_segment");
      EXPECT_EQ(recovery_causes(*left), expected);
    }
  }
}

// A sync fails, the process is started again on the same page cache, acknowledges more, and then
// the power goes out. Everything acknowledged is there, and everything that the second process read
// as good and built upon.
TEST(PowerCut, NothingIsBuiltOnWritesThatAFailedSyncLost) {
  const Disk disk = new_ledger();
  const std::uint64_t syncs = [&disk] {
    const auto fs = copy(*disk.fs);
    live(*fs);
    return fs->file_syncs();
  }();
  ASSERT_GT(syncs, 10U);
  for (std::uint64_t failing = 1; failing <= syncs; ++failing) {
    // The sync with which the second start makes things good may fail, too; then a third one
    // starts.
    for (const bool twice : {false, true}) {
      SCOPED_TRACE("sync " + std::to_string(failing) + (twice ? ", twice" : ""));
      const auto fs = copy(*disk.fs);
      fs->fail_sync(failing);
      Leaves wanted = live(*fs);
      if (twice) {
        fs->fail_sync(1);
        EXPECT_FALSE(open_on(*fs).has_value());
      }
      add_records(*fs, wanted);
      wanted.merge(live(*fs));
      for (const PowerCut cut : cuts(failing)) {
        SCOPED_TRACE(describe(cut));
        expect_recovers(*fs->after_power_cut(cut), disk.verifier_key, wanted);
        if (HasFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace aioss::ledger
