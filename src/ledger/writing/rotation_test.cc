// A ledger changes its key: on a running ledger, with the power going out and the disk failing at
// every step, and what a verifier makes of every way to cheat with it.
#include "ledger/writing/rotation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <thread>

#include "ledger/format/checkpoint.h"
#include "ledger/format/epochs.h"
#include "ledger/reading/walk.h"
#include "ledger/testing/test_support.h"
#include "ledger/writing/signer.h"
#include "os/testing/fault_file_system.h"
#include "os/testing/power_cut_file_system.h"

namespace aioss::ledger {
namespace {

using os::PowerCut;
using os::PowerCutFileSystem;
using test::kDirectory;
using test::MemoryFileSystem;

const std::string kKeyPath = "ledger/keys/signing.key";
const std::string kNextPath = "ledger/keys/signing.next";
constexpr crypto::ScryptCost kCheap{10, 1, 1};

const test::FixedClock kClock;

crypto::Secret secret(std::string_view text) {
  return crypto::Secret(Bytes(text.begin(), text.end()));
}

struct Made {
  std::unique_ptr<MemoryFileSystem> fs = std::make_unique<MemoryFileSystem>();
  crypto::SystemRandom random;
  std::string verifier_key;

  explicit Made(const crypto::KeyGuard* guard = nullptr, const Policy& policy = {}) {
    InitOptions making;
    making.directory = kDirectory;
    making.origin = test::kOrigin;
    making.boot_id.emplace();
    making.guard = guard;
    making.policy = policy;
    const auto identity = init(*fs, kClock, random, making);
    EXPECT_TRUE(identity.has_value());
    verifier_key = identity->verifier_key;
  }

  Result<std::unique_ptr<Ledger>> open(const crypto::AskPassphrase& ask = nullptr) {
    OpenOptions options = test::open_options();
    options.ask_passphrase = ask;
    return Ledger::open(*fs, kClock, random, options);
  }
  VerifyReport verified(const std::string& key) { return test::verify_ledger(*fs, key); }
};

std::vector<Record> of_type(os::FileSystem& fs, RecordType type) {
  std::vector<Record> found;
  EXPECT_TRUE(read_records(fs, kDirectory, 0, [&](const Record& record) {
                if (record.type == type) found.push_back(record);
                return true;
              }).has_value());
  return found;
}

void append(Ledger& ledger, int count) {
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(ledger.append_and_wait(RecordType::kInferPart, {}).has_value());
  }
}

TEST(Rotation, EveryKeyOfTheLedgerVerifiesIt) {
  Made made;
  std::vector<std::string> keys{made.verifier_key};
  auto ledger = made.open();
  ASSERT_TRUE(ledger.has_value());
  for (int i = 0; i < 3; ++i) {
    append(**ledger, 2);
    const auto rotated = (*ledger)->rotate_key({"test", {}, {}});
    ASSERT_TRUE(rotated.has_value()) << rotated.error().message;
    keys.push_back(rotated->verifier_key);
    // The checkpoint is there at once, by the new key.
    for (const std::string& key : keys) {
      const VerifyReport report = made.verified(key);
      EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
      EXPECT_EQ(report.checkpoint_size, rotated->index + 1);
    }
  }
  append(**ledger, 1);
  ASSERT_TRUE((*ledger)->close().has_value());
  EXPECT_EQ(of_type(*made.fs, RecordType::kKeyRotate).size(), 3U);
  for (const std::string& key : keys) EXPECT_EQ(made.verified(key).verdict, Verdict::kOk);
  EXPECT_EQ(made.verified("").verdict, Verdict::kUnknown);
  // And it goes on with the last one.
  ledger->reset();
  auto again = made.open();
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_EQ((*again)->identity().verifier_key, keys.back());
}

TEST(Rotation, WritersAreNotDisturbed) {
  Made made;
  auto ledger = made.open();
  ASSERT_TRUE(ledger.has_value());
  std::atomic<bool> stop{false};
  std::atomic<int> appended{0};
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i) {
    writers.emplace_back([&] {
      while (!stop) {
        if (!(*ledger)->append_and_wait(RecordType::kInferPart, {})) return;
        ++appended;
      }
    });
  }
  for (int i = 0; i < 20; ++i) EXPECT_TRUE((*ledger)->rotate_key({"test", {}, {}}).has_value());
  stop = true;
  for (std::thread& writer : writers) writer.join();
  ASSERT_TRUE((*ledger)->close().has_value());
  EXPECT_EQ(of_type(*made.fs, RecordType::kInferPart).size(), static_cast<std::size_t>(appended));
  const VerifyReport report = made.verified(made.verifier_key);
  EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
}

