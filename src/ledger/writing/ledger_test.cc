#include "ledger/writing/ledger.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <thread>

#include "base/strings.h"
#include "ledger/format/checkpoint.h"
#include "ledger/format/format.h"
#include "ledger/testing/test_support.h"
#include "ledger/writing/directory.h"
#include "os/clock.h"
#include "os/testing/fault_file_system.h"

namespace aioss::ledger {
namespace {

using test::FixedClock;
using test::kDirectory;
using test::MemoryFileSystem;

struct Opened {
  MemoryFileSystem memory;
  os::FaultFileSystem fs{memory};
  FixedClock clock;
  test::CountingRandom random;
  std::string verifier_key;
  std::unique_ptr<Ledger> ledger;

  explicit Opened(OpenOptions options = test::open_options()) {
    InitOptions making;
    making.directory = kDirectory;
    making.origin = test::kOrigin;
    const auto identity = init(fs, clock, random, making);
    EXPECT_TRUE(identity.has_value());
    verifier_key = identity->verifier_key;
    open(options);
  }
  void open(const OpenOptions& options = test::open_options()) {
    auto opened = Ledger::open(fs, clock, random, options);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    ledger = std::move(*opened);
  }
  VerifyReport verified() { return test::verify_ledger(memory, verifier_key); }
};

TEST(Init, MakesALedgerThatVerifies) {
  MemoryFileSystem fs;
  FixedClock clock;
  test::CountingRandom random;
  InitOptions options;
  options.directory = kDirectory;
  const auto identity = init(fs, clock, random, options);
  ASSERT_TRUE(identity.has_value());
  EXPECT_TRUE(check_origin(identity->origin).has_value()) << identity->origin;
  const VerifyReport report = test::verify_ledger(fs, identity->verifier_key);
  EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
  EXPECT_EQ(report.records, 2U);
  EXPECT_EQ(report.checkpoint_size, 2U);
  EXPECT_EQ(fs.permissions("ledger/keys/signing.key"), 0600U);

  const auto again = init(fs, clock, random, options);
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, Code::kConflict);
}

TEST(Init, RefusesNamesThatCheckpointsCannotCarry) {
  MemoryFileSystem fs;
  FixedClock clock;
  test::CountingRandom random;
  for (const char* origin : {"two words", "a+b", "line\nbreak", "caf\xC3\xA9"}) {
    InitOptions options;
    options.directory = kDirectory;
    options.origin = origin;
    const auto identity = init(fs, clock, random, options);
    ASSERT_FALSE(identity.has_value()) << origin;
    EXPECT_EQ(identity.error().code, Code::kUsage);
  }
}

// Wherever init stops, it can be run again; and what it says it made is there.
TEST(Init, CanBeInterruptedAnywhere) {
  using os::FaultPoint;
  for (const FaultPoint point :
       {FaultPoint::kOpen, FaultPoint::kWrite, FaultPoint::kSync, FaultPoint::kRename,
        FaultPoint::kRemove, FaultPoint::kSyncDirectory}) {
    for (std::uint64_t call = 1; call < 40; ++call) {
      MemoryFileSystem memory;
      os::FaultFileSystem fs(memory);
      FixedClock clock;
      test::CountingRandom random;
      InitOptions options;
      options.directory = kDirectory;
      options.trial = call % 2 == 0;
      fs.arm(point, {.call = call, .error_number = EIO, .for_ever = true, .short_bytes = {}});
      const auto first = init(fs, clock, random, options);
      fs.disarm();
      if (first) {
        EXPECT_EQ(test::verify_ledger(memory, first->verifier_key).verdict, Verdict::kOk);
        break;
      }
      const auto second = init(fs, clock, random, options);
      if (second) {
        EXPECT_EQ(test::verify_ledger(memory, second->verifier_key).verdict, Verdict::kOk);
      } else {  // it was complete but for the last sync
        EXPECT_EQ(second.error().code, Code::kConflict);
        EXPECT_TRUE(Ledger::open(fs, clock, random, test::open_options()).has_value());
      }
    }
  }
}

TEST(Ledger, RecordsComeBackAsTheyWereGiven) {
  Opened opened;
  const auto committed =
      opened.ledger->append_and_wait(RecordType::kInferRequest, test::request_body());
  ASSERT_TRUE(committed.has_value());
  EXPECT_EQ(committed->index, 2U);
  EXPECT_EQ(opened.ledger->health().size, 3U);
  ASSERT_TRUE(opened.ledger->close().has_value());
  std::vector<Record> records;
  ASSERT_TRUE(read_records(opened.memory, kDirectory, 2, [&](const Record& record) {
                records.push_back(record);
                return true;
              }).has_value());
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].type, RecordType::kInferRequest);
  EXPECT_EQ(records[0].leaf, committed->leaf);
  EXPECT_EQ(*records[0].body.get_text(key::infer_request::kEndpoint, ""), "cli");
  EXPECT_EQ(*records[0].body.get_uint(key::kWallNs, ""), 1'750'000'000'000'000'000U);
  EXPECT_EQ(records[0].body.get_bytes(key::kInstanceId, "")->size(), 16U);
}

