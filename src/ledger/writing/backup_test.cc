// Backups of ledgers at rest and in use, and what becomes of a copy that is brought back.
#include "ledger/writing/backup.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "crypto/protected_key.h"
#include "ledger/format/checkpoint.h"
#include "ledger/format/epochs.h"
#include "ledger/format/format.h"
#include "ledger/reading/walk.h"
#include "ledger/testing/test_support.h"
#include "ledger/writing/directory.h"
#include "ledger/writing/ledger.h"
#include "ledger/writing/policy.h"
#include "ledger/writing/restored.h"
#include "os/clock.h"
#include "os/testing/fault_file_system.h"
#include "os/testing/power_cut_file_system.h"

namespace aioss::ledger {
namespace {

namespace files = std::filesystem;

constexpr std::uint64_t kSegmentBytes = 2'000;

class Copies : public testing::Test {
 protected:
  void SetUp() override {
    files::remove_all(root_);
    files::create_directories(root_);
  }
  void TearDown() override { files::remove_all(root_); }

  std::string path(const std::string& name) const { return root_ + '/' + name; }

  std::string make(const crypto::KeyGuard* guard = nullptr) {
    InitOptions making;
    making.directory = path("ledger");
    making.origin = test::kOrigin;
    making.trial = true;
    making.guard = guard;
    const auto identity = init(fs_, clock_, random_, making);
    EXPECT_TRUE(identity.has_value());
    return identity->verifier_key;
  }
  Result<std::unique_ptr<Ledger>> open(const std::string& name,
                                       const crypto::AskPassphrase& ask = nullptr) {
    OpenOptions options;
    options.directory = path(name);
    options.segment_bytes_max = kSegmentBytes;
    options.reserve_bytes = 0;
    options.ask_passphrase = ask;
    return Ledger::open(fs_, clock_, random_, options);
  }
  void append(Ledger& ledger, int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(ledger.append_and_wait(RecordType::kInferRequest, test::request_body()));
    }
  }
  // Made, filled and closed.
  std::string make_filled(int count = 40) {
    std::string key = make();
    auto ledger = open("ledger");
    EXPECT_TRUE(ledger.has_value());
    append(**ledger, count);
    EXPECT_TRUE((*ledger)->close().has_value());
    return key;
  }
  Result<BackupReport> back_up(const std::string& to, bool with_keys = false,
                               bool unprotected = false, const std::string& key = "") {
    return ledger::back_up(fs_, clock_,
                           {path("ledger"), path(to), with_keys, unprotected, key, nullptr});
  }
  Result<BackupReport> restore(const std::string& from, const std::string& to) {
    return ledger::restore(fs_, {path(from), path(to), "", "somebody", nullptr});
  }
  VerifyReport verified(const std::string& name, const std::string& key) {
    VerifyOptions options;
    options.directory = path(name);
    options.verifier_key = key;
    return verify(fs_, options);
  }
  std::vector<Record> records(const std::string& name) {
    std::vector<Record> all;
    EXPECT_TRUE(read_records(fs_, path(name), 0, [&all](const Record& record) {
                  all.push_back(record);
                  return true;
                }).has_value());
    return all;
  }

