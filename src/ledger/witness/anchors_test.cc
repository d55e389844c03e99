#include "ledger/witness/anchors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>

#include "ledger/reading/verify.h"
#include "ledger/witness/witness_fixture.h"

namespace aioss::ledger {
namespace {

using test::FixedClock;
using test::kDirectory;
using test::kWitnessFolder;
using test::kWitnessName;
using test::MemoryFileSystem;
using testing::AllOf;
using testing::HasSubstr;

constexpr std::uint64_t kSegmentBytes = 2'000;  // a few segments

// A ledger on a disk, open.
struct OpenLedger {
  explicit OpenLedger(std::string name) {
    test::CountingRandom random;
    InitOptions options;
    options.directory = kDirectory;
    options.origin = std::move(name);
    options.boot_id.emplace();
    identity = *init(*fs, clock, random, options);
    open();
  }
  OpenLedger(std::unique_ptr<MemoryFileSystem> disk, Identity known)
      : fs(std::move(disk)), identity(std::move(known)) {
    open();
  }
  // What its owner has if the ledger is copied, or put back from a copy.
  std::unique_ptr<OpenLedger> copy() const {
    return std::make_unique<OpenLedger>(fs->copy(), identity);
  }
  void open() {
    test::CountingRandom random;
    auto opened = Ledger::open(*fs, clock, random, test::open_options(kSegmentBytes));
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    ledger = std::move(*opened);
    anchors = std::make_unique<Anchors>(*fs, *ledger, kDirectory);
  }
  void reopen() {
    anchors.reset();
    ASSERT_TRUE(ledger->close().has_value());
    ledger.reset();
    open();
  }
  void append(int records, char story = 'a') {
    for (int i = 0; i < records; ++i) {
      codec::Map body;
      body.set(16, codec::Value::bytes(Bytes(40, static_cast<std::uint8_t>(story))));
      ASSERT_TRUE(ledger->append_and_wait(static_cast<RecordType>(kFirstPrivateType), body));
    }
  }
  std::vector<Record> anchor_records() {
    std::vector<Record> found;
    EXPECT_TRUE(read_records(*fs, kDirectory, 0, [&](const Record& record) {
                  if (record.type == RecordType::kAnchor) found.push_back(record);
                  return true;
                }).has_value());
    return found;
  }
  VerifierKey key() const { return *parse_verifier_key(identity.verifier_key); }

