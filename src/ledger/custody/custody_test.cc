// Erasure, legal hold and the opening of sealed texts, over a disk that can be searched byte by
// byte and cut at every operation.
#include "ledger/custody/custody.h"

#include <gtest/gtest.h>

#include "ledger/custody/custody_fixture.h"
#include "os/testing/power_cut_file_system.h"

namespace aioss::ledger {
namespace {

using os::PowerCut;
using os::PowerCutFileSystem;
using test::kAlice;
using test::kBob;
using test::kDirectory;
using test::Office;
using test::operator_actor;
using test::places_of;
using Keep = PowerCut::Keep;

constexpr std::string_view kSecret = "the diagnosis is a broken heart";
constexpr std::string_view kAnswer = "rest, and two spoons of honey";
constexpr const char* kGround = "art. 17 (1) b GDPR, request of 3 May";

std::vector<Record> records_of(os::FileSystem& fs, RecordType type) {
  std::vector<Record> all;
  (void)read_records(fs, kDirectory, 0, [&](const Record& record) {
    if (record.type == type) all.push_back(record);
    return true;
  });
  return all;
}

class CustodyTest : public ::testing::Test {
 protected:
  CustodyTest() : vkey(test::make_ledger(disk)) { open(); }
  void open() {
    office.reset();
    office = std::make_unique<Office>(disk, ++seed);
    ASSERT_TRUE(office->good()) << office->problem->message;
  }
  void ask_both() {
    ASSERT_TRUE(office->ask(kAlice, "req_a", std::string(kSecret), std::string(kAnswer)));
    ASSERT_TRUE(office->ask(kBob, "req_b", "what is the time", "noon"));
  }
  void close() {
    ASSERT_TRUE(office->ledger->close().has_value());
    office.reset();
  }
  void expect_verdict(Verdict verdict) {
    const VerifyReport report = test::verify_payloads(disk, vkey);
    EXPECT_EQ(report.verdict, verdict) << report.finding;
  }
  Custody& custody() { return *office->custody; }

  PowerCutFileSystem disk;
  std::string vkey;
  std::uint64_t seed = 0;
  std::unique_ptr<Office> office;
};

TEST_F(CustodyTest, TextsAreSealedOnTheDiskAndOpenedByAnOrderThatIsARecord) {
  ask_both();
  EXPECT_TRUE(places_of(disk, kSecret).empty());
  EXPECT_TRUE(places_of(disk, kAnswer).empty());
  EXPECT_TRUE(places_of(disk, kAlice.user).empty());
  for (const char* request : {"req_a", "2"}) {
    const auto opened = custody().open_request(request, operator_actor());
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    EXPECT_EQ(as_text(opened->prompt), kSecret);
    ASSERT_EQ(opened->outputs.size(), 1U);
    EXPECT_EQ(opened->outputs[0], kAnswer);
    EXPECT_EQ(opened->request_record, 2U);
    EXPECT_EQ(*opened->result_record, 3U);
    const auto accesses = records_of(disk, RecordType::kAccess);
    ASSERT_FALSE(accesses.empty());
    EXPECT_EQ(accesses.back().index, opened->access_record);
    EXPECT_EQ(*accesses.back().body.get_uint(key::kRefIndex, ""), 2U);
    EXPECT_EQ(*accesses.back().body.get_text(key::access::kWhat, ""), "open");
  }
  EXPECT_EQ(custody().open_request("req_c", operator_actor()).error().code, Code::kNotFound);
  EXPECT_EQ(custody().open_request("", operator_actor()).error().code, Code::kInvalidArgument);
  close();
  expect_verdict(Verdict::kOk);
}

TEST_F(CustodyTest, NothingIsGivenOutThatIsNotRecorded) {
  ask_both();
  disk.stop_after(0);
  const auto opened = custody().open_request("req_a", operator_actor());
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Code::kLedgerUnavailable);
}

TEST_F(CustodyTest, AChangedTextDoesNotOpenAndIsMissed) {
  ask_both();
  const std::string folder =
      std::string(kDirectory) + "/blob/" + custody().find(kAlice)->id() + '/';
  const auto names = disk.list(folder);
  ASSERT_EQ(names->size(), 2U);
  for (const std::string& name : *names) {
    auto bytes = os::read_file(disk, folder + name, 1 << 20);
    bytes->back() = static_cast<std::uint8_t>(bytes->back() ^ 1);
    ASSERT_TRUE(os::replace_file(disk, folder + name, *bytes).has_value());
  }
  const auto opened = custody().open_request("req_a", operator_actor());
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Code::kCorrupt);
  EXPECT_TRUE(records_of(disk, RecordType::kAccess).empty());
  close();
  const VerifyReport report = test::verify_payloads(disk, vkey);
  EXPECT_EQ(report.verdict, Verdict::kPayloadMissing);
  EXPECT_EQ(report.payloads->missing, 2U);
  EXPECT_EQ(report.payloads->present, 2U);
  EXPECT_EQ(report.payloads->first_missing, 2U);
  EXPECT_EQ(test::verify_ledger(disk, vkey).verdict, Verdict::kOk) << "only if it is asked for";
}

