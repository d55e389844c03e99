// A ledger's two private keys, its own and its vault's, are protected in another way together.
// Wherever that ends early, one passphrase opens both.
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <functional>
#include <optional>

#include "crypto/protected_key.h"
#include "ledger/custody/custody_fixture.h"
#include "ledger/writing/signer.h"
#include "os/testing/fault_file_system.h"
#include "os/testing/power_cut_file_system.h"

namespace aioss::ledger {
namespace {

using os::PowerCut;
using os::PowerCutFileSystem;
using test::kAlice;
using test::kDirectory;
using Keep = PowerCut::Keep;

const std::string kMasterPath = "ledger/vault/master.key";
const std::string kMasterNextPath = "ledger/vault/master.next";
const std::string kSigningNextPath = "ledger/keys/signing.next";
constexpr crypto::ScryptCost kCheap{10, 1, 1};

using Passphrase = std::optional<std::string>;  // nothing: no protection

crypto::Secret secret(const std::string& text) {
  return crypto::Secret(Bytes(text.begin(), text.end()));
}

crypto::AskPassphrase asking(const Passphrase& passphrase) {
  if (!passphrase) return nullptr;
  return [text = *passphrase]() -> Result<crypto::Secret> { return secret(text); };
}

crypto::KeyGuard guard_of(const Passphrase& passphrase) {
  if (!passphrase) return {};
  crypto::SystemRandom random;
  return *crypto::KeyGuard::from_passphrase(secret(*passphrase), random, kCheap);
}

// As the program has it: protected like the signing key.
MasterKeyFile master_key_file(const crypto::KeyGuard& guard, const Passphrase& passphrase,
                              crypto::Random& random) {
  MasterKeyFile file;
  file.load = [guard, ask = asking(passphrase)](os::FileSystem& fs,
                                                const std::string& path) -> Result<LoadedMaster> {
    AIOSS_TRY(const Bytes bytes, os::read_file(fs, path, crypto::kKeyFileBytesMax));
    AIOSS_TRY(const crypto::Secret key, guard.open(kMasterKeyLabel, bytes, ask));
    if (key.view().size() != crypto::SecretKey::kBytes) return Error{Code::kCorrupt, "no key"};
    return LoadedMaster{crypto::SecretKey(key.view()), guard.wrote(bytes)};
  };
  file.save = [guard, &random](os::FileSystem& fs, const std::string& path,
                               const crypto::SecretKey& key) -> Status {
    AIOSS_TRY(const crypto::Secret sealed, guard.seal(kMasterKeyLabel, key.view(), random));
    return os::replace_file(fs, path, sealed.view(), 0600);
  };
  return file;
}

// The ledger and its custody, as far as the passphrase opens them. The file system outlives it.
struct Desk {
  test::FixedClock clock;
  crypto::SystemRandom random;
  std::unique_ptr<Ledger> ledger;
  std::unique_ptr<Custody> custody;
  std::string problem;