  FixedClock clock;
  std::unique_ptr<MemoryFileSystem> fs = std::make_unique<MemoryFileSystem>();
  Identity identity;
  std::unique_ptr<Ledger> ledger;
  std::unique_ptr<Anchors> anchors;
};

struct OpenWitness {
  explicit OpenWitness(const std::string& name = kWitnessName) {
    test::CountingRandom random;
    key = *Witness::init(fs, random, kWitnessFolder, name);
    witness = *Witness::open(fs, clock, kWitnessFolder);
  }
  FixedClock clock;
  MemoryFileSystem fs;
  WitnessKey key;
  std::unique_ptr<Witness> witness;
};

GiveOut to_witness(std::optional<std::uint64_t> old_size = std::nullopt) {
  GiveOut wish;
  wish.witness = kWitnessName;
  wish.old_size = old_size;
  wish.medium = "file";
  return wish;
}

std::string cosigned(OpenWitness& by, OpenLedger& ledger) {
  const auto given = ledger.anchors->give_out(to_witness());
  if (!given) return given.error().message;
  const auto answer = by.witness->sign(given->request);
  return answer ? answer->note : answer.error().message;
}

std::string failure(const Result<TakenIn>& taken) {
  if (taken) return "taken in";
  return std::string(info(taken.error().code).name) + ": " + taken.error().message;
}

TEST(Anchors, ARoundTripIsTwoRecordsAndAFile) {
  OpenLedger own("example.test/a");
  OpenWitness other;
  ASSERT_TRUE(other.witness->trust(own.key()).has_value());
  own.append(5);
  const std::string note = cosigned(other, own);
  const auto taken = own.anchors->take_in(note, other.key);
  ASSERT_TRUE(taken.has_value()) << taken.error().message;
  EXPECT_EQ(taken->checkpoint.size, 7U);
  EXPECT_EQ(taken->file, "anchors/" + anchor_file_name(7, kWitnessName));
  EXPECT_EQ(as_text(own.fs->content(std::string(kDirectory) + "/" + taken->file)), note);
  const auto records = own.anchor_records();
  ASSERT_EQ(records.size(), 2U);
  namespace own_key = key::anchor;
  const codec::Map& out = records[0].body;
  EXPECT_EQ(*out.get_uint(own_key::kKind, ""), 1U);
  EXPECT_EQ(*out.get_text(own_key::kOrigin, ""), "example.test/a");
  EXPECT_EQ(*out.get_uint(own_key::kSize, ""), 7U);
  EXPECT_EQ(*out.get_text(own_key::kWitness, ""), "file for witness.example/w1");
  EXPECT_EQ(out.find(own_key::kCosignature), nullptr);
  EXPECT_EQ(out.find(own_key::kTime), nullptr);
  const codec::Map& in = records[1].body;
  EXPECT_EQ(records[1].index, *taken->record);
  EXPECT_EQ(*in.get_uint(own_key::kKind, ""), 0U);
  EXPECT_EQ(*in.get_uint(own_key::kSize, ""), 7U);
  EXPECT_EQ(*in.get_digest(own_key::kRoot, ""), taken->checkpoint.root);
  EXPECT_EQ(*in.get_text(own_key::kWitness, ""), kWitnessName);
  EXPECT_EQ(*in.get_text(own_key::kCosignature, ""), taken->cosignature.line);
  EXPECT_EQ(*in.get_uint(own_key::kTime, ""), 1'750'000'000U);
  ASSERT_TRUE(own.ledger->close().has_value());
  EXPECT_EQ(test::verify_ledger(*own.fs, own.identity.verifier_key).verdict, Verdict::kOk);
}

TEST(Anchors, GoesOnFromWhatWasCosigned) {
  OpenLedger own("example.test/a");
  OpenWitness other;
  ASSERT_TRUE(other.witness->trust(own.key()).has_value());
  std::uint64_t before = 0;
  for (int round = 0; round < 6; ++round) {
    own.append(1 + 7 * round);
    if (round == 3) own.reopen();
    const auto given = own.anchors->give_out(to_witness());
    ASSERT_TRUE(given.has_value()) << given.error().message;
    EXPECT_EQ(given->old_size, before);
    const auto answer = other.witness->sign(given->request);
    ASSERT_TRUE(answer.has_value()) << answer.error().message;
    before = answer->checkpoint.size;
    EXPECT_EQ(before, given->checkpoint.size);
    ASSERT_TRUE(own.anchors->take_in(answer->note, other.key).has_value());
  }
  // An answer that was lost: the witness is ahead of what the ledger knows.
  own.append(3);
  const auto lost = own.anchors->give_out(to_witness());
  ASSERT_TRUE(other.witness->sign(lost->request).has_value());
  own.append(3);
  const auto stale = other.witness->sign(own.anchors->give_out(to_witness())->request);
  ASSERT_FALSE(stale.has_value());
  EXPECT_THAT(stale.error().message, HasSubstr("--old " + std::to_string(lost->checkpoint.size)));
  const auto again = own.anchors->give_out(to_witness(lost->checkpoint.size));
  EXPECT_TRUE(other.witness->sign(again->request).has_value());
}

TEST(Anchors, WithoutAWitnessOnlyTheCheckpointLeaves) {
  OpenLedger own("example.test/a");
  own.append(2);
  GiveOut wish;
  wish.medium = "qr code";
  codec::Map actor;
  actor.set(key::actor::kName, codec::Value::text("otto"));
  wish.actor = actor;
  const auto given = own.anchors->give_out(wish);
  ASSERT_TRUE(given.has_value());
  EXPECT_TRUE(given->request.empty());
  EXPECT_TRUE(signed_by(*parse_note(given->note), own.key()));
  const auto records = own.anchor_records();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(*records[0].body.get_text(key::anchor::kWitness, ""), "qr code");
  EXPECT_EQ(**records[0].body.get_map(key::kActor, ""), actor);
}

TEST(Anchors, TheSameNoteIsTakenInOnce) {
  OpenLedger own("example.test/a");
  OpenWitness other;
  ASSERT_TRUE(other.witness->trust(own.key()).has_value());
  const std::string note = cosigned(other, own);
  const auto first = own.anchors->take_in(note, other.key);
  ASSERT_TRUE(first && first->record);
  const auto second = own.anchors->take_in(note, other.key);
  ASSERT_TRUE(second.has_value());
  EXPECT_FALSE(second->record.has_value());
  EXPECT_EQ(own.anchor_records().size(), 2U);
  // After a crash between the file and its record there is the file alone. An equal ledger, for
  // everything in it is made of equal numbers.
  OpenLedger fresh("example.test/a");
  ASSERT_TRUE(
      os::replace_file(*fresh.fs, std::string(kDirectory) + "/" + first->file, as_bytes(note))
          .has_value());
  const auto mended = fresh.anchors->take_in(note, other.key);
  ASSERT_TRUE(mended.has_value()) << mended.error().message;
  EXPECT_TRUE(mended->record.has_value());
}

TEST(Anchors, WhatIsNotItsOwnOrNotCosignedIsNotTakenIn) {
  OpenLedger own("example.test/a");
  OpenLedger neighbour("example.test/b");
  OpenWitness other;
  OpenWitness stranger("witness.example/w2");
  for (OpenLedger* ledger : {&own, &neighbour}) {
    ASSERT_TRUE(other.witness->trust(ledger->key()).has_value());
  }
  const std::string note = cosigned(other, own);
  const std::string of_neighbour = cosigned(other, neighbour);
  const auto before = own.anchor_records().size();
  EXPECT_THAT(failure(own.anchors->take_in(of_neighbour, other.key)),
              AllOf(HasSubstr("invalid_argument"), HasSubstr("example.test/b")));
  EXPECT_THAT(failure(own.anchors->take_in(note, stranger.key)), HasSubstr("forbidden"));
  EXPECT_THAT(
      failure(own.anchors->take_in(own.anchors->give_out({{}, {}, "file", {}})->note, other.key)),
      AllOf(HasSubstr("forbidden"), HasSubstr("not cosigned by")));
  EXPECT_EQ(own.anchor_records().size(), before + 1);
  std::uint64_t accepted = 0;
  for (std::size_t i = 0; i < note.size(); ++i) {
    std::string bad = note;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    accepted += own.anchors->take_in(bad, other.key) ? 1 : 0;
  }
  EXPECT_EQ(accepted, 0U);
  EXPECT_THAT(failure(own.anchors->take_in(std::string(kNoteBytesMax + 1, 'x'), other.key)),
              HasSubstr("too_large"));
  EXPECT_EQ(own.anchor_records().size(), before + 1);
  EXPECT_EQ(*cosigned_size(*own.fs, kDirectory, kWitnessName), 0U);
}

TEST(Anchors, ALedgerPutBackIsSeenByItsOwnAnchor) {
  OpenLedger own("example.test/a");
  OpenWitness other;
  ASSERT_TRUE(other.witness->trust(own.key()).has_value());
  own.append(3);
  own.reopen();
  const auto old_copy = own.copy();
  own.append(30);
  const std::string note = cosigned(other, own);
  const std::string seen = std::to_string(parse_note(note)->checkpoint.size);
  EXPECT_THAT(failure(old_copy->anchors->take_in(note, other.key)),
              AllOf(HasSubstr("corrupt: the ledger was cut"), HasSubstr("signed " + seen),
                    HasSubstr("only 5")));
  // Nor does the witness sign for it.
  const auto refused = other.witness->sign(old_copy->anchors->give_out(to_witness())->request);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kConflict);
  EXPECT_THAT(refused.error().message, AllOf(HasSubstr("cosigned " + seen), HasSubstr("only 5")));
  const auto given = old_copy->anchors->give_out(to_witness(20));
  ASSERT_FALSE(given.has_value());
  EXPECT_EQ(given.error().code, Code::kConflict);
  EXPECT_THAT(given.error().message, AllOf(HasSubstr("cosigned 20"), HasSubstr("only 6")));
}

TEST(Anchors, AForkIsSeenFromBothSides) {
  OpenLedger own("example.test/a");
  OpenWitness other;
  ASSERT_TRUE(other.witness->trust(own.key()).has_value());
  own.append(3);
  own.reopen();
  const auto fork = own.copy();
  own.append(30);
  const std::string note = cosigned(other, own);
  fork->append(60, 'b');
  EXPECT_THAT(failure(fork->anchors->take_in(note, other.key)), HasSubstr("corrupt: FORK"));
  EXPECT_TRUE(fork->anchor_records().empty());
  const std::uint64_t known = parse_note(note)->checkpoint.size;
  ASSERT_FALSE(std::has_single_bit(known));  // else a request cannot show what forked
  const auto refused = other.witness->sign(fork->anchors->give_out(to_witness(known))->request);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("FORK"));
}

// Each owner runs a witness, and each ledger holds what that witness has signed.
TEST(Anchors, TwoLedgersAreEachOthersWitness) {
  OpenLedger first("example.test/a"), second("example.test/b");
  OpenWitness of_first("example.test/a"), of_second("example.test/b");
  ASSERT_TRUE(of_first.witness->trust(second.key()).has_value());
  ASSERT_TRUE(of_second.witness->trust(first.key()).has_value());
  const auto anchor = [](OpenLedger& ledger, OpenLedger& witness_ledger, OpenWitness& by) {
    GiveOut wish;
    wish.witness = by.key.name;
    const auto given = ledger.anchors->give_out(wish);
    ASSERT_TRUE(given.has_value()) << given.error().message;
    const auto answer = by.witness->sign(given->request);
    ASSERT_TRUE(answer.has_value()) << answer.error().message;
    const auto index = witness_ledger.anchors->record_witnessed(answer->note, by.key);
    ASSERT_TRUE(index.has_value()) << index.error().message;
    ASSERT_TRUE(ledger.anchors->take_in(answer->note, by.key).has_value());
    const auto records = witness_ledger.anchor_records();
    EXPECT_EQ(records.back().index, *index);
    EXPECT_EQ(*records.back().body.get_uint(key::anchor::kKind, ""), 2U);
    EXPECT_EQ(*records.back().body.get_text(key::anchor::kOrigin, ""), ledger.identity.origin);
    EXPECT_EQ(*records.back().body.get_uint(key::anchor::kSize, ""), given->checkpoint.size);
  };
  const auto fork = second.copy();
  for (int round = 0; round < 3; ++round) {
    first.append(4 + round);
    second.append(9);
    anchor(first, second, of_second);
    anchor(second, first, of_first);
  }
  // The second owner's other story is not believed by the first.
  fork->append(70, 'b');
  const std::uint64_t known = *cosigned_size(*second.fs, kDirectory, "example.test/a");
  GiveOut wish;
  wish.witness = "example.test/a";
  wish.old_size = known;
  const auto given = fork->anchors->give_out(wish);
  ASSERT_TRUE(given.has_value());
  EXPECT_FALSE(of_first.witness->sign(given->request).has_value());
  // A ledger is not its own witness.
  wish = {};
  wish.witness = of_second.key.name;
  const auto own_note = of_second.witness->sign(first.anchors->give_out(wish)->request);
  EXPECT_EQ(first.anchors->record_witnessed(own_note->note, of_second.key).error().code,
            Code::kInvalidArgument);
  for (OpenLedger* ledger : {&first, &second}) {
    ASSERT_TRUE(ledger->ledger->close().has_value());
    EXPECT_EQ(test::verify_ledger(*ledger->fs, ledger->identity.verifier_key).verdict,
              Verdict::kOk);
  }
}

TEST(AnchorFiles, NamesAreOneForOneAndFitABundle) {
  EXPECT_EQ(anchor_file_name(5, "w1"), "5-w1.note");
  EXPECT_EQ(anchor_file_name(5, "a.b_c-D9"), "5-a.b_c-D9.note");
  const std::string slash = anchor_file_name(5, "a/b");
  EXPECT_EQ(slash.substr(0, 6), "5-a_b-");
  EXPECT_NE(slash, anchor_file_name(5, "a_b"));
  EXPECT_NE(slash, anchor_file_name(5, "a:b"));
  const std::string longest = anchor_file_name(~std::uint64_t{0}, std::string(255, 'x'));
  EXPECT_LE(longest.size(), 80U);
  EXPECT_NE(longest, anchor_file_name(~std::uint64_t{0}, std::string(254, 'x')));
}

TEST(AnchorFiles, TheLargestSizeOfTheWitnessCounts) {
  MemoryFileSystem fs;
  EXPECT_EQ(*cosigned_size(fs, "l", "w1"), 0U);
  for (const char* name : {"7-w1.note", "120-w1.note", "30-w1.note", "900-w2.note", "800-x-w1.note",
                           "x-w1.note", "5000-w1.note.tmp", "99999999999999999999-w1.note"}) {
    ASSERT_TRUE(os::replace_file(fs, std::string("l/anchors/") + name, as_bytes("x")).has_value());
  }
  EXPECT_EQ(*cosigned_size(fs, "l", "w1"), 120U);
  EXPECT_EQ(*cosigned_size(fs, "l", "w2"), 900U);
  EXPECT_EQ(*cosigned_size(fs, "l", "w3"), 0U);
}

}  // namespace
}  // namespace aioss::ledger
