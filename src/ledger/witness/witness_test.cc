#include "ledger/witness/witness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "ledger/witness/witness_fixture.h"

namespace aioss::ledger {
namespace {

using test::FixedClock;
using test::kWitnessFolder;
using test::kWitnessName;
using test::LeafLedger;
using test::MemoryFileSystem;
using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kOrigin = "example.test/a";

class WitnessTest : public testing::Test {
 protected:
  WitnessTest() {
    test::CountingRandom random;
    key = *Witness::init(fs, random, kWitnessFolder, kWitnessName);
    reopen();
    EXPECT_TRUE(witness->trust(ledger.key()).has_value());
  }
  void reopen() {
    witness.reset();
    auto opened = Witness::open(fs, clock, kWitnessFolder);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    witness = std::move(*opened);
  }
  // A cosigned note, or "code: message".
  std::string sign(const std::string& request) {
    const auto signed_note = witness->sign(request);
    if (signed_note) return signed_note->note;
    return std::string(info(signed_note.error().code).name) + ": " + signed_note.error().message;
  }
  void expect_cosigned(LeafLedger& by, std::uint64_t old_size, std::uint64_t size) {
    by.grow_to(size);
    const auto cosigned = witness->sign(by.request_text(old_size, size));
    ASSERT_TRUE(cosigned.has_value()) << cosigned.error().message;
    EXPECT_EQ(cosigned->previous_size, old_size);
    const auto note = parse_note(cosigned->note);
    ASSERT_TRUE(note.has_value());
    EXPECT_EQ(note->checkpoint.size, size);
    EXPECT_EQ(note->checkpoint.root, by.root(size));
    EXPECT_TRUE(signed_by(*note, by.key()));
    const auto found = cosignature_of(*note, key);
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->time_s, static_cast<std::uint64_t>(clock.wall / kNsPerSecond));
  }
  WitnessedOrigin state() { return read_witnessed(fs, kWitnessFolder)->at(0); }
  std::vector<std::string> evidence() {
    return *fs.list(std::string(kWitnessFolder) + "/evidence");
  }

