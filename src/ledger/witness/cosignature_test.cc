#include "ledger/witness/cosignature.h"

#include <gtest/gtest.h>

#include <limits>

#include "codec/base64.h"
#include "ledger/witness/witness_fixture.h"

namespace aioss::ledger {
namespace {

using test::key_of_seed;
using test::kWitnessName;

constexpr std::uint64_t kTime = 1'750'000'000;

Note some_note() {
  Checkpoint checkpoint{"example.test/a", 12, {}};
  checkpoint.root[0] = 3;
  return *parse_note(*sign_checkpoint(checkpoint, *key_of_seed(0)));
}

WitnessKey some_witness() {
  return {kWitnessName, key_of_seed(9)->public_key()};
}

// Key and signature made by OpenSSL's own command line from the text of tlog-cosignature, over the
// checkpoint of docs/formats/ledger.md.
TEST(Cosignature, OfAnotherImplementation) {
  const auto key =
      parse_witness_key("witness.example/w1+b72bab2e+BCVDuS/xCVURR2rcg2nbbdyTNmWhGXjdoUBO4QZsqVWd");
  ASSERT_TRUE(key.has_value());
  Note note;
  note.signed_text = "example.test/ledger\n2\nBMuoo04EHPCQVIb64Y8TYz/sbrlnTFsOFzD5K/2yYHY=\n";
  const std::string line =
      "witness.example/w1 tyurLgAAAABoTuGAviv5uC3M2DJ1W+rLKfnKKV0sDNSU1QKzz0I1D4AAlGi3SJBd8mCTe2Xuk"
      "dlH+5r6+cmKM/ljXGkfRy3VTAhZBw==";
  note.signature_lines = {line};
  const auto found = cosignature_of(note, *key);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->time_s, kTime);
  Bytes seed;
  for (std::uint8_t byte = 0x40; byte < 0x60; ++byte) seed.push_back(byte);
  EXPECT_EQ(cosign(note, key->name, kTime, **crypto::SigningKey::from_seed(seed))->line, line);
}

TEST(WitnessKey, ComesBackAndNoChangedByteIsAccepted) {
  const std::string good = format_witness_key(some_witness());
  ASSERT_TRUE(parse_witness_key(good + "\n").has_value());  // as pasted
  EXPECT_EQ(*parse_witness_key(good), some_witness());
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = bad[i] == 'x' ? 'y' : 'x';
    EXPECT_FALSE(parse_witness_key(bad).has_value()) << bad;
    EXPECT_FALSE(parse_witness_key(good.substr(0, i)).has_value()) << i;
  }
}

TEST(WitnessKey, IsNoLedgersKeyAndTheOtherWayRound) {
  const VerifierKey ledger{kWitnessName, some_witness().public_key};
  const auto as_witness = parse_witness_key(format_verifier_key(ledger));
  ASSERT_FALSE(as_witness.has_value());
  EXPECT_NE(as_witness.error().message.find("not an Ed25519 key of a witness"), std::string::npos);
  EXPECT_FALSE(parse_verifier_key(format_witness_key(some_witness())).has_value());
}

TEST(Cosignature, StandsBesideTheLedgersOwn) {
  Note note = some_note();
  const auto cosignature = cosign(note, kWitnessName, kTime, *key_of_seed(9));
  ASSERT_TRUE(cosignature.has_value());
  note.signature_lines.push_back(cosignature->line);
  const auto again = parse_note(text_of(note));
  ASSERT_TRUE(again.has_value());
  EXPECT_TRUE(signed_by(*again, {"example.test/a", key_of_seed(0)->public_key()}));
  const auto found = cosignature_of(*again, some_witness());
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->time_s, kTime);
  EXPECT_EQ(found->line, cosignature->line);
  EXPECT_FALSE(cosignature_of(*again, {"witness.example/w2", some_witness().public_key}));
  EXPECT_FALSE(cosignature_of(*again, {kWitnessName, key_of_seed(8)->public_key()}));
}

// A cosignature's message holds the time, and neither kind of signature passes for the other.
TEST(Cosignature, AWitnessUnderTheLedgersNameAndKeyIsStillAnother) {
  Note note = some_note();
  const VerifierKey ledger{"example.test/a", key_of_seed(0)->public_key()};
  const WitnessKey same{"example.test/a", ledger.public_key};
  EXPECT_FALSE(cosignature_of(note, same));
  note.signature_lines = {cosign(note, same.name, kTime, *key_of_seed(0))->line};
  EXPECT_TRUE(cosignature_of(note, same));
  EXPECT_FALSE(signed_by(note, ledger));
}

TEST(Cosignature, NoChangedByteIsAccepted) {
  Note note = some_note();
  note.signature_lines = {cosign(note, kWitnessName, kTime, *key_of_seed(9))->line};
  const std::string good = text_of(note);
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const char mask : {'\x01', '\x02', '\x20'}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ mask);
      const auto parsed = parse_note(bad);
      EXPECT_FALSE(parsed && cosignature_of(*parsed, some_witness())) << i;
    }
    const auto cut = parse_note(good.substr(0, i));
    EXPECT_FALSE(cut && cosignature_of(*cut, some_witness())) << i;
  }
}

TEST(Cosignature, OfSeveralTheLatestCountsUnlessOneIsBad) {
  Note note = some_note();
  for (const std::uint64_t time : {kTime, kTime + 5, kTime + 2}) {
    note.signature_lines.push_back(cosign(note, kWitnessName, time, *key_of_seed(9))->line);
  }
  EXPECT_EQ(cosignature_of(note, some_witness())->time_s, kTime + 5);
  Note other = some_note();
  other.signed_text[0] = 'x';
  note.signature_lines.push_back(cosign(other, kWitnessName, kTime, *key_of_seed(9))->line);
  EXPECT_FALSE(cosignature_of(note, some_witness()));
}

TEST(Cosignature, TimesHave63Bits) {
  const Note note = some_note();
  const std::uint64_t last = std::numeric_limits<std::int64_t>::max();
  EXPECT_TRUE(cosign(note, kWitnessName, last, *key_of_seed(9)).has_value());
  EXPECT_FALSE(cosign(note, kWitnessName, last + 1, *key_of_seed(9)).has_value());
}

}  // namespace
}  // namespace aioss::ledger