TEST(Rotation, NothingOfTheOldPrivateKeyIsLeft) {
  Made made;
  const auto old_file = *made.fs->open(kKeyPath, os::OpenMode::kRead);  // its bytes, name or not
  const Bytes old_key = made.fs->content(kKeyPath);
  auto ledger = made.open();
  ASSERT_TRUE(ledger.has_value());
  ASSERT_TRUE((*ledger)->rotate_key({"test", {}, {}}).has_value());
  Bytes overwritten(old_key.size());
  ASSERT_EQ(*old_file->read_at(0, overwritten), old_key.size());
  EXPECT_NE(overwritten, old_key);
  EXPECT_EQ(as_text(overwritten).find("PRIVATE KEY"), std::string_view::npos);
  EXPECT_NE(made.fs->content(kKeyPath), old_key);
  EXPECT_FALSE(made.fs->has(kNextPath));
  EXPECT_EQ(made.fs->permissions(kKeyPath), 0600U);
}

TEST(Rotation, TheNextKeyIsProtectedLikeTheOneBefore) {
  crypto::SystemRandom random;
  const auto guard = *crypto::KeyGuard::from_passphrase(secret("correct horse"), random, kCheap);
  Made made(&guard);
  const auto ask = []() -> Result<crypto::Secret> { return secret("correct horse"); };
  EXPECT_TRUE(crypto::is_protected(made.fs->content(kKeyPath)));
  {
    const auto without = made.open();
    ASSERT_FALSE(without.has_value());
    EXPECT_EQ(without.error().code, Code::kUsage) << without.error().message;
    const auto wrong = made.open([]() -> Result<crypto::Secret> { return secret("wrong horse"); });
    ASSERT_FALSE(wrong.has_value());
    EXPECT_EQ(wrong.error().code, Code::kForbidden) << wrong.error().message;
    auto ledger = made.open(ask);
    ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
    ASSERT_TRUE((*ledger)->rotate_key({"test", {}, {}}).has_value());
    ASSERT_TRUE((*ledger)->close().has_value());
  }
  EXPECT_TRUE(crypto::is_protected(made.fs->content(kKeyPath)));
  auto ledger = made.open(ask);
  ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
  // And back to no protection, then to another passphrase.
  ASSERT_TRUE((*ledger)->protect_keys({}).has_value());
  EXPECT_FALSE(crypto::is_protected(made.fs->content(kKeyPath)));
  const auto other = *crypto::KeyGuard::from_passphrase(secret("another horse"), random, kCheap);
  ASSERT_TRUE((*ledger)->protect_keys(other).has_value());
  ASSERT_TRUE((*ledger)->close().has_value());
  ledger->reset();
  EXPECT_FALSE(made.open(ask).has_value());
  EXPECT_TRUE(made.open([]() -> Result<crypto::Secret> { return secret("another horse"); }));
  EXPECT_EQ(made.verified(made.verifier_key).verdict, Verdict::kOk);
}

TEST(Rotation, DualControlWantsTwoNames) {
  Made made(nullptr, {{std::string(kRotateAction)}});
  auto ledger = made.open();
  ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
  EXPECT_EQ((*ledger)->rotate_key({"test", {}, {}}).error().code, Code::kForbidden);
  EXPECT_EQ((*ledger)->rotate_key({"test", {"it/alice"}, {}}).error().code, Code::kForbidden);
  EXPECT_TRUE((*ledger)->rotate_key({"test", {"it/alice", "it/bob"}, {}}).has_value());
  const auto rotations = of_type(*made.fs, RecordType::kKeyRotate);
  ASSERT_EQ(rotations.size(), 1U);
  const auto names = rotations[0].body.get_array(key::key_rotate::kApprovals, "");
  ASSERT_TRUE(names.has_value());
  EXPECT_EQ((*names)->size(), 2U);
}