TEST_F(CustodyTest, AfterErasureTextNameAndKeyAreInNoFile) {
  ask_both();
  const SubjectPtr alice = custody().find(kAlice);
  const std::string k(as_text(alice->key().view()));
  const std::string seal_key(as_text(alice->seal_key("req_a", "prompt").view()));
  const auto master = os::read_file(disk, std::string(kDirectory) + "/vault/master.key", 64);
  ASSERT_FALSE(places_of(disk, as_text(*master)).empty()) << "the search finds nothing at all";
  const std::string folder = std::string(kDirectory) + "/blob/" + alice->id() + '/';
  const auto blob = disk.open(folder + disk.list(folder)->front(), os::OpenMode::kRead);
  const auto erased = custody().erase("ward-3/alice-mueller", kGround, operator_actor());
  ASSERT_TRUE(erased.has_value()) << erased.error().message;
  EXPECT_TRUE(erased->erased);
  Bytes left((*blob)->info()->size, 1);
  EXPECT_EQ(*(*blob)->read_at(0, left), left.size());
  EXPECT_EQ(left, Bytes(left.size(), 0)) << "a text was removed without being overwritten";
  EXPECT_EQ(erased->subject, alice->id());
  EXPECT_EQ(erased->blobs, 2U);
  for (const std::string_view gone : {std::string_view(k), std::string_view(seal_key), kSecret,
                                      kAnswer, std::string_view(kAlice.user), as_text(*master)}) {
    EXPECT_TRUE(places_of(disk, gone).empty()) << places_of(disk, gone).front();
  }
  EXPECT_TRUE(disk.list(std::string(kDirectory) + "/blob/" + alice->id())->empty());
  const auto redacts = records_of(disk, RecordType::kRedact);
  ASSERT_EQ(redacts.size(), 1U);
  EXPECT_EQ(redacts[0].index, erased->record);
  EXPECT_EQ(*redacts[0].body.get_text(key::redact::kSubject, ""), alice->id());
  EXPECT_EQ(*redacts[0].body.get_text(key::redact::kGround, ""), kGround);
  EXPECT_EQ(*redacts[0].body.get_uint(key::redact::kBlobs, ""), 2U);
  EXPECT_EQ(custody().open_request("req_a", operator_actor()).error().code, Code::kNotFound);
  EXPECT_TRUE(custody().open_request("req_b", operator_actor()).has_value());
  close();
  const VerifyReport report = test::verify_payloads(disk, vkey);
  EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
  EXPECT_EQ(report.payloads->redacted, 2U);
  EXPECT_EQ(report.payloads->present, 2U);
  open();  // and it goes on
  EXPECT_TRUE(office->ask(kAlice, "req_d", "again", "so be it").has_value());
  EXPECT_NE(custody().find(kAlice)->id(), alice->id());
}

