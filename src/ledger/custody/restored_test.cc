// A restored copy needs two keys from wherever they are kept: the ledger's own to write, and the
// vault's, which an erasure in the original destroys for every backup made before.
#include <gtest/gtest.h>

#include "ledger/custody/custody_fixture.h"
#include "ledger/writing/backup.h"
#include "os/testing/power_cut_file_system.h"

namespace aioss::ledger {
namespace {

using test::kAlice;
using test::kBob;
using test::kDirectory;
using test::Office;

constexpr std::string_view kSigningKeyFile = "keys/signing.key";
constexpr std::string_view kMasterKeyFile = "vault/master.key";
constexpr std::string_view kSubjectsFile = "vault/subjects";

class RestoredVault : public testing::Test {
 protected:
  // A ledger that knows two people, and its backup without keys.
  RestoredVault() {
    verifier_key = test::make_ledger(disk);
    Office office(disk);
    EXPECT_TRUE(office.good());
    EXPECT_TRUE(office.ask(kAlice, "req_1", "a question", "an answer").has_value());
    EXPECT_TRUE(office.ask(kBob, "req_2", "another", "and its answer").has_value());
    EXPECT_TRUE(office.ledger->close().has_value());
    const auto made = back_up(disk, clock, {kDirectory, "backup"});
    EXPECT_TRUE(made.has_value());
    EXPECT_EQ(made->keys, "none");
  }
  void restore_as(const std::string& name) {
    const auto restored = restore(disk, {"backup", name, verifier_key});
    ASSERT_TRUE(restored.has_value()) << restored.error().message;
  }
  // From the original, as it is now.
  void put(std::string_view file, const std::string& into) {
    const std::string name(file);
    const auto bytes = os::read_file(disk, std::string(kDirectory) + '/' + name, kVaultBytesMax);
    ASSERT_TRUE(bytes.has_value()) << name;
    ASSERT_TRUE(disk.make_directories(into + '/' + name.substr(0, name.find('/')), 0700));
    ASSERT_TRUE(os::replace_file(disk, into + '/' + name, *bytes, 0600).has_value());
  }
  void erase_alice() {
    Office office(disk, 2);
    ASSERT_TRUE(office.good());
    const auto erased =
        office.custody->erase("ward-3/alice-mueller", "consent withdrawn", test::operator_actor());
    ASSERT_TRUE(erased.has_value() && erased->erased);
    ASSERT_TRUE(office.ledger->close().has_value());
  }
  // The subjects that the copy's vault opens to; the ledger itself must open.
  Result<std::size_t> subjects_of(const std::string& name) {
    OpenOptions options = test::open_options();
    options.directory = name;
    auto ledger = Ledger::open(disk, clock, random, options);
    if (!ledger) return Error{Code::kInternal, "no ledger: " + ledger.error().message};
    CustodyOptions keeping;
    keeping.directory = name;
    const auto custody = Custody::open(disk, clock, random, **ledger, keeping);
    if (!custody) return Error(custody.error());
    EXPECT_TRUE((*custody)->obtain({"ward-9", "erin"}).has_value());  // and it goes on
    return (*custody)->subjects().size() - 1;
  }

  os::PowerCutFileSystem disk;
  test::FixedClock clock;
  crypto::SystemRandom random;
  std::string verifier_key;
};

TEST_F(RestoredVault, NeedsTheVaultsKeyToo) {
  restore_as("new");
  put(kSigningKeyFile, "new");
  const auto without = subjects_of("new");
  ASSERT_FALSE(without.has_value());
  EXPECT_EQ(without.error().code, Code::kCorrupt) << without.error().message;
  put(kMasterKeyFile, "new");
  const auto with = subjects_of("new");
  ASSERT_TRUE(with.has_value()) << with.error().message;
  EXPECT_EQ(*with, 2U);
}

TEST_F(RestoredVault, OpensNoMoreAfterAnErasureInTheOriginal) {
  erase_alice();
  restore_as("new");
  put(kSigningKeyFile, "new");
  put(kMasterKeyFile, "new");
  const auto opened = subjects_of("new");
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Code::kCorrupt) << opened.error().message;
}

// With the original's whole vault, whoever was not erased there is known.
TEST_F(RestoredVault, CanGoOnWithTheOriginalsVault) {
  erase_alice();
  restore_as("new");
  for (const std::string_view file : {kSigningKeyFile, kMasterKeyFile, kSubjectsFile}) {
    put(file, "new");
  }
  const auto subjects = subjects_of("new");
  ASSERT_TRUE(subjects.has_value()) << subjects.error().message;
  EXPECT_EQ(*subjects, 1U);
}

TEST_F(RestoredVault, CanGoOnWithoutIfSomebodySaysThatItIsLost) {
  erase_alice();
  restore_as("new");
  put(kSigningKeyFile, "new");
  ASSERT_TRUE(disk.remove("new/" + std::string(kSubjectsFile)).has_value());
  EXPECT_EQ(subjects_of("new").error().code, Code::kCorrupt);
  ASSERT_TRUE(os::replace_file(disk, "new/vault/lost", {}, 0600).has_value());
  const auto subjects = subjects_of("new");
  ASSERT_TRUE(subjects.has_value()) << subjects.error().message;
  EXPECT_EQ(*subjects, 0U);
}

}  // namespace
}  // namespace aioss::ledger
