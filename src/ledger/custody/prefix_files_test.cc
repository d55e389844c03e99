// Prompts' states on the disk: what comes back is what was put there, by and for whom it was, or
// nothing.
#include "ledger/custody/prefix_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "ledger/custody/custody_fixture.h"
#include "os/testing/fault_file_system.h"
#include "os/testing/power_cut_file_system.h"

namespace aioss::ledger {
namespace {

using test::kAlice;
using test::kBob;
using test::kDirectory;
using test::Office;

const Digest kIdentity{1, 2, 3};
constexpr std::string_view kState = "what was computed of the diagnosis";

struct Loaded {
  Status status = ok();
  std::string tenant;
  std::vector<PrefixFiles::Token> tokens;
  Bytes state;
};

class PrefixFilesTest : public ::testing::Test {
 protected:
  PrefixFilesTest() {
    test::make_ledger(disk);
    office = std::make_unique<Office>(disk);
    alice = *office->custody->obtain(kAlice);
    bob = *office->custody->obtain(kBob);
    std::iota(tokens.begin(), tokens.end(), 1000);
  }
  PrefixFiles& files() { return office->custody->prefixes(); }
  PrefixFiles::Prefix prefix(std::string_view state = kState) const {
    return {"ward-3", tokens, as_bytes(state)};
  }
  Result<bool> save(const SubjectPtr& subject, bool stands = true) {
    return files().save(*subject, kIdentity, prefix(), [=] { return stands; });
  }
  PrefixFiles::File only() {
    const auto all = files().list(100);
    EXPECT_EQ(all->size(), 1U);
    return all->empty() ? PrefixFiles::File{alice->id(), std::string(64, '0')} : all->front();
  }
  Loaded load(const SubjectPtr& subject, const PrefixFiles::File& file,
              const Digest& identity = kIdentity) {
    Loaded loaded;
    loaded.status = files().load(*subject, file, identity,
                                 [&](std::string_view tenant, std::size_t count,
                                     std::uint64_t bytes) -> std::optional<PrefixFiles::Room> {
                                   loaded.tenant = tenant;
                                   loaded.tokens.resize(count);
                                   loaded.state.resize(bytes);
                                   return PrefixFiles::Room{loaded.tokens, loaded.state};
                                 });
    return loaded;
  }
  std::string path(const PrefixFiles::File& file) const {
    return std::string(kDirectory) + "/prefix/" + file.subject + '/' + file.name;
  }
  void write(const std::string& at, const Bytes& bytes) {
    ASSERT_TRUE(os::replace_file(disk, at, bytes).has_value());
  }