  Desk(os::FileSystem& fs, const Passphrase& passphrase) {
    OpenOptions options = test::open_options();
    options.ask_passphrase = asking(passphrase);
    auto opened = Ledger::open(fs, clock, random, options);
    if (!opened) {
      problem = opened.error().message;
      return;
    }
    ledger = std::move(*opened);
    CustodyOptions keeping;
    keeping.directory = kDirectory;
    keeping.master = master_key_file(ledger->key_guard(), passphrase, random);
    auto taken = Custody::open(fs, clock, random, *ledger, keeping);
    if (taken) {
      custody = std::move(*taken);
    } else {
      problem = taken.error().message;
    }
  }
};

std::unique_ptr<PowerCutFileSystem> made_with(const Passphrase& passphrase) {
  auto disk = std::make_unique<PowerCutFileSystem>();
  test::FixedClock clock;
  crypto::SystemRandom random;
  const crypto::KeyGuard guard = guard_of(passphrase);
  InitOptions making;
  making.directory = kDirectory;
  making.origin = test::kOrigin;
  making.boot_id.emplace();
  making.guard = &guard;
  EXPECT_TRUE(init(*disk, clock, random, making).has_value());
  Desk desk(*disk, passphrase);
  EXPECT_NE(desk.custody, nullptr) << desk.problem;
  EXPECT_TRUE(desk.custody->obtain(kAlice).has_value());
  EXPECT_TRUE(desk.ledger->close().has_value());
  return disk;
}

struct Change {
  Passphrase before, after;
};
const std::array<Change, 3> kChanges{{{"correct horse", "another horse"},
                                      {"correct horse", std::nullopt},
                                      {std::nullopt, "another horse"}}};

// Whether it was reported as done. `stop` is told when the ledger is open.
bool protect(os::FileSystem& fs, const Change& change, const std::function<void()>& stop) {
  Desk desk(fs, change.before);
  EXPECT_NE(desk.custody, nullptr) << desk.problem;
  if (!desk.custody) return false;
  desk.custody.reset();
  const crypto::KeyGuard guard = guard_of(change.after);
  stop();
  return desk.ledger->protect_keys(guard).has_value();
}

// What opens the ledger opens its vault, and is how both are kept from then on. How many of the two
// passphrases do so.
int passphrases_that_open_both(const PowerCutFileSystem& left, const Change& change) {
  int opening = 0;
  for (const Passphrase& passphrase : {change.before, change.after}) {
    SCOPED_TRACE(passphrase.value_or("no passphrase"));
    const auto fs = left.after_power_cut({});
    for (const bool again : {false, true}) {
      Desk desk(*fs, passphrase);
      if (!desk.ledger && !again) break;
      EXPECT_NE(desk.custody, nullptr) << desk.problem;
      if (!desk.custody) return 0;
      EXPECT_NE(desk.custody->find(kAlice), nullptr);
      EXPECT_FALSE(fs->info(kMasterNextPath).has_value());
      EXPECT_FALSE(fs->info(kSigningNextPath).has_value());
      const auto master = os::read_file(*fs, kMasterPath, crypto::kKeyFileBytesMax);
      EXPECT_TRUE(master.has_value() && desk.ledger->key_guard().wrote(*master));
      EXPECT_TRUE(desk.ledger->close().has_value());
      opening += again ? 0 : 1;
    }
  }
  return opening;
}

TEST(ProtectionOfBothKeys, MayBeCutAnywhere) {
  int cuts = 0;
  const std::uint64_t seeds = test::long_form() ? 20 : 3;
  for (const Change& change : kChanges) {
    const auto disk = made_with(change.before);
    for (std::uint64_t operation = 0;; ++operation) {
      const auto fs = disk->after_power_cut({});
      const bool done = protect(*fs, change, [&] { fs->stop_after(operation); });
      for (std::uint64_t seed = 0; seed < seeds; ++seed) {
        for (const Keep keep : {Keep::kNothing, Keep::kSubset}) {
          SCOPED_TRACE(change.before.value_or("none") + " to " + change.after.value_or("none") +
                       " before operation " + std::to_string(operation) + ", cut " +
                       std::to_string(static_cast<int>(keep)) + " seed " + std::to_string(seed));
          const auto left = fs->after_power_cut({keep, operation * seeds + seed});
          EXPECT_GT(passphrases_that_open_both(*left, change), 0);
          if (HasFailure()) return;
          ++cuts;
        }
      }
      if (!done) continue;
      const auto left = fs->after_power_cut({});
      const Desk desk(*left, change.after);
      EXPECT_NE(desk.custody, nullptr) << desk.problem;
      break;
    }
  }
  EXPECT_GT(cuts, 100);
  std::printf("%d cuts\n", cuts);
}

// The process is killed; the next start builds on what only the page cache holds, with either
// passphrase; and then the power goes out.
TEST(ProtectionOfBothKeys, SettlingMayBeCutAnywhere) {
  const std::uint64_t step = test::long_form() ? 1 : 5;
  int settled = 0;
  for (const Change& change : kChanges) {
    const auto disk = made_with(change.before);
    bool done = false;
    for (std::uint64_t operation = 0; !done; ++operation) {
      for (const Passphrase& passphrase : {change.before, change.after}) {
        for (std::uint64_t last = operation % step;; last += step) {
          SCOPED_TRACE(change.before.value_or("none") + " to " + change.after.value_or("none") +
                       " before operation " + std::to_string(operation) + ", then " +
                       std::to_string(last) + " with " + passphrase.value_or("none"));
          const auto fs = disk->after_power_cut({});
          done = protect(*fs, change, [&] { fs->stop_after(operation); });
          fs->stop_after(last);
          bool whole = false;
          std::string desk_problem;
          {
            const Desk desk(*fs, passphrase);
            desk_problem = desk.problem;
            const bool refused = desk.problem.find("passphrase") != std::string::npos;
            EXPECT_FALSE(desk.ledger && refused) << "the vault: " << desk.problem;
            whole = desk.custody != nullptr || refused;
          }
          const auto left = fs->after_power_cut({Keep::kSubset, operation + last});
          EXPECT_GT(passphrases_that_open_both(*left, change), 0);
          ASSERT_LT(last, 400U) << desk_problem;
          if (HasFailure()) return;
          ++settled;
          if (whole) break;
        }
      }
    }
  }
  std::printf("%d interrupted settlings\n", settled);
}

TEST(ProtectionOfBothKeys, EveryFailureOfTheDiskIsSurvived) {
  using os::FaultPoint;
  int failures = 0;
  for (const Change& change : kChanges) {
    const auto disk = made_with(change.before);
    for (const FaultPoint point : {FaultPoint::kOpen, FaultPoint::kWrite, FaultPoint::kSync,
                                   FaultPoint::kRename, FaultPoint::kSyncDirectory}) {
      for (const bool for_ever : {false, true}) {
        for (std::uint64_t call = 1; call < 50; ++call) {
          SCOPED_TRACE("point " + std::to_string(static_cast<int>(point)) + " call " +
                       std::to_string(call));
          const auto fs = disk->after_power_cut({});
          os::FaultFileSystem faulty(*fs);
          const os::Fault fault{
              .call = call, .error_number = EIO, .for_ever = for_ever, .short_bytes = {}};
          const bool done = protect(faulty, change, [&] { faulty.arm(point, fault); });
          EXPECT_GT(passphrases_that_open_both(*fs, change), 0);
          if (HasFailure()) return;
          if (done) break;
          ++failures;
        }
      }
    }
  }
  EXPECT_GT(failures, 20);
  std::printf("%d failed protections\n", failures);
}

// Which of the two keys the vault needs, only the vault knows.
TEST(ProtectionOfBothKeys, WaitsForTheVaultToSettle) {
  const auto disk = made_with(std::nullopt);
  Desk desk(*disk, std::nullopt);
  ASSERT_NE(desk.custody, nullptr) << desk.problem;
  const Bytes other(crypto::SecretKey::kBytes, 7);
  ASSERT_TRUE(os::replace_file(*disk, kMasterNextPath, other, 0600).has_value());
  const Status refused = desk.ledger->protect_keys(guard_of("another horse"));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kConflict);
  EXPECT_EQ(*os::read_file(*disk, kMasterNextPath, 64), other);
}

}  // namespace
}  // namespace aioss::ledger