TEST(Ledger, CloseSignsACheckpointOverEverything) {
  Opened opened;
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(opened.ledger->append_and_wait(RecordType::kInferPart, {}).has_value());
  }
  EXPECT_EQ(opened.verified().checkpoint_size, 2U);
  ASSERT_TRUE(opened.ledger->close().has_value());
  const VerifyReport report = opened.verified();
  EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
  EXPECT_EQ(report.checkpoint_size, 7U);
  EXPECT_EQ(report.records, 7U);
  EXPECT_TRUE(opened.ledger->close().has_value());  // again is nothing
  const auto late = opened.ledger->append_and_wait(RecordType::kInferPart, {});
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, Code::kLedgerUnavailable);
}

TEST(Ledger, GoesOnWhereItStopped) {
  Opened opened;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(opened.ledger->append_and_wait(RecordType::kInferPart, {}).has_value());
    ASSERT_TRUE(opened.ledger->close().has_value());
    opened.ledger.reset();
    opened.open();
  }
  const auto committed = opened.ledger->append_and_wait(RecordType::kInferPart, {});
  EXPECT_EQ(committed->index, 5U);
  ASSERT_TRUE(opened.ledger->close().has_value());
  EXPECT_EQ(opened.verified().verdict, Verdict::kOk);
}

TEST(Ledger, SegmentsAreSealedAndReadOnly) {
  Opened opened(test::open_options(1'000));
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(opened.ledger->append_and_wait(RecordType::kInferPart, {}).has_value());
  }
  ASSERT_TRUE(opened.ledger->close().has_value());
  const auto segments = test::segment_paths(opened.memory);
  ASSERT_GT(segments.size(), 3U);
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const bool live = i + 1 == segments.size();
    EXPECT_EQ(opened.memory.permissions(segments[i]), live ? 0640U : 0440U);
  }
  const VerifyReport report = opened.verified();
  EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
  EXPECT_EQ(report.segments, segments.size());
}

TEST(Ledger, AnOldSegmentIsSealedWithTheNextRecord) {
  OpenOptions options = test::open_options();
  options.segment_age_max_ns = 1'000;
  Opened opened(options);
  ASSERT_TRUE(opened.ledger->append_and_wait(RecordType::kInferPart, {}).has_value());
  EXPECT_EQ(test::segment_paths(opened.memory).size(), 1U);
  ASSERT_TRUE(opened.ledger->close().has_value());
  opened.ledger.reset();
  opened.clock.wall += 2'000;
  opened.open(options);
  ASSERT_TRUE(opened.ledger->append_and_wait(RecordType::kInferPart, {}).has_value());
  ASSERT_TRUE(opened.ledger->close().has_value());
  EXPECT_EQ(test::segment_paths(opened.memory).size(), 2U);
}