  os::PowerCutFileSystem disk;
  std::unique_ptr<Office> office;
  SubjectPtr alice, bob;
  std::vector<PrefixFiles::Token> tokens = std::vector<PrefixFiles::Token>(300);
};

TEST_F(PrefixFilesTest, WhatWasSavedIsLoadedAndNothingOfItIsReadable) {
  ASSERT_TRUE(*save(alice));
  const PrefixFiles::File file = only();
  EXPECT_EQ(file.subject, alice->id());
  EXPECT_EQ(file.bytes, PrefixFiles::bytes_of(prefix()));
  EXPECT_EQ(file.name, files().name_of(*alice, kIdentity, prefix()));
  EXPECT_TRUE(test::places_of(disk, kState).empty());
  const Loaded loaded = load(alice, file);
  ASSERT_TRUE(loaded.status.has_value()) << loaded.status.error().message;
  EXPECT_EQ(loaded.tenant, "ward-3");
  EXPECT_EQ(loaded.tokens, tokens);
  EXPECT_EQ(as_text(loaded.state), kState);
}

TEST_F(PrefixFilesTest, ALargeOneHasManyChunksThatKeepTheirOrder) {
  std::string state((std::size_t{9} << 20) + 77, '\0');
  for (std::size_t i = 0; i < state.size(); ++i) state[i] = static_cast<char>(i * 31 >> 7);
  ASSERT_TRUE(*files().save(*alice, kIdentity, prefix(state), [] { return true; }));
  const PrefixFiles::File file = only();
  EXPECT_EQ(file.bytes, PrefixFiles::bytes_of(prefix(state)));
  const Loaded loaded = load(alice, file);
  ASSERT_TRUE(loaded.status.has_value()) << loaded.status.error().message;
  EXPECT_TRUE(as_text(loaded.state) == state);

  constexpr std::size_t kHead = 48, kChunk = (std::size_t{4} << 20) + 28;
  Bytes bytes = *os::read_file(disk, path(file), 64 << 20);
  std::swap_ranges(bytes.begin() + kHead, bytes.begin() + kHead + kChunk,
                   bytes.begin() + kHead + kChunk);
  write(path(file), bytes);
  EXPECT_EQ(load(alice, file).status.error().code, Code::kCorrupt);
}

TEST_F(PrefixFilesTest, IsOfOneModelOneSubjectAndOneName) {
  ASSERT_TRUE(*save(alice));
  PrefixFiles::File file = only();
  const Bytes bytes = *os::read_file(disk, path(file), 1 << 20);
  EXPECT_EQ(load(alice, file, Digest{9}).status.error().code, Code::kNotFound);
  PrefixFiles::File renamed = file;
  renamed.name.back() = renamed.name.back() == '0' ? '1' : '0';
  write(path(renamed), bytes);
  EXPECT_EQ(load(alice, renamed).status.error().code, Code::kCorrupt);
  ASSERT_TRUE(*save(bob));
  PrefixFiles::File moved{bob->id(), file.name, file.bytes, 0};
  write(path(moved), bytes);
  EXPECT_EQ(load(bob, moved).status.error().code, Code::kCorrupt);
}

// Every bit of a small file, every length.
TEST_F(PrefixFilesTest, NoChangeGoesUnnoticed) {
  tokens.resize(3);
  ASSERT_TRUE(*save(alice));
  const PrefixFiles::File file = only();
  const Bytes good = *os::read_file(disk, path(file), 1 << 20);
  for (std::size_t at = 0; at < good.size(); ++at) {
    Bytes bad = good;
    bad[at] = static_cast<std::uint8_t>(bad[at] ^ (1U << at % 8));
    write(path(file), bad);
    EXPECT_FALSE(load(alice, file).status.has_value()) << at;
    write(path(file), Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(at)));
    EXPECT_EQ(load(alice, file).status.error().code, Code::kCorrupt) << at;
  }
  Bytes longer = good;
  longer.push_back(0);
  write(path(file), longer);
  EXPECT_EQ(load(alice, file).status.error().code, Code::kCorrupt);
  write(path(file), good);
  EXPECT_TRUE(load(alice, file).status.has_value());
}

TEST_F(PrefixFilesTest, WhatIsTakenBackLeavesNothing) {
  EXPECT_FALSE(*save(alice, false));
  EXPECT_TRUE(files().list(100)->empty());
  for (const std::string& left : test::files_below(disk, kDirectory)) {
    EXPECT_EQ(left.find("/prefix/"), std::string::npos) << left;
  }
}

TEST_F(PrefixFilesTest, AnErasureTakesThePersonsAndNobodyElses) {
  ASSERT_TRUE(*save(alice));
  ASSERT_TRUE(*save(bob));
  const SubjectPtr gone = alice;
  ASSERT_TRUE(office->custody->erase("ward-3/alice-mueller", "asked for", test::operator_actor()));
  EXPECT_EQ(only().subject, bob->id());
  EXPECT_FALSE(*save(gone)) << "one that was under way";
  EXPECT_EQ(only().subject, bob->id());
}

// It is marked while the state is being sealed.
TEST_F(PrefixFilesTest, AnErasureInTheMiddleOfASaveLeavesNothing) {
  class ErasingRandom final : public crypto::Random {
   public:
    explicit ErasingRandom(Custody& custody) : custody_(custody) {}
    void fill(std::span<std::uint8_t> out) override {
      std::fill(out.begin(), out.end(), std::uint8_t{7});
      EXPECT_TRUE(
          custody_.erase("ward-3/alice-mueller", "asked for", test::operator_actor()).has_value());
    }

   private:
    Custody& custody_;
  } random(*office->custody);
  PrefixFiles other(disk, random, kDirectory, office->ledger->identity().ledger_id);
  EXPECT_FALSE(*other.save(*alice, kIdentity, prefix(), [] { return true; }));
  EXPECT_TRUE(files().list(100)->empty());
}

TEST_F(PrefixFilesTest, LeavesTheLedgerItsDisk) {
  os::FaultFileSystem full(disk);
  PrefixFiles other(full, office->random, kDirectory, office->ledger->identity().ledger_id);
  const std::uint64_t least = (std::uint64_t{1} << 30) + PrefixFiles::bytes_of(prefix());
  full.set_bytes_available(least - 1);
  EXPECT_EQ(other.save(*alice, kIdentity, prefix(), [] { return true; }).error().code, Code::kIo);
  EXPECT_TRUE(files().list(100)->empty());
  full.set_bytes_available(least);
  EXPECT_TRUE(*other.save(*alice, kIdentity, prefix(), [] { return true; }));
}

TEST_F(PrefixFilesTest, StraysGo) {
  ASSERT_TRUE(*save(alice));
  ASSERT_TRUE(*save(bob));
  const PrefixFiles::File mine{alice->id(), files().name_of(*alice, kIdentity, prefix())};
  write(path(mine) + ".tmp", {1, 2, 3});
  ASSERT_TRUE(files().destroy_strays([&](std::string_view id) { return id == alice->id(); }));
  EXPECT_EQ(only().subject, alice->id());
  EXPECT_EQ(disk.list(std::string(kDirectory) + "/prefix/" + alice->id())->size(), 1U);
}

}  // namespace
}  // namespace aioss::ledger