// What an interrupted rotation left: one key, which is in force; nothing staged; it verifies.
void expect_settled(os::FileSystem& fs, const std::string& verifier_key) {
  crypto::SystemRandom random;
  {
    auto ledger = Ledger::open(fs, kClock, random, test::open_options());
    ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
    ASSERT_TRUE((*ledger)->append_and_wait(RecordType::kInferPart, {}).has_value());
    ASSERT_TRUE((*ledger)->close().has_value());
  }
  EXPECT_FALSE(fs.info(kNextPath).has_value());
  EXPECT_FALSE(fs.info(kKeyPath + ".tmp").has_value());
  EXPECT_FALSE(fs.info(kNextPath + ".tmp").has_value());
  const VerifyReport report = test::verify_ledger(fs, verifier_key);
  EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
  EXPECT_EQ(report.checkpoint_size, report.records);
  const auto walked = walk(fs, {kDirectory});
  ASSERT_TRUE(walked.has_value());
  const auto kept = crypto::SigningKey::load(fs, kKeyPath);
  ASSERT_TRUE(kept.has_value()) << kept.error().message;
  EXPECT_EQ((*kept)->public_key(), walked->state.epochs.newest());
}

// A life with one rotation in it. Whether the rotation was reported as done.
bool rotate_once_in_life(os::FileSystem& fs) {
  crypto::SystemRandom random;
  auto ledger = Ledger::open(fs, kClock, random, test::open_options());
  if (!ledger) return false;
  if (!(*ledger)->append_and_wait(RecordType::kInferPart, {})) return false;
  const auto rotated = (*ledger)->rotate_key({"test", {}, {}});
  if (rotated) {
    EXPECT_TRUE(test::verify_ledger(fs, rotated->verifier_key).verdict == Verdict::kOk);
  }
  (void)(*ledger)->append_and_wait(RecordType::kInferPart, {});
  (void)(*ledger)->close();
  return rotated.has_value();
}

std::string make_on(os::FileSystem& fs) {
  crypto::SystemRandom random;
  InitOptions making;
  making.directory = kDirectory;
  making.origin = test::kOrigin;
  making.boot_id.emplace();
  const auto identity = init(fs, kClock, random, making);
  EXPECT_TRUE(identity.has_value());
  return identity ? identity->verifier_key : "";
}

// The old key is destroyed last: what it signs for is covered by a checkpoint of the new one then.
void expect_old_key_or_new_checkpoint(os::FileSystem& fs, const crypto::PublicKey& old_key) {
  const auto kept = crypto::SigningKey::load(fs, kKeyPath);
  if (kept && (*kept)->public_key() == old_key) return;
  const auto note = read_checkpoint(fs, kDirectory);
  ASSERT_TRUE(note.has_value());
  const auto walked = walk(fs, {kDirectory});
  ASSERT_TRUE(walked.has_value());
  EXPECT_EQ(signer_of(*note, test::kOrigin, walked->state.epochs), walked->state.epochs.newest());
  EXPECT_NE(walked->state.epochs.newest(), old_key);
}

TEST(Rotation, MayBeCutAnywhere) {
  PowerCutFileSystem disk;
  const std::string verifier_key = make_on(disk);
  const crypto::PublicKey old_key = parse_verifier_key(verifier_key)->public_key;
  const auto whole = disk.after_power_cut({});
  ASSERT_TRUE(rotate_once_in_life(*whole));
  const std::uint64_t operations = whole->operations();
  const std::uint64_t seeds = test::long_form() ? 60 : 4;
  int cuts = 0;
  for (std::uint64_t operation = 0; operation <= operations; ++operation) {
    const auto fs = disk.after_power_cut({});
    fs->stop_after(operation);
    rotate_once_in_life(*fs);
    for (std::uint64_t seed = 0; seed < seeds; ++seed) {
      for (const auto keep :
           {PowerCut::Keep::kNothing, PowerCut::Keep::kPrefix, PowerCut::Keep::kSubset}) {
        SCOPED_TRACE("before operation " + std::to_string(operation) + ", cut " +
                     std::to_string(static_cast<int>(keep)) + " seed " + std::to_string(seed));
        const auto left = fs->after_power_cut({keep, operation * seeds + seed});
        expect_old_key_or_new_checkpoint(*left, old_key);
        expect_settled(*left, verifier_key);
        if (HasFailure()) return;
        ++cuts;
      }
    }
  }
  std::printf("%d cuts at %llu operations, each settled\n", cuts,
              static_cast<unsigned long long>(operations));
}