TEST_F(CustodyTest, ASecondErasureDoesNothing) {
  ask_both();
  const std::string id = custody().find(kAlice)->id();
  ASSERT_TRUE(custody().erase("ward-3/alice-mueller", kGround, operator_actor())->erased);
  for (const std::string& who : {std::string("ward-3/alice-mueller"), id}) {
    const auto again = custody().erase(who, kGround, operator_actor());
    ASSERT_TRUE(again.has_value()) << again.error().message;
    EXPECT_FALSE(again->erased);
  }
  EXPECT_EQ(records_of(disk, RecordType::kRedact).size(), 1U);
  EXPECT_FALSE(custody().erase("nobody", kGround, operator_actor()).has_value());
}

TEST_F(CustodyTest, WhatIsUnderWayDuringAnErasureReachesNoDisk) {
  ask_both();
  const SubjectPtr alice = custody().find(kAlice);
  ASSERT_TRUE(custody().erase(alice->id(), kGround, operator_actor())->erased);
  const BlobStore::Text late{"output/0", kAnswer};
  const auto sealed = custody().seal(*alice, "req_late", {&late, 1});
  ASSERT_TRUE(sealed.has_value());
  EXPECT_EQ(sealed->front().subject, alice->id());
  EXPECT_TRUE(disk.list(std::string(kDirectory) + "/blob/" + alice->id())->empty());
}

