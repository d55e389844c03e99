#include "ledger/format/checkpoint.h"

#include <gtest/gtest.h>

#include "codec/base64.h"

namespace aioss::ledger {
namespace {

std::unique_ptr<crypto::SigningKey> some_key(std::uint8_t first = 0) {
  Bytes seed(32, 0);
  seed[0] = first;
  return *crypto::SigningKey::from_seed(seed);
}

Checkpoint some_checkpoint() {
  Checkpoint checkpoint{"example.test/a", 12, {}};
  checkpoint.root[0] = 3;
  return checkpoint;
}

// The example of the Go package golang.org/x/mod/sumdb/note, which signed notes come from.
TEST(VerifierKey, ReadsTheKeyOfAnotherImplementation) {
  const std::string text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
  const auto key = parse_verifier_key(text);
  ASSERT_TRUE(key.has_value());
  EXPECT_EQ(key->name, "PeterNeumann");
  EXPECT_EQ(format_verifier_key(*key), text);
}

TEST(Note, VerifiesTheNoteOfAnotherImplementation) {
  const auto key =
      *parse_verifier_key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
  Note note;
  note.signed_text =
      "If you think cryptography is the answer to your problem,\n"
      "then you don't know what your problem is.\n";
  note.signature_lines = {
      "PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZIn"
      "NIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="};
  EXPECT_TRUE(signed_by(note, key));
  note.signed_text[0] = 'i';
  EXPECT_FALSE(signed_by(note, key));
}

TEST(VerifierKey, RefusesWhatIsDamaged) {
  const std::string good = format_verifier_key({"example.test/a", some_key()->public_key()});
  ASSERT_TRUE(parse_verifier_key(good + "\n").has_value());  // as pasted
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = bad[i] == 'x' ? 'y' : 'x';
    EXPECT_FALSE(parse_verifier_key(bad).has_value()) << bad;
    EXPECT_FALSE(parse_verifier_key(good.substr(0, i)).has_value()) << i;
  }
}

TEST(Note, ComesBackAndIsSigned) {
  const auto key = some_key();
  const auto text = sign_checkpoint(some_checkpoint(), *key);
  ASSERT_TRUE(text.has_value());
  const auto note = parse_note(*text);
  ASSERT_TRUE(note.has_value());
  EXPECT_EQ(note->checkpoint.size, 12U);
  EXPECT_EQ(note->checkpoint.root, some_checkpoint().root);
  EXPECT_TRUE(signed_by(*note, {"example.test/a", key->public_key()}));
  EXPECT_FALSE(signed_by(*note, {"example.test/b", key->public_key()}));
  EXPECT_FALSE(signed_by(*note, {"example.test/a", some_key(1)->public_key()}));
}

TEST(Note, NoChangedByteIsAccepted) {
  const auto key = some_key();
  const std::string good = *sign_checkpoint(some_checkpoint(), *key);
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const char mask : {'\x01', '\x02', '\x20'}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ mask);
      const auto note = parse_note(bad);
      EXPECT_FALSE(note && signed_by(*note, {"example.test/a", key->public_key()})) << i;
    }
    const auto cut = parse_note(good.substr(0, i));
    EXPECT_FALSE(cut && signed_by(*cut, {"example.test/a", key->public_key()})) << i;
  }
}

TEST(Note, KeepsToOneFormOfEachNumberAndToThreeLines) {
  const std::string root = codec::to_base64(Digest{});
  const std::string tail = "\n\xE2\x80\x94 a AAAAAA==\n";
  EXPECT_TRUE(parse_note("a\n12\n" + root + "\n" + tail).has_value());
  EXPECT_FALSE(parse_note("a\n012\n" + root + "\n" + tail).has_value());
  EXPECT_FALSE(parse_note("a\n+12\n" + root + "\n" + tail).has_value());
  EXPECT_FALSE(parse_note("a\n12\n" + root + "\nextension\n" + tail).has_value());
  EXPECT_FALSE(parse_note("a b\n12\n" + root + "\n" + tail).has_value());
  EXPECT_FALSE(parse_note("a\n12\n" + root + "\n\n").has_value());
}

TEST(Note, ABadSignatureOfAKnownKeyIsNotOutweighedByAGoodOne) {
  const auto key = some_key();
  const std::string good = *sign_checkpoint(some_checkpoint(), *key);
  Checkpoint other = some_checkpoint();
  other.size = 13;
  const std::string bad = *sign_checkpoint(other, *key);
  const auto note = parse_note(good + bad.substr(bad.find("\n\n") + 2));
  ASSERT_TRUE(note.has_value());
  EXPECT_FALSE(signed_by(*note, {"example.test/a", key->public_key()}));
}

}  // namespace
}  // namespace aioss::ledger