TEST(Ledger, GroupCommitKeepsTheOrderOfEachProducer) {
  constexpr std::uint64_t kProducers = 8, kEach = 2'000, kUnderWayMax = 8'000;
  Opened opened(test::open_options(64 << 10));
  std::atomic<std::uint64_t> done{0}, sent{0};
  std::vector<std::thread> producers;
  for (std::uint64_t producer = 0; producer < kProducers; ++producer) {
    producers.emplace_back([&, producer] {
      for (std::uint64_t i = 0; i < kEach; ++i) {
        while (sent.load() - done.load() >= kUnderWayMax) std::this_thread::yield();
        ++sent;
        codec::Map body;
        body.set(16, codec::Value::uint(producer)).set(17, codec::Value::uint(i));
        opened.ledger->append(RecordType::kInferPart, std::move(body),
                              [&done](const Result<Committed>& result) {
                                EXPECT_TRUE(result.has_value());
                                ++done;
                              });
      }
    });
  }
  for (std::thread& producer : producers) producer.join();
  ASSERT_TRUE(opened.ledger->close().has_value());
  EXPECT_EQ(done.load(), kProducers * kEach);
  std::array<std::uint64_t, kProducers> next{};
  ASSERT_TRUE(read_records(opened.memory, kDirectory, 0, [&](const Record& record) {
                if (record.type != RecordType::kInferPart) return true;
                const auto producer = *record.body.get_uint(16, "");
                EXPECT_EQ(*record.body.get_uint(17, ""), next[producer]++);
                return true;
              }).has_value());
  for (const std::uint64_t count : next) EXPECT_EQ(count, kEach);
  EXPECT_EQ(opened.verified().verdict, Verdict::kOk);
}