  os::RealFileSystem fs_;
  const os::SystemClock clock_;
  crypto::SystemRandom random_;
  const std::string root_ = testing::TempDir() + "aioss_backup_test";
};

TEST_F(Copies, ALedgerAtRestIsCopiedWhole) {
  const std::string key = make_filled();
  const auto report = back_up("copy", false, false, key);
  ASSERT_TRUE(report.has_value()) << report.error().message;
  const VerifyReport original = verified("ledger", key);
  const VerifyReport copy = verified("copy", key);
  EXPECT_EQ(copy.verdict, Verdict::kOk) << copy.finding;
  EXPECT_EQ(copy.root_hex, original.root_hex);
  EXPECT_EQ(report->records, original.records);
  EXPECT_EQ(report->checkpoint_size, original.records);
  EXPECT_GT(original.segments, 2U);
  EXPECT_EQ(report->keys, "none");
  EXPECT_FALSE(files::exists(path("copy/keys")));
  EXPECT_FALSE(files::exists(path("copy/LOCK")));
}

TEST_F(Copies, ACopyOfALedgerForTrialsIsForTrials) {
  make_filled();
  ASSERT_TRUE(back_up("copy", true, true).has_value());
  os::FaultFileSystem memory(fs_);
  memory.set_type_name("tmpfs");
  const RestoreOptions wanted{path("copy"), path("new"), "", "somebody", nullptr};
  ASSERT_TRUE(ledger::restore(memory, wanted).has_value());
  OpenOptions opening;
  opening.directory = path("new");
  opening.reserve_bytes = 0;
  EXPECT_TRUE(Ledger::open(memory, clock_, random_, opening).has_value());
}

TEST_F(Copies, AnotherIsNotRestoredWhereWritesCanBeLost) {
  make_filled();
  files::remove(path("ledger") + "/" + std::string(kTrialFile));
  ASSERT_TRUE(back_up("copy", true, true).has_value());
  os::FaultFileSystem memory(fs_);
  memory.set_type_name("tmpfs");
  const RestoreOptions wanted{path("copy"), path("new"), "", "somebody", nullptr};
  const auto refused = ledger::restore(memory, wanted);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kUnsupported);
  memory.set_type_name("ext4");
  EXPECT_TRUE(ledger::restore(memory, wanted).has_value());  // what was refused left nothing
}

// What somebody else left among the segments is none, wherever its name stands in the order.
TEST_F(Copies, WhatIsNoSegmentStaysBehind) {
  const std::string key = make_filled();
  const std::vector<std::string> strays{"00000000000000000000.aioss.orig", "notes.txt", "zz"};
  for (const std::string& name : strays) std::ofstream(path("ledger/seg/" + name)) << "mine";
  files::create_directories(path("ledger/seg/lost+found"));
  ASSERT_TRUE(back_up("copy", true, true, key).has_value());
  EXPECT_EQ(verified("copy", key).records, verified("ledger", key).records);
  EXPECT_EQ(verified("copy", key).verdict, Verdict::kOk);
  for (const std::string& name : strays) EXPECT_FALSE(files::exists(path("copy/seg/" + name)));
  EXPECT_FALSE(files::exists(path("copy/seg/lost+found")));
  // The last segment is the one that can be written to, and the ledger goes on.
  const std::string live = fs_.list(path("copy/seg"))->back();
  EXPECT_TRUE(parse_segment_file_name(live).has_value()) << live;
  EXPECT_NE(files::status(path("copy/seg/" + live)).permissions() & files::perms::owner_write,
            files::perms::none);
  ASSERT_TRUE(restore("copy", "new").has_value());
  auto ledger = open("new");
  ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
  append(**ledger, 1);
  ASSERT_TRUE((*ledger)->close().has_value());
  EXPECT_EQ(verified("new", key).verdict, Verdict::kOk);
}

TEST_F(Copies, EverythingButKeysComesAlong) {
  const std::string key = make_filled();
  const auto put = [&](const std::string& name, const std::string& text) {
    files::create_directories(files::path(path("ledger/" + name)).parent_path());
    std::ofstream(path("ledger/" + name)) << text;
  };
  put("vault/subjects", "wrapped");
  put("vault/master.key", std::string(32, 'm'));
  put("blob/s_1/aa", "sealed");
  put("prefix/s_1/aa", "sealed too");
  put("anchors/12-w.note", "note");
  put("quarantine/0-1-x.torn", "torn");
  put("vault/subjects.tmp", "half");
  ASSERT_TRUE(back_up("copy").has_value());
  const auto text = [&](const std::string& name) {
    const auto bytes = os::read_file(fs_, path(name), 100);
    return bytes ? std::string(as_text(*bytes)) : std::string();
  };
  EXPECT_EQ(text("copy/vault/subjects"), "wrapped");
  EXPECT_EQ(text("copy/blob/s_1/aa"), "sealed");
  EXPECT_EQ(text("copy/anchors/12-w.note"), "note");
  EXPECT_EQ(text("copy/quarantine/0-1-x.torn"), "torn");
  EXPECT_FALSE(files::exists(path("copy/vault/master.key")));
  EXPECT_FALSE(files::exists(path("copy/prefix"))) << "a cache";
  EXPECT_FALSE(files::exists(path("copy/vault/subjects.tmp")));
  ASSERT_TRUE(back_up("with", true, true).has_value());
  EXPECT_EQ(text("with/vault/master.key"), std::string(32, 'm'));
  using files::perms;
  EXPECT_EQ(files::status(path("with/keys/signing.key")).permissions(),
            perms::owner_read | perms::owner_write);
  EXPECT_EQ(files::status(path("with/vault")).permissions(), perms::owner_all);
  // A key that is being changed is not copied.
  put("keys/signing.next", "x");
  EXPECT_EQ(back_up("again", true, true).error().code, Code::kBusy);
}

