// The vault: what it gives out is on the disk, whatever is changed in its files is seen, and a
// crash anywhere leaves the vault of before or of after.
#include "ledger/custody/vault.h"

#include <gtest/gtest.h>

#include <map>

#include "codec/hex.h"
#include "ledger/custody/custody_fixture.h"
#include "os/testing/fault_file_system.h"
#include "os/testing/power_cut_file_system.h"

namespace aioss::ledger {
namespace {

using os::PowerCut;
using os::PowerCutFileSystem;
using test::kAlice;
using test::kBob;
using test::kDirectory;
using test::SeededRandom;
using Keep = PowerCut::Keep;

VaultOptions options_of(bool must_exist = false) {
  VaultOptions options;
  options.directory = kDirectory;
  options.ledger_id = {1, 2, 3};
  options.must_exist = must_exist;
  return options;
}

std::unique_ptr<PowerCutFileSystem> new_disk() {
  auto disk = std::make_unique<PowerCutFileSystem>();
  EXPECT_TRUE(disk->make_directories(kDirectory).has_value());
  EXPECT_TRUE(disk->sync_directory(".").has_value());
  return disk;
}

Result<std::unique_ptr<Vault>> open_on(os::FileSystem& fs, std::uint64_t seed = 1,
                                       const VaultOptions& options = options_of()) {
  static std::vector<std::unique_ptr<SeededRandom>> randoms;  // outlive every vault
  randoms.push_back(std::make_unique<SeededRandom>(seed));
  return Vault::open(fs, *randoms.back(), options);
}

Bytes vault_file(os::FileSystem& fs, std::string_view file) {
  const auto bytes = os::read_file(fs, vault_path(options_of(), file), kVaultBytesMax);
  return bytes ? *bytes : Bytes();
}

void write_vault_file(os::FileSystem& fs, std::string_view file, ByteView bytes) {
  ASSERT_TRUE(os::replace_file(fs, vault_path(options_of(), file), bytes, 0600).has_value());
}

std::string key_of(const SubjectPtr& subject) {
  return std::string(as_text(subject->key().view()));
}

// docs/formats/commitments.md says these values; computed there with Python's hmac and hashlib.
TEST(Subject, DerivesAsDocumented) {
  Bytes k(32);
  for (std::size_t i = 0; i < k.size(); ++i) k[i] = static_cast<std::uint8_t>(i);
  const Subject subject({"ward-3", "alice"}, crypto::SecretKey(k));
  EXPECT_EQ(subject.id(), "s_db10b288d68adcdbc3b91e913b9185f9");
  EXPECT_EQ(codec::to_hex(subject.salt("req_1", "prompt")),
            "c55491976b48a7b78782a24a497f9861f34cd5e233f00a38958d82231f35a5a6");
  EXPECT_EQ(codec::to_hex(subject.seal_key("req_1", "output/0").view()),
            "fcbd22954e39e47fe279f23a30c72f4611243a29361fb99631e3f59424623c21");
  EXPECT_TRUE(is_subject_id(subject.id()));
  EXPECT_NE(subject.salt("req_1", "prompt"), subject.salt("req_1", "stop"));
  EXPECT_NE(subject.salt("req_1", "prompt"), subject.salt("req_2", "prompt"));
  EXPECT_NE(subject.salt("req_1p", "rompt"), subject.salt("req_1", "prompt"));
}

TEST(Subject, NamesAndIdsAreChecked) {
  EXPECT_EQ(parse_subject_name("a/b/c")->user, "b/c");
  for (const char* text : {"", "/", "a/", "/b", "ab"}) {
    EXPECT_FALSE(parse_subject_name(text).has_value()) << text;
  }
  EXPECT_FALSE(parse_subject_name("a/" + std::string(257, 'x')).has_value());
  const std::string good = "s_0123456789abcdef0123456789abcdef";
  EXPECT_TRUE(is_subject_id(good));
  EXPECT_FALSE(is_subject_id(good.substr(1)));
  EXPECT_FALSE(is_subject_id("s_0123456789ABCDEF0123456789abcdef"));
  EXPECT_FALSE(is_subject_id("s_../../../../../../../../etc/pass"));
}

TEST(Vault, KeepsItsSubjects) {
  const auto disk = new_disk();
  std::string id, key;
  {
    auto vault = open_on(*disk);
    ASSERT_TRUE(vault.has_value()) << vault.error().message;
    EXPECT_EQ((*vault)->find(kAlice), nullptr);
    const auto alice = (*vault)->obtain(kAlice);
    ASSERT_TRUE(alice.has_value());
    id = (*alice)->id();
    key = key_of(*alice);
    EXPECT_EQ(*(*vault)->obtain(kAlice), *alice);
    EXPECT_NE((*(*vault)->obtain(kBob))->id(), id);
  }
  const auto later = test::synced_copy(*disk);  // only what was synced
  auto vault = open_on(*later, 2);
  ASSERT_TRUE(vault.has_value()) << vault.error().message;
  ASSERT_NE((*vault)->find(kAlice), nullptr);
  EXPECT_EQ(key_of((*vault)->find(kAlice)), key);
  EXPECT_EQ((*vault)->find_id(id), (*vault)->find(kAlice));
  EXPECT_EQ((*vault)->subjects().size(), 2U);
  const auto readers = read_vault(*later, options_of());
  ASSERT_TRUE(readers.has_value());
  EXPECT_EQ(readers->size(), 2U);
}

TEST(Vault, IsBounded) {
  const auto disk = new_disk();
  VaultOptions options = options_of();
  options.subjects_max = 2;
  auto vault = open_on(*disk, 1, options);
  ASSERT_TRUE((*vault)->obtain({"t", "a"}).has_value());
  ASSERT_TRUE((*vault)->obtain({"t", "b"}).has_value());
  const auto third = (*vault)->obtain({"t", "c"});
  ASSERT_FALSE(third.has_value());
  EXPECT_EQ(third.error().code, Code::kLedgerUnavailable);
  EXPECT_TRUE((*vault)->obtain({"t", "a"}).has_value());
  EXPECT_FALSE((*vault)->obtain({"t", std::string(300, 'x')}).has_value());
}

TEST(Vault, ErasureLeavesNothingOfTheSubject) {
  const auto disk = new_disk();
  auto vault = open_on(*disk);
  const SubjectPtr alice = *(*vault)->obtain(kAlice);
  const SubjectPtr bob = *(*vault)->obtain(kBob);
  const Bytes old_master = vault_file(*disk, kMasterFile);
  // Whoever looks at the blocks that the file had.
  const auto old_file = disk->open(vault_path(options_of(), kMasterFile), os::OpenMode::kRead);
  ASSERT_TRUE((*vault)->erase(alice).has_value());
  Bytes left(old_master.size(), 1);
  EXPECT_EQ(*(*old_file)->read_at(0, left), left.size());
  EXPECT_EQ(left, Bytes(old_master.size(), 0)) << "it was not overwritten";
  EXPECT_TRUE(alice->erased());
  EXPECT_FALSE(bob->erased());
  EXPECT_EQ((*vault)->find(kAlice), nullptr);
  EXPECT_EQ((*vault)->find(kBob), bob);
  EXPECT_FALSE((*vault)->erase(alice).has_value());
  for (const std::string& gone :
       {key_of(alice), alice->id(), kAlice.user, std::string(as_text(old_master))}) {
    EXPECT_TRUE(test::places_of(*disk, gone).empty());
  }
  // Who comes back is somebody else.
  EXPECT_NE((*(*vault)->obtain(kAlice))->id(), alice->id());
  auto again = open_on(*test::synced_copy(*disk), 2);
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_EQ(key_of((*again)->find(kBob)), key_of(bob));
}

// ---- what does not fit --------------------------------------------------------------------------

class VaultTrouble : public ::testing::Test {
 protected:
  VaultTrouble() : disk(new_disk()) {
    auto vault = open_on(*disk);
    EXPECT_TRUE((*vault)->obtain(kAlice).has_value());
    EXPECT_TRUE((*vault)->obtain(kBob).has_value());
  }
  Code code_of_opening(bool must_exist = false) {
    const auto vault = open_on(*disk, 2, options_of(must_exist));
    if (!vault) return vault.error().code;
    EXPECT_EQ((*vault)->subjects().size(), 2U) << "an empty vault";
    return Code::kUsage;  // stands for "it opens"
  }
  std::unique_ptr<PowerCutFileSystem> disk;
};

TEST_F(VaultTrouble, AnotherMasterKeyIsAnError) {
  Bytes master = vault_file(*disk, kMasterFile);
  master[5] = static_cast<std::uint8_t>(master[5] ^ 1);
  write_vault_file(*disk, kMasterFile, master);
  EXPECT_EQ(code_of_opening(), Code::kCorrupt);
  EXPECT_FALSE(read_vault(*disk, options_of()).has_value());
  write_vault_file(*disk, kMasterFile, Bytes(31));
  EXPECT_EQ(code_of_opening(), Code::kCorrupt);
  ASSERT_TRUE(disk->remove(vault_path(options_of(), kMasterFile)).has_value());
  EXPECT_EQ(code_of_opening(), Code::kCorrupt);
}

TEST_F(VaultTrouble, AVaultThatIsGoneIsAnErrorUnlessSomebodySaysSo) {
  ASSERT_TRUE(disk->remove(vault_path(options_of(), "subjects")).has_value());
  EXPECT_EQ(code_of_opening(true), Code::kCorrupt);
  write_vault_file(*disk, "lost", {});
  auto vault = open_on(*disk, 2, options_of(true));
  ASSERT_TRUE(vault.has_value()) << vault.error().message;
  EXPECT_TRUE((*vault)->subjects().empty());
  EXPECT_FALSE(disk->info(vault_path(options_of(), "lost")).has_value());
}

TEST_F(VaultTrouble, EveryChangedBitIsSeen) {
  const Bytes good = vault_file(*disk, "subjects");
  const std::size_t step = test::long_form() ? 1 : 3;
  std::size_t tried = 0;
  for (std::size_t bit = 0; bit < 8 * good.size(); bit += step, ++tried) {
    Bytes bad = good;
    bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ (1U << (bit % 8)));
    write_vault_file(*disk, "subjects", bad);
    const auto vault = read_vault(*disk, options_of());
    ASSERT_FALSE(vault.has_value()) << "bit " << bit;
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    write_vault_file(*disk, "subjects", ByteView(good).first(size));
    ASSERT_FALSE(read_vault(*disk, options_of()).has_value()) << size;
  }
  write_vault_file(*disk, "subjects", good);
  EXPECT_EQ(code_of_opening(), Code::kUsage);
  std::printf("vault: %zu bits, none unseen\n", tried);
}

TEST_F(VaultTrouble, AnotherLedgersVaultIsRefused) {
  VaultOptions options = options_of();
  options.ledger_id = {9};
  EXPECT_FALSE(open_on(*disk, 2, options).has_value());
}

// ---- crashes ------------------------------------------------------------------------------------

struct Life {  // what a process knew before the power went
  std::map<SubjectName, std::string> keys;
  std::optional<std::string> erased;  // a key whose destruction was acknowledged
  bool asked = false;                 // for it
};

Life live(PowerCutFileSystem& disk) {
  Life life;
  auto vault = open_on(disk);
  if (!vault) return life;
  for (const SubjectName& name : {kAlice, kBob, SubjectName{"ward-4", "carol"}}) {
    const auto subject = (*vault)->obtain(name);
    if (!subject) return life;
    life.keys[name] = key_of(*subject);
  }
  life.asked = true;
  const SubjectPtr alice = (*vault)->find(kAlice);
  if ((*vault)->erase(alice).has_value()) {
    life.erased = key_of(alice);
    life.keys.erase(kAlice);
    const auto dave = (*vault)->obtain({"ward-4", "dave"});
    if (dave) life.keys[{"ward-4", "dave"}] = key_of(*dave);
  }
  return life;
}

void expect_holds(PowerCutFileSystem& disk, const Life& life) {
  auto vault = open_on(disk, 7);
  ASSERT_TRUE(vault.has_value()) << vault.error().message;
  for (const auto& [name, key] : life.keys) {
    const SubjectPtr found = (*vault)->find(name);
    if (name == kAlice && life.asked && found == nullptr) continue;  // erased, unacknowledged
    ASSERT_NE(found, nullptr) << shown(name);
    EXPECT_EQ(key_of(found), key) << shown(name);
  }
  if (life.erased) {
    EXPECT_EQ((*vault)->find(kAlice), nullptr);
  }
  // It goes on working, and no master of another time is left.
  EXPECT_TRUE((*vault)->obtain({"ward-9", "erin"}).has_value());
  EXPECT_FALSE(disk.info(vault_path(options_of(), kNextMasterFile)).has_value());
  if ((*vault)->find(kAlice) == nullptr && life.keys.contains(kAlice)) {
    EXPECT_TRUE(test::places_of(disk, life.keys.at(kAlice)).empty());
  }
}

// Whether the vault opens before the `last` operation, where the power goes out; whatever is left
// of the disk then holds what it must.
bool opens_before(PowerCutFileSystem& fs, std::uint64_t last, const Life& life) {
  fs.stop_after(last);
  const bool opened = open_on(fs, 5).has_value();
  for (const Keep keep : {Keep::kNothing, Keep::kPrefix, Keep::kSubset}) {
    expect_holds(*fs.after_power_cut({keep, last}), life);
  }
  return opened;
}

TEST(VaultPowerCut, LeavesWhatWasOrWhatWasToBe) {
  const auto disk = test::synced_copy(*new_disk());
  const std::uint64_t operations = [&] {
    const auto fs = test::synced_copy(*disk);
    EXPECT_TRUE(live(*fs).erased.has_value());
    return fs->operations();
  }();
  std::size_t cuts = 0;
  const std::uint64_t seeds = test::long_form() ? 40 : 4;
  for (std::uint64_t operation = 0; operation <= operations; ++operation) {
    const auto fs = test::synced_copy(*disk);
    fs->stop_after(operation);
    const Life life = live(*fs);
    for (std::uint64_t seed = 0; seed < seeds; ++seed) {
      for (const Keep keep : {Keep::kNothing, Keep::kPrefix, Keep::kSubset}) {
        SCOPED_TRACE("before operation " + std::to_string(operation) + ", cut " +
                     std::to_string(static_cast<int>(keep)) + " seed " + std::to_string(seed));
        const auto left = fs->after_power_cut({keep, operation * seeds + seed});
        expect_holds(*left, life);
        if (HasFailure()) return;
        ++cuts;
      }
    }
    // A process that was killed, without a power cut: what is in the page cache counts.
    const auto started = test::synced_copy(*disk);
    started->stop_after(operation);
    const Life again = live(*started);
    started->stop_after(1'000'000);
    expect_holds(*started, again);
    if (HasFailure()) return;
  }
  std::printf("vault: %zu power cuts over %llu operations\n", cuts,
              static_cast<unsigned long long>(operations));
}

// An opening that settles what a crash left is cut, too.
TEST(VaultPowerCut, SettlingMayBeCutAnywhere) {
  const auto disk = test::synced_copy(*new_disk());
  const std::uint64_t operations = [&] {
    const auto fs = test::synced_copy(*disk);
    live(*fs);
    return fs->operations();
  }();
  for (std::uint64_t operation = 0; operation <= operations; ++operation) {
    const auto fs = test::synced_copy(*disk);
    fs->stop_after(operation);
    const Life life = live(*fs);
    const auto once = fs->after_power_cut({Keep::kSubset, operation});
    for (std::uint64_t last = 0;; ++last) {
      SCOPED_TRACE(std::to_string(operation) + ", then " + std::to_string(last));
      const auto again = test::synced_copy(*once);
      const bool opened = opens_before(*again, last, life);
      if (HasFailure()) return;
      if (opened) break;
    }
  }
}

// A process is killed, the next one builds on what only the page cache holds, and then the power
// goes out.
TEST(VaultPowerCut, NothingIsDestroyedOnTheStrengthOfThePageCache) {
  const auto disk = test::synced_copy(*new_disk());
  const std::uint64_t operations = [&] {
    const auto fs = test::synced_copy(*disk);
    live(*fs);
    return fs->operations();
  }();
  for (std::uint64_t operation = 0; operation <= operations; ++operation) {
    for (std::uint64_t last = 0;; ++last) {
      SCOPED_TRACE(std::to_string(operation) + ", then " + std::to_string(last));
      const auto fs = test::synced_copy(*disk);
      fs->stop_after(operation);
      const Life life = live(*fs);
      const bool opened = opens_before(*fs, last, life);
      if (HasFailure()) return;
      if (opened) break;
    }
  }
}

// A sync that fails is no success: the erasure is refused, the vault takes no more, and a new start
// finds one of the two.
TEST(VaultFaults, AFailureIsReportedAndTheNextStartJudges) {
  for (const os::FaultPoint point :
       {os::FaultPoint::kWrite, os::FaultPoint::kSync, os::FaultPoint::kRename,
        os::FaultPoint::kSyncDirectory, os::FaultPoint::kOpen}) {
    for (std::uint64_t call = 1; call <= 6; ++call) {
      SCOPED_TRACE(std::to_string(static_cast<int>(point)) + " call " + std::to_string(call));
      const auto disk = new_disk();
      os::FaultFileSystem faulty(*disk);
      auto vault = open_on(faulty);
      const SubjectPtr alice = *(*vault)->obtain(kAlice);
      const SubjectPtr bob = *(*vault)->obtain(kBob);
      faulty.arm(point, {call, 5, false, {}});
      const Status erased = (*vault)->erase(alice);
      faulty.disarm();
      if (!erased) {
        EXPECT_EQ(erased.error().code, Code::kLedgerUnavailable);
      }
      auto again = open_on(*disk, 3);
      ASSERT_TRUE(again.has_value()) << again.error().message;
      EXPECT_EQ(key_of((*again)->find(kBob)), key_of(bob));
      if (erased) {
        EXPECT_EQ((*again)->find(kAlice), nullptr);
      }
    }
  }
}

}  // namespace
}  // namespace aioss::ledger