TEST(Ledger, AnOversizedBodyIsRefusedAndHarmsNothing) {
  Opened opened;
  codec::Map body;
  body.set(16, codec::Value::bytes(Bytes(kBodyBytesMax, 1)));
  const auto refused = opened.ledger->append_and_wait(RecordType::kInferPart, std::move(body));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kTooLarge);
  codec::Map largest;
  largest.set(16, codec::Value::bytes(Bytes(65'390, 1)));
  EXPECT_TRUE(opened.ledger->append_and_wait(RecordType::kInferPart, largest).has_value());
  ASSERT_TRUE(opened.ledger->close().has_value());
  EXPECT_EQ(opened.verified().verdict, Verdict::kOk);
}

TEST(Ledger, LowSpaceRefusesNewWorkAndTakesWhatEndsIt) {
  OpenOptions options = test::open_options();
  options.reserve_bytes = 16'000;
  Opened opened(options);
  const auto request =
      opened.ledger->append_and_wait(RecordType::kInferRequest, test::request_body());
  ASSERT_TRUE(request.has_value());

  opened.fs.set_bytes_available(15'999);
  const auto refused =
      opened.ledger->append_and_wait(RecordType::kInferRequest, test::request_body());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kLedgerUnavailable);
  EXPECT_NE(refused.error().message.find("free some space"), std::string::npos);
  EXPECT_FALSE(opened.ledger->health().writable);
  // What callers can cause without end may not use the reserve either; what operators do may.
  for (const RecordType type : {RecordType::kAuth, RecordType::kDecision, RecordType::kHumanReview,
                                RecordType::kAccess, RecordType::kAnchor}) {
    EXPECT_FALSE(opened.ledger->append_and_wait(type, {}).has_value()) << *name(type);
  }
  EXPECT_TRUE(opened.ledger->append_and_wait(RecordType::kAdminAction, {}).has_value());
  EXPECT_TRUE(
      opened.ledger->append_and_wait(RecordType::kInferResult, test::result_body(request->index))
          .has_value());

  opened.fs.set_bytes_available(999);
  EXPECT_FALSE(opened.ledger->append_and_wait(RecordType::kEngineStop, {}).has_value());

  opened.fs.set_bytes_available(16'000);
  EXPECT_TRUE(
      opened.ledger->append_and_wait(RecordType::kInferRequest, test::request_body()).has_value());
  EXPECT_TRUE(opened.ledger->health().writable);
  ASSERT_TRUE(opened.ledger->close().has_value());
  EXPECT_EQ(opened.verified().verdict, Verdict::kOk);
}

TEST(Ledger, DoesNotStartWithoutItsReserve) {
  Opened opened;
  ASSERT_TRUE(opened.ledger->close().has_value());
  opened.ledger.reset();
  opened.fs.set_bytes_available(1'000);
  const auto refused = Ledger::open(opened.fs, opened.clock, opened.random, test::open_options());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kLedgerUnavailable);
  // Or nobody could ever make room on a disk that holds nothing else.
  OpenOptions freeing = test::open_options();
  freeing.reserve_bytes = 16'000;
  EXPECT_FALSE(Ledger::open(opened.fs, opened.clock, opened.random, freeing).has_value());
  freeing.may_use_reserve = true;
  auto ledger = Ledger::open(opened.fs, opened.clock, opened.random, freeing);
  ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
  EXPECT_TRUE((*ledger)->append_and_wait(RecordType::kRetentionDrop, {}).has_value());
  EXPECT_FALSE((*ledger)->append_and_wait(RecordType::kInferRequest, {}).has_value());
}

TEST(Ledger, RefusesFileSystemsThatCannotKeepAPromise) {
  Opened opened;
  ASSERT_TRUE(opened.ledger->close().has_value());
  opened.ledger.reset();
  for (const char* type : {"nfs", "cifs", "fuse", "tmpfs"}) {
    opened.fs.set_type_name(type);
    const auto refused = Ledger::open(opened.fs, opened.clock, opened.random, test::open_options());
    ASSERT_FALSE(refused.has_value()) << type;
    EXPECT_EQ(refused.error().code, Code::kUnsupported);
  }
}

TEST(Ledger, OneForTrialsMayLieWhereWritesCanBeLost) {
  MemoryFileSystem disk;
  os::FaultFileSystem fs(disk);
  FixedClock clock;
  test::CountingRandom random;
  fs.set_type_name("tmpfs");
  InitOptions making;
  making.directory = test::kDirectory;
  const auto refused = init(fs, clock, random, making);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kUnsupported);
  making.trial = true;
  ASSERT_TRUE(init(fs, clock, random, making).has_value());
  EXPECT_TRUE(Ledger::open(fs, clock, random, test::open_options()).has_value());
  // Who tries to make it once more, and not for trials, changes nothing.
  fs.set_type_name("ext4");
  making.trial = false;
  ASSERT_FALSE(init(fs, clock, random, making).has_value());
  fs.set_type_name("tmpfs");
  EXPECT_TRUE(Ledger::open(fs, clock, random, test::open_options()).has_value());
}

TEST(Ledger, WhatAnInterruptedTrialLeftMakesNoTrial) {
  MemoryFileSystem disk;
  os::FaultFileSystem fs(disk);
  FixedClock clock;
  test::CountingRandom random;
  InitOptions making;
  making.directory = test::kDirectory;
  ASSERT_TRUE(fs.make_directories(making.directory, 0750).has_value());
  ASSERT_TRUE(set_trial(fs, making.directory, true).has_value());
  ASSERT_TRUE(init(fs, clock, random, making).has_value());
  fs.set_type_name("tmpfs");
  const auto refused = Ledger::open(fs, clock, random, test::open_options());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kUnsupported);
  // Nor does who tries to make it one.
  fs.set_type_name("ext4");
  making.trial = true;
  const auto again = init(fs, clock, random, making);
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, Code::kConflict);
  fs.set_type_name("tmpfs");
  EXPECT_FALSE(Ledger::open(fs, clock, random, test::open_options()).has_value());
}

TEST(Ledger, OpeningWhatIsNotThereSaysHowToMakeIt) {
  MemoryFileSystem fs;
  FixedClock clock;
  test::CountingRandom random;
  const auto opened = Ledger::open(fs, clock, random, test::open_options());
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Code::kNotFound);
  EXPECT_NE(opened.error().message.find("ledger init"), std::string::npos);
}