TEST_F(Copies, KeysThatNothingProtectsStayBehind) {
  make_filled(3);
  const auto refused = back_up("copy", true);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kForbidden);
  EXPECT_FALSE(files::exists(path("copy")));
  EXPECT_EQ(back_up("copy", true, true)->keys, "unprotected");
}

TEST_F(Copies, DestinationsAreNotOverwritten) {
  make_filled(3);
  files::create_directories(path("full"));
  std::ofstream(path("full/x")) << "x";
  EXPECT_EQ(back_up("full").error().code, Code::kConflict);
  EXPECT_EQ(back_up("ledger").error().code, Code::kUsage);
  EXPECT_EQ(back_up("ledger/inside").error().code, Code::kUsage);
  files::create_directories(path("empty"));
  EXPECT_TRUE(back_up("empty").has_value());
  EXPECT_EQ(ledger::back_up(fs_, clock_, {path("nowhere"), path("x")}).error().code,
            Code::kNotFound);
  EXPECT_EQ(restore("full", "new").error().code, Code::kNotFound);  // no backup
  EXPECT_EQ(restore("empty", "full").error().code, Code::kConflict);
}

// Beside a writer that rotates segments and changes its key: every copy verifies, is a beginning of
// the original, and can be brought back.
TEST_F(Copies, AWriterIsNotDisturbed) {
  const std::string key = make();
  auto ledger = open("ledger");
  ASSERT_TRUE(ledger.has_value());
  const int records_max = test::long_form() ? 50'000 : 1'500;  // every copy verifies them all
  std::atomic<bool> stop{false};
  std::atomic<int> appended{0};
  std::vector<std::thread> writers;
  for (int i = 0; i < 3; ++i) {
    writers.emplace_back([&] {
      while (!stop && appended < records_max) {
        if (!(*ledger)->append_and_wait(RecordType::kInferRequest, test::request_body())) return;
        ++appended;
      }
    });
  }
  const int rounds = test::long_form() ? 200 : 12;
  std::vector<std::uint64_t> sizes;
  for (int round = 0; round < rounds; ++round) {
    if (round % 3 == 2) {
      EXPECT_TRUE((*ledger)->rotate_key({"test", {}, {}}).has_value());
    }
    const auto report = back_up("copy" + std::to_string(round), round % 2 == 0, true, key);
    if (!report && report.error().code == Code::kBusy) continue;
    ASSERT_TRUE(report.has_value()) << report.error().message;
    sizes.push_back(report->records);
  }
  stop = true;
  for (std::thread& writer : writers) writer.join();
  ASSERT_TRUE((*ledger)->close().has_value());
  EXPECT_GT(sizes.back(), sizes.front());
  const auto original = records("ledger");
  for (int round = 0; round < rounds; ++round) {
    const std::string name = "copy" + std::to_string(round);
    if (!files::exists(path(name) + "/backup.json")) continue;
    const auto copied = records(name);
    ASSERT_LE(copied.size(), original.size());
    EXPECT_EQ(copied.back().chain, original[copied.size() - 1].chain);
    if (round % 2 != 0) continue;
    ASSERT_TRUE(restore(name, name + "r").has_value());
    auto restored = open(name + "r");
    ASSERT_TRUE(restored.has_value()) << restored.error().message;
    EXPECT_TRUE((*restored)->close().has_value());
    EXPECT_EQ(verified(name + "r", key).verdict, Verdict::kOk);
  }
  std::printf("%zu copies beside %d records\n", sizes.size(), appended.load());
}

TEST_F(Copies, ABackupIsNotOpened) {
  make_filled(3);
  ASSERT_TRUE(back_up("copy", true, true).has_value());
  const auto opened = open("copy");
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Code::kUnsupported);
  EXPECT_FALSE(ledger::back_up(fs_, clock_, {path("copy"), path("copy2")}).has_value());
}