// The start that settles is cut, too, before each of its operations.
TEST(Rotation, SettlingMayBeCutAnywhere) {
  PowerCutFileSystem disk;
  const std::string verifier_key = make_on(disk);
  const auto whole = disk.after_power_cut({});
  ASSERT_TRUE(rotate_once_in_life(*whole));
  const std::uint64_t step = test::long_form() ? 1 : 3;
  int settled = 0;
  for (std::uint64_t operation = 0; operation <= whole->operations(); operation += step) {
    const auto fs = disk.after_power_cut({});
    fs->stop_after(operation);
    rotate_once_in_life(*fs);
    const auto once_cut = fs->after_power_cut({PowerCut::Keep::kSubset, operation});
    for (std::uint64_t last = 0;; ++last) {
      SCOPED_TRACE("before operation " + std::to_string(operation) + ", then " +
                   std::to_string(last));
      const auto again = once_cut->after_power_cut({});
      again->stop_after(last);
      crypto::SystemRandom random;
      const bool opened = Ledger::open(*again, kClock, random, test::open_options()).has_value();
      expect_settled(*again->after_power_cut({PowerCut::Keep::kSubset, last}), verifier_key);
      if (HasFailure()) return;
      ++settled;
      if (opened) break;
    }
  }
  std::printf("%d interrupted settlings\n", settled);
}

TEST(Rotation, EveryFailureOfTheDiskIsSurvived) {
  using os::FaultPoint;
  int failures = 0;
  for (const FaultPoint point :
       {FaultPoint::kOpen, FaultPoint::kWrite, FaultPoint::kSync, FaultPoint::kRename,
        FaultPoint::kRemove, FaultPoint::kSyncDirectory}) {
    for (const bool for_ever : {false, true}) {
      for (std::uint64_t call = 1; call < 100; ++call) {
        SCOPED_TRACE("point " + std::to_string(static_cast<int>(point)) + " call " +
                     std::to_string(call));
        Made made;
        os::FaultFileSystem fs(*made.fs);
        auto ledger = Ledger::open(fs, kClock, made.random, test::open_options());
        ASSERT_TRUE(ledger.has_value());
        const std::uint64_t before = fs.calls(point);
        fs.arm(point, {.call = call, .error_number = EIO, .for_ever = for_ever, .short_bytes = {}});
        const auto rotated = (*ledger)->rotate_key({"test", {}, {}});
        const bool reached = fs.calls(point) - before >= call;
        fs.disarm();
        // Either it is as it was and goes on, or it is shut and the next start finds out.
        const bool goes_on = (*ledger)->append_and_wait(RecordType::kInferPart, {}).has_value();
        EXPECT_EQ(goes_on, !(*ledger)->health().shut);
        EXPECT_TRUE(goes_on || !rotated);
        if (goes_on) {
          EXPECT_TRUE((*ledger)->close().has_value());
        }
        ledger->reset();
        expect_settled(*made.fs, made.verifier_key);
        if (HasFailure()) return;
        if (!reached) break;
        failures += rotated ? 0 : 1;
      }
    }
  }
  EXPECT_GT(failures, 20);
  std::printf("%d failed rotations\n", failures);
}