TEST(Ledger, OneWriterAtATimeOnARealDisk) {
  const std::string directory = ::testing::TempDir() + "aioss_two_writers";
  std::filesystem::remove_all(directory);
  os::RealFileSystem fs;
  os::SystemClock clock;
  crypto::SystemRandom random;
  InitOptions making;
  making.directory = directory;
  making.trial = true;  // wherever the tests' folder is
  const auto identity = init(fs, clock, random, making);
  ASSERT_TRUE(identity.has_value()) << identity.error().message;
  OpenOptions options;
  options.directory = directory;
  options.reserve_bytes = 0;
  auto first = Ledger::open(fs, clock, random, options);
  ASSERT_TRUE(first.has_value()) << first.error().message;
  const auto second = Ledger::open(fs, clock, random, options);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Code::kConflict);
  EXPECT_TRUE((*first)->append_and_wait(RecordType::kInferPart, {}).has_value());
  ASSERT_TRUE((*first)->close().has_value());
  EXPECT_TRUE(Ledger::open(fs, clock, random, options).has_value());  // close() gave the lock back
  VerifyOptions verifying;
  verifying.directory = directory;
  verifying.verifier_key = identity->verifier_key;
  EXPECT_EQ(verify(fs, verifying).verdict, Verdict::kOk);
  std::filesystem::remove_all(directory);
}

// Every acknowledged record survives a disk that fails at any one write or sync from some point on,
// and nothing is acknowledged after it has failed.
void fail_at(os::FaultPoint point, std::uint64_t call, const os::Fault& kind) {
  Opened opened(test::open_options(700));
  os::Fault fault = kind;
  fault.call = call;
  opened.fs.arm(point, fault);
  std::uint64_t acknowledged = 2;
  bool failed = false;
  for (int i = 0; i < 30; ++i) {
    const auto committed = opened.ledger->append_and_wait(RecordType::kInferPart, {});
    if (committed) {
      EXPECT_FALSE(failed) << "a record was acknowledged after a failure";
      acknowledged = committed->index + 1;
      continue;
    }
    EXPECT_EQ(committed.error().code, Code::kLedgerUnavailable);
    failed = true;
  }
  if (!failed) {  // a checkpoint's file took the rest of a short write
    EXPECT_EQ(fault.error_number, 0);
    ASSERT_TRUE(opened.ledger->close().has_value());
    EXPECT_EQ(opened.verified().verdict, Verdict::kOk);
    return;
  }
  EXPECT_FALSE(opened.ledger->health().writable);
  EXPECT_NE(opened.ledger->health().reason.find("restart aioss"), std::string::npos);
  EXPECT_FALSE(opened.ledger->close().has_value());
  opened.ledger.reset();
  opened.fs.disarm();
  opened.open();
  ASSERT_NE(opened.ledger, nullptr);
  EXPECT_GE(opened.ledger->health().size, acknowledged);
  ASSERT_TRUE(opened.ledger->close().has_value());
  const VerifyReport report = opened.verified();
  EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
}

TEST(Ledger, AFailureLatchesAndLosesNothingAcknowledged) {
  using os::FaultPoint;
  for (std::uint64_t call = 1; call <= 12; ++call) {
    SCOPED_TRACE(call);
    fail_at(FaultPoint::kWrite, call, {.error_number = EIO, .short_bytes = {}});
    fail_at(FaultPoint::kWrite, call, {.error_number = ENOSPC, .short_bytes = 0});
    for (const std::size_t bytes : {1, 57, 100}) {  // of frames of 112, with and without an error
      fail_at(FaultPoint::kWrite, call, {.error_number = EIO, .short_bytes = bytes});
      fail_at(FaultPoint::kWrite, call, {.error_number = 0, .short_bytes = bytes - 1});
    }
    fail_at(FaultPoint::kSync, call, {.error_number = EIO, .short_bytes = {}});
  }
  for (std::uint64_t call = 1; call <= 3; ++call) {
    SCOPED_TRACE(call);
    fail_at(FaultPoint::kRename, call, {.error_number = EIO, .short_bytes = {}});
    fail_at(FaultPoint::kSyncDirectory, call, {.error_number = EIO, .short_bytes = {}});
    fail_at(FaultPoint::kOpen, call, {.error_number = EMFILE, .short_bytes = {}});
  }
}

}  // namespace
}  // namespace aioss::ledger