TEST_F(Copies, ATornEndIsLeftOut) {
  const std::string key = make();
  auto ledger = open("ledger");
  append(**ledger, 3);
  ledger->reset();  // not closed: the checkpoint covers the first records alone
  const std::string segment = path("ledger/seg/" + segment_file_name(0));
  const auto whole = files::file_size(segment);
  std::ofstream(segment, std::ios::app | std::ios::binary) << "AREC half a frame";
  const auto report = back_up("copy");
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(files::file_size(path("copy/seg/" + segment_file_name(0))), whole);
  EXPECT_EQ(report->records, 5U);
  EXPECT_EQ(verified("copy", key).verdict, Verdict::kOk);
}

TEST_F(Copies, ADamagedLedgerGivesNoBackup) {
  make_filled();
  {
    std::fstream segment(path("ledger/seg/" + segment_file_name(0)),
                         std::ios::in | std::ios::out | std::ios::binary);
    segment.seekp(300);
    segment.put('\x7F');
  }
  const auto report = back_up("copy");
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code, Code::kCorrupt);
  EXPECT_FALSE(files::exists(path("copy/backup.json")));
  EXPECT_FALSE(restore("copy", "new").has_value());
}

TEST_F(Copies, AnotherKeyIsNotTheirs) {
  make_filled(3);
  const auto other = *crypto::SigningKey::from_seed(Bytes(32, 9));
  const std::string key = format_verifier_key({test::kOrigin, other->public_key()});
  EXPECT_EQ(back_up("copy", false, false, key).error().code, Code::kCorrupt);
}

TEST_F(Copies, ARestoredCopySaysSoFirst) {
  const std::string key = make_filled(5);
  const std::uint64_t size = verified("ledger", key).records;
  ASSERT_TRUE(back_up("copy", true, true).has_value());
  ASSERT_TRUE(restore("copy", "new").has_value());
  EXPECT_EQ(verified("new", key).records, size);  // until it is opened
  {
    auto ledger = open("new");
    ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
    append(**ledger, 1);
    ASSERT_TRUE((*ledger)->close().has_value());
  }
  const auto all = records("new");
  namespace own = key::recovery;
  ASSERT_GT(all.size(), size + 2);
  const Record& recovery = all[size];
  EXPECT_EQ(recovery.type, RecordType::kRecovery);
  EXPECT_EQ(*recovery.body.get_text(own::kCause, ""), "restored");
  EXPECT_EQ(*recovery.body.get_uint(own::kBackupSize, ""), size);
  EXPECT_EQ(*recovery.body.get_digest(own::kBackupRoot, ""),
            read_checkpoint(fs_, path("copy"))->checkpoint.root);
  EXPECT_EQ(all[size + 1].type, RecordType::kKeyRotate);
  EXPECT_EQ(all[size + 2].type, RecordType::kAdminAction);
  EXPECT_EQ(*all[size + 2].body.get_text(key::admin_action::kAction, ""), "restore");
  EXPECT_FALSE(files::exists(path("new/restored")));
  EXPECT_EQ(verified("new", key).verdict, Verdict::kOk);
  // Once: the next opening is one like any other.
  const std::size_t before = all.size();
  {
    ASSERT_TRUE((*open("new"))->close().has_value());
  }
  for (std::size_t i = before; i < records("new").size(); ++i) {
    EXPECT_NE(records("new")[i].type, RecordType::kKeyRotate);
  }
}

// Original and copy both go on. Each verifies by itself, by the key that people hold; side by side
// they are two histories, signed by two keys.
TEST_F(Copies, TwoHistoriesDoNotPassForOne) {
  const std::string key = make_filled(5);
  ASSERT_TRUE(back_up("copy", true, true).has_value());
  ASSERT_TRUE(restore("copy", "new").has_value());
  for (const std::string& name : {std::string("ledger"), std::string("new")}) {
    auto ledger = open(name);
    ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
    append(**ledger, 10);
    ASSERT_TRUE((*ledger)->close().has_value());
    EXPECT_EQ(verified(name, key).verdict, Verdict::kOk);
  }
  const Note original = *read_checkpoint(fs_, path("ledger"));
  const Note restored = *read_checkpoint(fs_, path("new"));
  WalkOptions walking{path("new"), original.checkpoint.size};
  const auto walked = walk(fs_, walking);
  ASSERT_TRUE(walked.has_value() && walked->root_at.has_value());
  // The original's checkpoint is signed by a key of the copy's ledger, and its root is another one:
  // FORK.
  EXPECT_TRUE(signer_of(original, test::kOrigin, walked->state.epochs).has_value());
  EXPECT_NE(*walked->root_at, original.checkpoint.root);
  // The original never had the key that the copy signs with.
  const auto first = walk(fs_, {path("ledger")});
  EXPECT_FALSE(signer_of(restored, test::kOrigin, first->state.epochs).has_value());
  EXPECT_NE(as_text(*os::read_file(fs_, path("ledger/keys/signing.key"), 4096)),
            as_text(*os::read_file(fs_, path("new/keys/signing.key"), 4096)));
}