TEST(Protection, MayBeCutAnywhere) {
  PowerCutFileSystem disk;
  const std::string verifier_key = make_on(disk);
  crypto::SystemRandom random;
  const auto guard = *crypto::KeyGuard::from_passphrase(secret("correct horse"), random, kCheap);
  for (std::uint64_t operation = 0;; ++operation) {
    const auto fs = disk.after_power_cut({});
    bool done = false;
    {
      auto ledger = Ledger::open(*fs, kClock, random, test::open_options());
      ASSERT_TRUE(ledger.has_value());
      fs->stop_after(operation);
      done = (*ledger)->protect_keys(guard).has_value();
    }
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      SCOPED_TRACE("before operation " + std::to_string(operation));
      const auto left = fs->after_power_cut({PowerCut::Keep::kSubset, seed});
      OpenOptions options = test::open_options();
      options.ask_passphrase = []() -> Result<crypto::Secret> { return secret("correct horse"); };
      auto ledger = Ledger::open(*left, kClock, random, options);
      ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
      if (done) {
        EXPECT_EQ((*ledger)->key_guard().protection(), crypto::Protection::kPassphrase);
      }
      EXPECT_FALSE(left->info(kNextPath).has_value());
      ASSERT_TRUE((*ledger)->close().has_value());
      EXPECT_EQ(test::verify_ledger(*left, verifier_key).verdict, Verdict::kOk);
    }
    if (done) break;
  }
}

// From here on: what somebody does who has the files and some keys.
struct Rotated2 {  // a closed ledger with one rotation
  Made made;
  std::unique_ptr<crypto::SigningKey> old_key, new_key;
  std::string new_verifier_key;
  std::uint64_t rotate_index = 0, records = 0;

  Rotated2() {
    old_key = *crypto::SigningKey::load(*made.fs, kKeyPath);
    auto ledger = made.open();
    append(**ledger, 3);
    const auto rotated = (*ledger)->rotate_key({"test", {}, {}});
    EXPECT_TRUE(rotated.has_value());
    rotate_index = rotated->index;
    new_verifier_key = rotated->verifier_key;
    append(**ledger, 3);
    EXPECT_TRUE((*ledger)->close().has_value());
    new_key = *crypto::SigningKey::load(*made.fs, kKeyPath);
    records = made.verified(new_verifier_key).records;
  }

  Digest root_at(std::uint64_t size) {
    WalkOptions walking{kDirectory, size};
    return *walk(*made.fs, walking)->root_at;
  }
  Verdict with_checkpoint(std::uint64_t size, const crypto::SigningKey& signer,
                          const std::string& key) {
    EXPECT_TRUE(write_checkpoint(*made.fs, kDirectory, {test::kOrigin, size, root_at(size)}, signer)
                    .has_value());
    return made.verified(key).verdict;
  }
};

TEST(Rotation, ACheckpointNeedsTheKeyThatIsInForceForItsSize) {
  Rotated2 ledger;
  for (const std::string& key : {ledger.made.verifier_key, ledger.new_verifier_key}) {
    for (std::uint64_t size = 1; size <= ledger.records; ++size) {
      const bool is_old = size <= ledger.rotate_index;
      EXPECT_EQ(ledger.with_checkpoint(size, *ledger.old_key, key),
                is_old ? Verdict::kOk : Verdict::kTampered)
          << size;
      EXPECT_EQ(ledger.with_checkpoint(size, *ledger.new_key, key),
                is_old ? Verdict::kTampered : Verdict::kOk)
          << size;
    }
  }
}

TEST(Rotation, AKeyOfNoEpochIsTampering) {
  Rotated2 ledger;
  const auto other = *crypto::SigningKey::from_seed(Bytes(32, 9));
  const std::string key = format_verifier_key({test::kOrigin, other->public_key()});
  EXPECT_EQ(ledger.made.verified(key).verdict, Verdict::kTampered);
  const std::string name =
      format_verifier_key({"example.test/other", ledger.new_key->public_key()});
  EXPECT_EQ(ledger.made.verified(name).verdict, Verdict::kTampered);
}

// The end of the ledger is gone, and the rotation with it.
TEST(Rotation, ALedgerThatWasCutBeforeItIsTruncated) {
  Rotated2 ledger;
  Bytes& segment = ledger.made.fs->content(test::segment_path(0));
  const auto frames = test::frames_of(segment);
  segment.resize(frames[ledger.rotate_index].offset);
  EXPECT_EQ(ledger.made.verified(ledger.new_verifier_key).verdict, Verdict::kTruncated);
  // Who knows the first key alone sees a signature of nobody.
  EXPECT_EQ(ledger.made.verified(ledger.made.verifier_key).verdict, Verdict::kTampered);
}