TEST_F(CustodyTest, TheGroundMustNotNameThePerson) {
  ask_both();
  const auto named =
      custody().erase("ward-3/alice-mueller", "Ms Alice-Mueller asked", operator_actor());
  ASSERT_FALSE(named.has_value());
  EXPECT_EQ(named.error().code, Code::kInvalidArgument);
  for (const std::string& ground : {std::string(), std::string(1'001, 'x'), std::string("\xff")}) {
    EXPECT_FALSE(custody().erase("ward-3/bob-oconnor", ground, operator_actor()).has_value());
  }
  EXPECT_EQ(custody().subjects().size(), 2U);
}

TEST_F(CustodyTest, LegalHoldRefusesErasureUntilEveryCaseIsCleared) {
  ask_both();
  const auto refused = [&] {
    const auto erased = custody().erase("ward-3/alice-mueller", kGround, operator_actor());
    return !erased && erased.error().code == Code::kConflict;
  };
  ASSERT_TRUE(custody().hold("ward-3/alice-mueller", true, "7 O 12/26", operator_actor()));
  ASSERT_TRUE(custody().hold("*", true, "audit 2026", operator_actor()));
  EXPECT_EQ(custody().hold("*", true, "audit 2026", operator_actor()).error().code,
            Code::kConflict);
  EXPECT_EQ(custody().hold("ward-3/nobody", true, "x", operator_actor()).error().code,
            Code::kNotFound);
  EXPECT_EQ(custody().holds().size(), 2U);
  EXPECT_TRUE(refused());
  close();
  open();  // the records remember
  EXPECT_EQ(custody().holds().size(), 2U);
  EXPECT_TRUE(refused());
  ASSERT_TRUE(custody().hold("*", false, "audit 2026", operator_actor()));
  EXPECT_TRUE(refused());
  EXPECT_EQ(custody().hold("*", false, "audit 2026", operator_actor()).error().code,
            Code::kNotFound);
  ASSERT_TRUE(custody().hold("ward-3/alice-mueller", false, "7 O 12/26", operator_actor()));
  EXPECT_TRUE(custody().erase("ward-3/alice-mueller", kGround, operator_actor())->erased);
  EXPECT_EQ(records_of(disk, RecordType::kLegalHold).size(), 4U);
}

TEST_F(CustodyTest, ALostVaultIsMissed) {
  ask_both();
  close();
  for (const char* file : {"subjects", "master.key"}) {
    ASSERT_TRUE(disk.remove(std::string(kDirectory) + "/vault/" + file).has_value());
  }
  const Office later(disk, 9);
  ASSERT_FALSE(later.good());
  EXPECT_EQ(later.problem->code, Code::kCorrupt);
}

// ---- crashes ------------------------------------------------------------------------------------

struct Cut {
  std::unique_ptr<PowerCutFileSystem> disk;
  bool acknowledged = false;
};

class ErasureCut : public ::testing::Test {
 protected:
  ErasureCut() : vkey(test::make_ledger(fresh)) {
    Office office(fresh, 1);
    EXPECT_TRUE(office.ask(kAlice, "req_a", std::string(kSecret), std::string(kAnswer)));
    EXPECT_TRUE(office.ask(kBob, "req_b", "what is the time", "noon"));
    k = as_text(office.custody->find(kAlice)->key().view());
    id = office.custody->find(kAlice)->id();
    EXPECT_TRUE(office.ledger->close().has_value());
  }

  // Opens and erases; the power goes out before operation `stop`.
  Cut erase_until(std::uint64_t stop) {
    Cut cut;
    cut.disk = test::synced_copy(fresh);
    cut.disk->stop_after(stop);
    Office office(*cut.disk, 2);
    if (!office.good()) return cut;
    const auto erased = office.custody->erase(id, kGround, operator_actor());
    cut.acknowledged = erased && erased->erased;
    return cut;
  }

  // After the next start the person is there with all that was theirs, or gone with all of it.
  void expect_whole(PowerCutFileSystem& disk, bool acknowledged) {
    Office office(disk, 3);
    ASSERT_TRUE(office.good()) << office.problem->message;
    const bool gone = office.custody->find(kAlice) == nullptr;
    if (acknowledged) {
      EXPECT_TRUE(gone);
    }
    const auto redacts = records_of(disk, RecordType::kRedact);
    EXPECT_EQ(redacts.size(), gone ? 1U : 0U);
    const auto opened = office.custody->open_request("req_a", operator_actor());
    EXPECT_EQ(opened.has_value(), !gone);
    EXPECT_TRUE(office.custody->open_request("req_b", operator_actor()).has_value());
    EXPECT_FALSE(disk.info(std::string(kDirectory) + "/vault/erasing").has_value());
    if (gone) {
      for (const std::string_view needle :
           {std::string_view(k), kSecret, std::string_view(kAlice.user)}) {
        EXPECT_TRUE(places_of(disk, needle).empty());
      }
      EXPECT_TRUE(disk.list(std::string(kDirectory) + "/blob/" + id)->empty());
    }
    ASSERT_TRUE(office.ledger->close().has_value());
    const VerifyReport report = test::verify_payloads(disk, vkey);
    EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
    (gone ? after : before) += 1;
  }

  PowerCutFileSystem fresh;
  std::string vkey, k, id;
  std::size_t before = 0, after = 0;
};

TEST_F(ErasureCut, LeavesBeforeOrAfterAtEveryStep) {
  const std::uint64_t operations = [&] {
    const Cut whole = erase_until(1'000'000);
    EXPECT_TRUE(whole.acknowledged);
    return whole.disk->operations();
  }();
  const std::uint64_t seeds = test::long_form() ? 30 : 3;
  for (std::uint64_t stop = 0; stop <= operations; ++stop) {
    const Cut cut = erase_until(stop);
    for (std::uint64_t seed = 0; seed < seeds; ++seed) {
      for (const Keep keep : {Keep::kNothing, Keep::kPrefix, Keep::kSubset}) {
        SCOPED_TRACE("before operation " + std::to_string(stop) + ", cut " +
                     std::to_string(static_cast<int>(keep)) + " seed " + std::to_string(seed));
        expect_whole(*cut.disk->after_power_cut({keep, stop * seeds + seed}), cut.acknowledged);
        if (HasFailure()) return;
      }
    }
    SCOPED_TRACE("killed before operation " + std::to_string(stop));
    cut.disk->stop_after(1'000'000);  // no power cut: the page cache counts
    expect_whole(*cut.disk, cut.acknowledged);
    if (HasFailure()) return;
  }
  EXPECT_GT(before, 10U);
  EXPECT_GT(after, 10U);
  std::printf("erasure: %llu operations cut; %zu ledgers of before, %zu of after\n",
              static_cast<unsigned long long>(operations), before, after);
}

}  // namespace
}  // namespace aioss::ledger