  MemoryFileSystem fs;
  FixedClock clock;
  WitnessKey key;
  LeafLedger ledger{kOrigin};
  std::unique_ptr<Witness> witness;
};

TEST_F(WitnessTest, CosignsWhatContinuesAndRemembersIt) {
  EXPECT_EQ(witness->key(), key);
  expect_cosigned(ledger, 0, 5);
  clock.wall += 60 * kNsPerSecond;
  expect_cosigned(ledger, 5, 9);
  reopen();
  EXPECT_EQ(state().size, 9U);
  EXPECT_EQ(state().root, ledger.root(9));
  EXPECT_EQ(state().note, ledger.note(9));
  EXPECT_EQ(state().time_s, static_cast<std::uint64_t>(clock.wall / kNsPerSecond));
  expect_cosigned(ledger, 9, 9);  // the same once more: a newer time
  expect_cosigned(ledger, 9, 40);
}

TEST_F(WitnessTest, EveryPairOfSizes) {
  const std::uint64_t most = test::long_form() ? 130 : 24;
  ledger.grow_to(most);
  std::uint64_t pairs = 0;
  for (std::uint64_t first = 1; first <= most; ++first) {
    for (std::uint64_t second = first; second <= most; ++second, ++pairs) {
      LeafLedger other("example.test/" + std::to_string(pairs));
      other.grow_to(second);
      ASSERT_TRUE(witness->trust(other.key()).has_value());
      expect_cosigned(other, 0, first);
      expect_cosigned(other, first, second);
    }
    // So that read_witnessed() in trust() stays short.
    const auto names = fs.list(std::string(kWitnessFolder) + "/origins");
    for (const std::string& name : *names) {
      ASSERT_TRUE(fs.remove(std::string(kWitnessFolder) + "/origins/" + name).has_value());
    }
  }
  std::printf("%llu pairs of sizes\n", static_cast<unsigned long long>(pairs));
}

TEST_F(WitnessTest, AnUnknownLedgerIsRefused) {
  LeafLedger other("example.test/b");
  other.grow_to(5);
  EXPECT_THAT(sign(other.request_text(0, 5)),
              AllOf(HasSubstr("not_found: not cosigned: example.test/b"), HasSubstr("trust")));
  EXPECT_EQ(read_witnessed(fs, kWitnessFolder)->size(), 1U);
}

TEST_F(WitnessTest, AnotherKeyUnderTheNameIsRefused) {
  LeafLedger other(kOrigin, 7);
  other.grow_to(5);
  EXPECT_THAT(sign(other.request_text(0, 5)), HasSubstr("forbidden: not cosigned"));
  ledger.grow_to(5);
  AnchorRequest unsigned_request = ledger.request(0, 5);
  unsigned_request.note.signature_lines = {
      cosign(unsigned_request.note, kOrigin, 1, *test::key_of_seed(1))->line};
  EXPECT_THAT(sign(format_request(unsigned_request)), HasSubstr("forbidden"));
  EXPECT_EQ(state().size, 0U);
}

TEST_F(WitnessTest, ARollbackIsRefusedWithBothNumbers) {
  expect_cosigned(ledger, 0, 150);
  for (const std::uint64_t old_size : {0, 80, 100}) {
    EXPECT_THAT(sign(ledger.request_text(old_size, 100)),
                AllOf(HasSubstr("conflict: "), HasSubstr("cosigned 150 records"),
                      HasSubstr("covers only 100"), HasSubstr("409")));
  }
  EXPECT_EQ(state().size, 150U);
  EXPECT_TRUE(evidence().empty());
}

TEST_F(WitnessTest, AnOldRequestIsRefusedWithBothNumbers) {
  expect_cosigned(ledger, 0, 5);
  ledger.grow_to(9);
  const std::string request = ledger.request_text(5, 9);
  ASSERT_TRUE(witness->sign(request).has_value());
  EXPECT_THAT(sign(request), AllOf(HasSubstr("conflict: "), HasSubstr("cosigned 9 records"),
                                   HasSubstr("goes on from 5"), HasSubstr("--old 9")));
  ledger.grow_to(20);
  EXPECT_THAT(sign(ledger.request_text(0, 20)), HasSubstr("conflict: "));
  EXPECT_THAT(sign(ledger.request_text(12, 20)),
              AllOf(HasSubstr("cosigned 9 records"), HasSubstr("goes on from 12")));
  EXPECT_EQ(state().size, 9U);
}

TEST_F(WitnessTest, NoChangedProofIsAccepted) {
  std::uint64_t tried = 0;
  for (std::uint64_t first = 1; first <= 17; ++first) {
    LeafLedger other("example.test/" + std::to_string(first));
    other.grow_to(first);
    ASSERT_TRUE(witness->trust(other.key()).has_value());
    ASSERT_TRUE(witness->sign(other.request_text(0, first)).has_value());
    for (std::uint64_t second = first; second <= 17; ++second) {
      other.grow_to(second);
      const AnchorRequest good = other.request(first, second);
      std::vector<AnchorRequest> bad;
      for (std::size_t i = 0; i < good.proof.size(); ++i) {
        bad.push_back(good);
        bad.back().proof[i][i % 32] ^= 1;
        bad.push_back(good);
        bad.back().proof.erase(bad.back().proof.begin() + static_cast<std::ptrdiff_t>(i));
      }
      bad.push_back(good);
      bad.back().proof.emplace_back();
      for (const AnchorRequest& request : bad) {
        const auto signed_note = witness->sign(format_request(request));
        ++tried;
        ASSERT_FALSE(signed_note.has_value()) << first << " " << second;
        EXPECT_EQ(signed_note.error().code, Code::kCorrupt);
      }
    }
  }
  EXPECT_GT(tried, 500U);
  std::printf("%llu changed proofs\n", static_cast<unsigned long long>(tried));
}

TEST_F(WitnessTest, AFirstRequestHasNoProof) {
  ledger.grow_to(5);
  AnchorRequest request = ledger.request(0, 5);
  request.proof.push_back(ledger.root(4));
  EXPECT_THAT(sign(format_request(request)), HasSubstr("nothing to prove"));
  request = ledger.request(0, 5);
  request.note = *parse_note(ledger.note(0));
  EXPECT_THAT(sign(format_request(request)), HasSubstr("covers no record"));
}

// What is kept must convince somebody who has neither the witness nor the ledger.
void expect_proof_of_fork(MemoryFileSystem& fs, const std::string& name, const VerifierKey& key) {
  const Bytes& content = fs.content(std::string(kWitnessFolder) + "/evidence/" + name);
  const auto json = codec::parse_json(as_text(content));
  ASSERT_TRUE(json.has_value());
  EXPECT_EQ((*json)["format"], "aioss-fork/1");
  EXPECT_EQ((*json)["origin"], key.name);
  const auto first = parse_note((*json)["first"].get<std::string>());
  const auto second = parse_note((*json)["second"].get<std::string>());
  ASSERT_TRUE(first && second);
  EXPECT_TRUE(signed_by(*first, key));
  EXPECT_TRUE(signed_by(*second, key));
  std::vector<Digest> proof;
  for (const auto& text : (*json)["proof"]) {
    const Bytes bytes = *codec::from_base64(text.get<std::string>());
    std::copy(bytes.begin(), bytes.end(), proof.emplace_back().begin());
  }
  if (first->checkpoint.size == second->checkpoint.size) {
    EXPECT_TRUE(proof.empty());
    EXPECT_NE(first->checkpoint.root, second->checkpoint.root);
    return;
  }
  const auto roots =
      roots_of_whole_consistency(first->checkpoint.size, second->checkpoint.size, proof);
  ASSERT_TRUE(roots.has_value());
  EXPECT_EQ(roots->second, second->checkpoint.root);
  EXPECT_NE(roots->first, first->checkpoint.root);
}

TEST_F(WitnessTest, AForkOfTheSameSizeIsSeenAndKept) {
  expect_cosigned(ledger, 0, 8);
  LeafLedger fork(kOrigin);
  fork.grow_to(3);
  fork.tell('b');
  fork.grow_to(8);
  for (const std::uint64_t old_size : {0, 5, 8}) {
    EXPECT_THAT(sign(fork.request_text(old_size, 8)),
                AllOf(HasSubstr("corrupt: "), HasSubstr("FORK")));
  }
  ASSERT_EQ(evidence().size(), 1U);  // three times the same
  expect_proof_of_fork(fs, evidence()[0], ledger.key());
  EXPECT_EQ(state().root, ledger.root(8));
}

TEST_F(WitnessTest, AForkThatGoesOnIsSeenAndKept) {
  expect_cosigned(ledger, 0, 7);
  LeafLedger fork(kOrigin);
  fork.grow_to(3);
  fork.tell('b');
  fork.grow_to(20);
  EXPECT_THAT(sign(fork.request_text(7, 20)), AllOf(HasSubstr("corrupt: "), HasSubstr("FORK")));
  ASSERT_EQ(evidence().size(), 1U);
  expect_proof_of_fork(fs, evidence()[0], ledger.key());
  expect_cosigned(ledger, 7, 12);  // the true one goes on
}

// A request leaves out the old root where the old size is a power of two, so that nothing tells a
// fork from damage. Refused all the same.
TEST_F(WitnessTest, AForkFromAPowerOfTwoIsRefused) {
  expect_cosigned(ledger, 0, 8);
  LeafLedger fork(kOrigin);
  fork.grow_to(3);
  fork.tell('b');
  fork.grow_to(20);
  EXPECT_THAT(sign(fork.request_text(8, 20)),
              AllOf(HasSubstr("corrupt: "), HasSubstr("history was rewritten")));
  EXPECT_TRUE(evidence().empty());
  EXPECT_EQ(state().size, 8U);
}

TEST_F(WitnessTest, ASignatureOfOthersIsNotPassedOn) {
  ledger.grow_to(5);
  AnchorRequest request = ledger.request(0, 5);
  const std::string own = request.note.signature_lines[0];
  request.note.signature_lines = {"somebody.else AAAAAAAA", own, own};
  const auto cosigned = witness->sign(format_request(request));
  ASSERT_TRUE(cosigned.has_value());
  EXPECT_EQ(parse_note(cosigned->note)->signature_lines,
            (std::vector<std::string>{own, cosigned->cosignature.line}));
}

TEST_F(WitnessTest, FollowsTheLedgersKeys) {
  expect_cosigned(ledger, 0, 5);
  const VerifierKey first = ledger.key();
  ledger.rotate(2);
  expect_cosigned(ledger, 5, 9);
  EXPECT_EQ(state().key, ledger.key());
  EXPECT_NE(state().key, first);
  ledger.rotate(3);
  ledger.grow_to(12);
  ledger.rotate(4);  // two at once
  expect_cosigned(ledger, 9, 20);
  expect_cosigned(ledger, 20, 21);
  // Whoever still has the first key cannot go on with it.
  LeafLedger old(kOrigin);
  old.grow_to(30);
  EXPECT_THAT(sign(old.request_text(21, 30)), HasSubstr("forbidden"));
}

TEST_F(WitnessTest, MayBeToldAnyOfTheLedgersKeysAtFirst) {
  LeafLedger other("example.test/b", 11);
  other.grow_to(3);
  other.rotate(12);
  other.grow_to(6);
  const VerifierKey middle = other.key();
  other.rotate(13);
  other.grow_to(9);
  ASSERT_TRUE(witness->trust(middle).has_value());
  expect_cosigned(other, 0, 9);
}

TEST_F(WitnessTest, AChainOfKeysThatDoesNotHoldIsRefused) {
  expect_cosigned(ledger, 0, 5);
  ledger.rotate(2);
  ledger.grow_to(9);
  const AnchorRequest good = ledger.request(5, 9);
  AnchorRequest none = good;
  none.key_frames.clear();
  EXPECT_THAT(sign(format_request(none)), HasSubstr("forbidden"));
  AnchorRequest of_another = good;
  of_another.ledger_id[0] ^= 1;
  EXPECT_THAT(sign(format_request(of_another)), HasSubstr("chain of keys"));
  AnchorRequest twice = good;
  twice.key_frames.push_back(twice.key_frames[0]);
  EXPECT_THAT(sign(format_request(twice)), HasSubstr("chain of keys"));
  // Signed by a key that the old one never named.
  LeafLedger thief(kOrigin, 66);
  thief.grow_to(5);
  thief.rotate(67);
  thief.grow_to(9);
  EXPECT_THAT(sign(thief.request_text(5, 9)), HasSubstr("forbidden"));
  for (std::size_t i = 0; i < good.key_frames[0].size(); ++i) {
    AnchorRequest changed = good;
    changed.key_frames[0][i] ^= 1;
    EXPECT_FALSE(witness->sign(format_request(changed)).has_value()) << i;
  }
  EXPECT_EQ(state().size, 5U);
  ASSERT_TRUE(witness->sign(format_request(good)).has_value());
}

// Both keys signed that the first was in force for longer: it signs no more where the second did.
TEST_F(WitnessTest, AnOldKeyDoesNotComeBack) {
  ledger.grow_to(3);
  ledger.rotate(2);
  expect_cosigned(ledger, 0, 20);
  ledger.grow_to(30);
  const auto request_with_a_rotation_at = [&](std::uint64_t index) {
    LeafLedger liar(kOrigin);
    liar.grow_to(index);
    liar.rotate(2);
    AnchorRequest request = ledger.request(20, 30);
    request.key_frames = liar.request(0, index + 1).key_frames;
    EXPECT_EQ(request.key_frames.size(), 1U);
    return request;
  };
  EXPECT_THAT(sign(format_request(request_with_a_rotation_at(25))),
              HasSubstr("another key where this witness cosigned"));
  AnchorRequest request = request_with_a_rotation_at(50);
  request.note = *parse_note(*sign_checkpoint(request.note.checkpoint, *test::key_of_seed(1)));
  EXPECT_THAT(sign(format_request(request)), HasSubstr("not among the records from 20"));
  expect_cosigned(ledger, 20, 30);
}

// Told to trust the second key, the witness is shown how it came about, by whoever has the first
// one and ends the checkpoint before that.
TEST_F(WitnessTest, ARotationBehindTheCheckpointMakesNoOldKeyValid) {
  constexpr const char* kOther = "example.test/b";
  LeafLedger other(kOther, 11), liar(kOther, 11);
  other.grow_to(9);
  other.rotate(12);
  other.grow_to(20);
  ASSERT_TRUE(witness->trust(other.key()).has_value());
  liar.grow_to(3);
  liar.tell('b');
  liar.grow_to(30);
  for (const std::uint64_t size : {1, 8, 9}) {
    AnchorRequest forged = liar.request(0, size);
    forged.key_frames = other.request(0, 20).key_frames;
    ASSERT_EQ(forged.key_frames.size(), 1U);
    EXPECT_THAT(sign(format_request(forged)),
                AllOf(HasSubstr("forbidden"), HasSubstr("not among the records from 0")))
        << size;
  }
  // Behind it, the old key is not in force.
  AnchorRequest forged = liar.request(0, 10);
  forged.key_frames = other.request(0, 20).key_frames;
  EXPECT_THAT(sign(format_request(forged)), HasSubstr("not signed by the key"));
  expect_cosigned(other, 0, 20);
  // One that the witness has followed already is not shown to it again.
  other.grow_to(30);
  AnchorRequest again = other.request(20, 30);
  again.key_frames = other.request(0, 20).key_frames;
  EXPECT_THAT(sign(format_request(again)), HasSubstr("not among the records from 20"));
  expect_cosigned(other, 20, 30);
}

TEST_F(WitnessTest, TrustIsNotTakenBackInSilence) {
  LeafLedger other(kOrigin, 7);
  ASSERT_TRUE(witness->trust(other.key()).has_value());  // nothing was cosigned: a slip mended
  ASSERT_TRUE(witness->trust(ledger.key()).has_value());
  expect_cosigned(ledger, 0, 5);
  EXPECT_TRUE(witness->trust(ledger.key()).has_value());
  const Status changed = witness->trust(other.key());
  ASSERT_FALSE(changed.has_value());
  EXPECT_EQ(changed.error().code, Code::kConflict);
  EXPECT_EQ(state().size, 5U);
}

TEST_F(WitnessTest, SaysThatTheClockWentBack) {
  ledger.grow_to(5);
  EXPECT_FALSE(witness->sign(ledger.request_text(0, 5))->clock_went_back);
  clock.wall -= 5 * kNsPerSecond;
  const auto cosigned = witness->sign(ledger.request_text(5, 5));
  EXPECT_TRUE(cosigned->clock_went_back);
  EXPECT_EQ(cosigned->cosignature.time_s, static_cast<std::uint64_t>(clock.wall / kNsPerSecond));
}

TEST_F(WitnessTest, SignsNothingOverADamagedMemory) {
  expect_cosigned(ledger, 0, 5);
  const std::string folder = std::string(kWitnessFolder) + "/origins";
  Bytes& file = fs.content(folder + "/" + fs.list(folder)->at(0));
  const Bytes good = file;
  ledger.grow_to(9);
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"\"size\":5", "\"size\":4"},
           {"\"size\":5", "\"size\":0"},
           {"\"root\":\"", "\"toor\":\""},
           {codec::to_base64(ledger.root(5)), codec::to_base64(ledger.root(4))},
           {"\"note\":\"example", "\"note\":\"exbmple"},
           {"\"format\":\"aioss-witness/1", "\"format\":\"aioss-witness/2"},
           {"{", ""}}) {
    std::string text(as_text(good));
    ASSERT_NE(text.find(from), std::string::npos) << from;
    text.replace(text.find(from), from.size(), to);
    file.assign(text.begin(), text.end());
    EXPECT_THAT(sign(ledger.request_text(5, 9)), HasSubstr("corrupt: origins/")) << to;
    EXPECT_THAT(sign(ledger.request_text(0, 9)), HasSubstr("corrupt: origins/")) << to;
  }
  file.clear();  // what a crash without syncs would leave
  EXPECT_THAT(sign(ledger.request_text(0, 9)), HasSubstr("corrupt: origins/"));
  file = good;
  expect_cosigned(ledger, 5, 9);
}

TEST(WitnessFolder, IsMadeOnceAndOpenedByOneProcess) {
  os::RealFileSystem fs;
  FixedClock clock;
  test::CountingRandom random;
  const std::string folder = testing::TempDir() + "aioss_witness_folder";
  const std::string remove = folder + "/witness.vkey";
  (void)fs.remove(remove);
  EXPECT_EQ(Witness::open(fs, clock, folder).error().code, Code::kNotFound);
  EXPECT_EQ(Witness::init(fs, random, folder, "a b").error().code, Code::kUsage);
  const auto key = Witness::init(fs, random, folder, kWitnessName);
  ASSERT_TRUE(key.has_value()) << key.error().message;
  EXPECT_EQ(Witness::init(fs, random, folder, kWitnessName).error().code, Code::kConflict);
  const auto opened = Witness::open(fs, clock, folder);
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ((*opened)->key(), *key);
  const auto again = Witness::open(fs, clock, folder);
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, Code::kConflict);
  EXPECT_EQ(read_witness_key(fs, folder)->name, kWitnessName);  // status needs no lock
  EXPECT_TRUE(read_witnessed(fs, folder)->empty());
}

}  // namespace
}  // namespace aioss::ledger