// Of a ledger that goes on with this KEY_ROTATE, right or wrong, and a checkpoint by the new key.
Verdict verdict_with(Made& made, const WalkState& state, const Rotation& rotation,
                     const crypto::SigningKey& new_key) {
  Appender appender(*made.fs, kClock, kDirectory, {},
                    {state.segment.header.ledger_id,
                     state.next_index,
                     state.chain,
                     state.tree,
                     state.segment,
                     {}});
  EXPECT_TRUE(appender.reopen().has_value());
  codec::Map body;
  add_rotation(rotation, "forged", {}, body);
  appender.stage(RecordType::kKeyRotate, *encode_own(body));
  EXPECT_TRUE(appender.commit().has_value());
  EXPECT_TRUE(
      write_checkpoint(*made.fs, kDirectory, checkpoint_of(appender, test::kOrigin), new_key)
          .has_value());
  return made.verified(made.verifier_key).verdict;
}

// A KEY_ROTATE as its author wants it, in a ledger that is well formed otherwise.
Verdict verdict_of_forged(const std::function<void(Rotation&, const LedgerId&)>& forge) {
  Made made;
  const auto old_key = *crypto::SigningKey::load(*made.fs, kKeyPath);
  const auto new_key = *crypto::SigningKey::from_seed(Bytes(32, 7));
  auto walked = walk(*made.fs, {kDirectory});
  EXPECT_TRUE(walked.has_value());
  WalkState& state = walked->state;
  const LedgerId id = state.segment.header.ledger_id;
  ChainHasher hasher;
  Rotation rotation =
      *sign_rotation(id, state.next_index, state.tree.root(hasher), *old_key, *new_key);
  forge(rotation, id);
  return verdict_with(made, state, rotation, *new_key);
}

TEST(Rotation, AForgedOneIsTampering) {
  const auto thief = *crypto::SigningKey::from_seed(Bytes(32, 8));
  const auto other = *crypto::SigningKey::from_seed(Bytes(32, 7));
  EXPECT_EQ(verdict_of_forged([](Rotation&, const LedgerId&) {}), Verdict::kOk);
  const auto tampered = [](const std::function<void(Rotation&, const LedgerId&)>& forge) {
    return verdict_of_forged(forge) == Verdict::kTampered;
  };
  // By somebody who has not the old key, nor the new one.
  EXPECT_TRUE(tampered([&](Rotation& rotation, const LedgerId& id) {
    rotation = *sign_rotation(id, rotation.index, rotation.root_before, *thief, *other);
  }));
  EXPECT_TRUE(tampered([](Rotation& rotation, const LedgerId&) { rotation.by_old[5] ^= 1; }));
  EXPECT_TRUE(tampered([](Rotation& rotation, const LedgerId&) { rotation.by_new[5] ^= 1; }));
  EXPECT_TRUE(tampered([](Rotation& rotation, const LedgerId&) { rotation.root_before[0] ^= 1; }));
  EXPECT_TRUE(tampered(
      [](Rotation& rotation, const LedgerId&) { std::swap(rotation.old_key, rotation.new_key); }));
}

// Well signed, but over other records, or for another place.
TEST(Rotation, OneFromElsewhereIsTampering) {
  const auto new_key = *crypto::SigningKey::from_seed(Bytes(32, 7));
  const auto signed_otherwise = [&](std::uint64_t shift, bool other_root) {
    Made made;
    const auto old_key = *crypto::SigningKey::load(*made.fs, kKeyPath);
    auto walked = walk(*made.fs, {kDirectory});
    WalkState& state = walked->state;
    const LedgerId id = state.segment.header.ledger_id;
    ChainHasher hasher;
    Digest root = state.tree.root(hasher);
    if (other_root) root[0] ^= 1;
    const Rotation rotation =
        *sign_rotation(id, state.next_index + shift, root, *old_key, *new_key);
    return verdict_with(made, state, rotation, *new_key);
  };
  EXPECT_EQ(signed_otherwise(0, false), Verdict::kOk);
  EXPECT_EQ(signed_otherwise(1, false), Verdict::kTampered);
  EXPECT_EQ(signed_otherwise(0, true), Verdict::kTampered);
}

}  // namespace
}  // namespace aioss::ledger