TEST_F(Copies, WithoutItsKeyACopyIsForReading) {
  const std::string key = make_filled(3);
  ASSERT_TRUE(back_up("copy").has_value());
  ASSERT_TRUE(restore("copy", "new").has_value());
  EXPECT_EQ(verified("new", key).verdict, Verdict::kOk);
  EXPECT_FALSE(open("new").has_value());
  // With the key, from wherever it is kept, it goes on. So does its vault, which has a key of its
  // own: ledger/custody/restored_test.cc.
  files::create_directories(path("new/keys"));
  files::copy_file(path("ledger/keys/signing.key"), path("new/keys/signing.key"));
  EXPECT_TRUE(open("new").has_value());
}

// The first opening fails at each of its steps and is tried again: RECOVERY and KEY_ROTATE are
// there exactly once, and before anything else.
TEST_F(Copies, TheFirstOpeningMayFailAnywhere) {
  using os::FaultPoint;
  const std::string key = make_filled(5);
  const std::uint64_t size = verified("ledger", key).records;
  ASSERT_TRUE(back_up("copy", true, true).has_value());
  const std::uint64_t step = test::long_form() ? 1 : 3;  // every try syncs a whole copy
  int failures = 0;
  for (const FaultPoint point :
       {FaultPoint::kOpen, FaultPoint::kWrite, FaultPoint::kSync, FaultPoint::kRename,
        FaultPoint::kRemove, FaultPoint::kSyncDirectory}) {
    for (std::uint64_t call = 1; call < 200; call += step) {
      SCOPED_TRACE("point " + std::to_string(static_cast<int>(point)) + " call " +
                   std::to_string(call));
      files::remove_all(path("new"));
      ASSERT_TRUE(restore("copy", "new").has_value());
      bool opened = false;
      {
        os::FaultFileSystem failing(fs_);
        failing.arm(point,
                    {.call = call, .error_number = EIO, .for_ever = true, .short_bytes = {}});
        OpenOptions options;
        options.directory = path("new");
        options.reserve_bytes = 0;
        opened = Ledger::open(failing, clock_, random_, options).has_value();
      }
      failures += opened ? 0 : 1;
      {
        ASSERT_TRUE((*open("new"))->close().has_value());
      }
      const auto all = records("new");
      int recoveries = 0, rotations = 0;
      for (const Record& record : all) {
        recoveries += record.type == RecordType::kRecovery ? 1 : 0;
        rotations += record.type == RecordType::kKeyRotate ? 1 : 0;
      }
      EXPECT_EQ(recoveries, 1);
      EXPECT_EQ(rotations, 1);
      EXPECT_EQ(all[size].type, RecordType::kRecovery);
      EXPECT_EQ(all[size + 1].type, RecordType::kKeyRotate);
      EXPECT_EQ(verified("new", key).verdict, Verdict::kOk);
      if (HasFailure()) return;
      if (opened) break;
    }
  }
  EXPECT_GT(failures, 10);
  std::printf("%d failed first openings\n", failures);
}

TEST_F(Copies, AMarkThatCannotBeReadIsNotIgnored) {
  make_filled(3);
  ASSERT_TRUE(back_up("copy", true, true).has_value());
  ASSERT_TRUE(restore("copy", "new").has_value());
  std::ofstream(path("new/restored")) << "{}";
  const auto opened = open("new");
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Code::kCorrupt);
}

TEST_F(Copies, ProtectedKeysComeAlongAsTheyAre) {
  const crypto::Secret passphrase(Bytes(12, 'x'));
  const auto guard = *crypto::KeyGuard::from_passphrase(passphrase, random_, {10, 1, 1});
  const std::string key = make(&guard);
  const crypto::AskPassphrase ask = [&]() -> Result<crypto::Secret> { return passphrase.copy(); };
  {
    ASSERT_TRUE((*open("ledger", ask))->close().has_value());
  }
  EXPECT_EQ(back_up("copy", true)->keys, "passphrase");
  ASSERT_TRUE(restore("copy", "new").has_value());
  EXPECT_FALSE(open("new").has_value());
  auto ledger = open("new", ask);
  ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
  ASSERT_TRUE((*ledger)->close().has_value());
  EXPECT_TRUE(crypto::is_protected(*os::read_file(fs_, path("new/keys/signing.key"), 4096)));
  EXPECT_EQ(verified("new", key).verdict, Verdict::kOk);
}

// What a copy holds, the original still has after a power cut: also what its writer had only begun
// to make durable.
TEST(BackupAndPowerCut, ACopyIsNeverAheadOfTheDisk) {
  os::PowerCutFileSystem disk;
  const test::FixedClock clock;
  test::CountingRandom random;
  InitOptions making;
  making.directory = test::kDirectory;
  making.origin = test::kOrigin;
  const auto identity = init(disk, clock, random, making);
  ASSERT_TRUE(identity.has_value());
  const std::string segment = test::segment_path(0);
  const auto ahead = disk.after_power_cut({});  // where the next group was written and synced
  {
    auto ledger = Ledger::open(*ahead, clock, random, test::open_options());
    ASSERT_TRUE((*ledger)->append_and_wait(RecordType::kInferPart, {}).has_value());
  }
  const Bytes grown = *os::read_file(*ahead, segment, 1U << 20);
  {
    const auto file = *disk.open(segment, os::OpenMode::kReadWrite);
    ASSERT_TRUE(file->write_at(0, grown).has_value());  // and here only written
  }
  const auto report = back_up(disk, clock, {test::kDirectory, "copy"});
  ASSERT_TRUE(report.has_value()) << report.error().message;
  EXPECT_EQ(report->records, 3U);
  const auto left = disk.after_power_cut({os::PowerCut::Keep::kNothing, 0});
  EXPECT_GE(test::verify_ledger(*left, identity->verifier_key).records, report->records);
  VerifyOptions verifying;
  verifying.directory = "copy";
  verifying.verifier_key = identity->verifier_key;
  const VerifyReport copy = verify(*left, verifying);  // it, too, is on the disk
  EXPECT_EQ(copy.verdict, Verdict::kOk) << copy.finding;
  EXPECT_EQ(copy.records, report->records);
}

// Whatever is cut while it is restored: it cannot be opened, or it is marked.
TEST(BackupAndPowerCut, ARestoreMayBeCutAnywhere) {
  os::PowerCutFileSystem disk;
  const test::FixedClock clock;
  test::CountingRandom random;
  InitOptions making;
  making.directory = test::kDirectory;
  making.origin = test::kOrigin;
  ASSERT_TRUE(init(disk, clock, random, making).has_value());
  ASSERT_TRUE(back_up(disk, clock, {test::kDirectory, "copy", true, true}).has_value());
  int opened = 0, refused = 0;
  for (std::uint64_t operation = 0;; ++operation) {
    const auto fs = disk.after_power_cut({});
    fs->stop_after(operation);
    const bool done = restore(*fs, {"copy", "new"}).has_value();
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      SCOPED_TRACE("before operation " + std::to_string(operation));
      const auto left = fs->after_power_cut({os::PowerCut::Keep::kSubset, seed});
      OpenOptions options = test::open_options();
      options.directory = "new";
      const auto ledger = Ledger::open(*left, clock, random, options);
      if (!ledger) {
        EXPECT_FALSE(done);
        ++refused;
        continue;
      }
      ++opened;
      int rotations = 0;
      ASSERT_TRUE(read_records(*left, "new", 0, [&](const Record& record) {
                    rotations += record.type == RecordType::kKeyRotate ? 1 : 0;
                    return true;
                  }).has_value());
      EXPECT_EQ(rotations, 1);
    }
    if (done) break;
  }
  EXPECT_GT(opened, 0);
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace aioss::ledger
