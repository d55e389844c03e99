#include "cli/bundle_note.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

namespace aioss::cli {
namespace {

const std::string kList =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a.gguf\n";
constexpr std::string_view kName = "models.example/releases";

std::unique_ptr<crypto::SigningKey> key(std::uint8_t seed) {
  return *crypto::SigningKey::from_seed(Bytes(32, seed));
}

ledger::VerifierKey public_half(const crypto::SigningKey& key, std::string_view name = kName) {
  return {std::string(name), key.public_key()};
}

Code code_of(const Status& status) {
  return status ? Code::kInternal : status.error().code;
}

class BundleNote : public testing::Test {
 protected:
  Status check(std::string_view note, std::string_view list = kList) const {
    return check_bundle(as_bytes(list), note, public_half(*key_));
  }
  // With `from` replaced by `to`.
  std::string changed(std::string_view from, std::string_view to) const {
    std::string note = note_;
    const std::size_t at = note.find(from);
    EXPECT_NE(at, std::string::npos);
    return at == std::string::npos ? note : note.replace(at, from.size(), to);
  }

  const std::unique_ptr<crypto::SigningKey> key_ = key(1);
  const std::string note_ = *sign_bundle(as_bytes(kList), kName, *key_);
};

// As Python's `cryptography` makes it: others can make and check such a note.
TEST_F(BundleNote, IsASignedNote) {
  EXPECT_EQ(note_,
            "aioss/models/v1\n"
            "a994602ebf788df4bb50eba2014cdbda9fb185357cc6b63cd1cdd6e50d4cb26a\n"
            "\n"
            "\xE2\x80\x94 models.example/releases "
            "T7odDpL+Lt924uKCHK0nAnwGGSoSi/h4YLdvjPx2VtmmBku9wULAkgF0FMKbiaXsWtvjN2OU2g67BAW5"
            "nVBdRRMHCgM=\n");
  EXPECT_TRUE(check(note_));
}

TEST_F(BundleNote, OtherSignaturesBesideItDoNotMatter) {
  const std::string other = *sign_bundle(as_bytes(kList), "other.example", *key(2));
  EXPECT_TRUE(check(note_ + other.substr(other.find("\n\n") + 2)));
}

TEST_F(BundleNote, AnotherListIsRefused) {
  const Status status = check(note_, kList + kList);
  EXPECT_EQ(code_of(status), Code::kCorrupt);
  EXPECT_NE(status.error().message.find("changed since"), std::string::npos);
}

TEST_F(BundleNote, AnotherKeyIsRefused) {
  const Status other = check_bundle(as_bytes(kList), note_, public_half(*key(2)));
  EXPECT_EQ(code_of(other), Code::kForbidden);
  EXPECT_NE(other.error().message.find("but by models.example/releases+"), std::string::npos)
      << other.error().message;
  EXPECT_EQ(code_of(check_bundle(as_bytes(kList), note_, public_half(*key_, "elsewhere"))),
            Code::kForbidden);
}

TEST_F(BundleNote, EveryBitOfItCounts) {
  for (std::size_t i = 0; i < note_.size() * 8; ++i) {
    std::string bad = note_;
    bad[i / 8] = static_cast<char>(static_cast<unsigned char>(bad[i / 8]) ^ (1U << (i % 8)));
    const Status status = check(bad);
    EXPECT_TRUE(code_of(status) == Code::kForbidden || code_of(status) == Code::kCorrupt) << i;
  }
}

TEST_F(BundleNote, EveryBeginningOfItIsRefused) {
  for (std::size_t size = 0; size < note_.size(); ++size) {
    EXPECT_FALSE(check(std::string_view(note_).substr(0, size))) << size;
  }
  EXPECT_EQ(code_of(check(note_ + std::string(kBundleNoteBytesMax, '\n'))), Code::kCorrupt);
}

// Whoever signs a ledger with the same key and name has signed no list by it.
TEST_F(BundleNote, ACheckpointIsNone) {
  const std::string checkpoint = *ledger::sign_checkpoint({std::string(kName), 7, {}}, *key_);
  EXPECT_EQ(code_of(check(checkpoint)), Code::kCorrupt);
  EXPECT_FALSE(ledger::parse_note(note_));
}

TEST_F(BundleNote, ANameThatNoKeyCanHaveIsRefused) {
  for (const char* name : {"", "two words", "a+b"}) {
    EXPECT_FALSE(sign_bundle(as_bytes(kList), name, *key_)) << name;
  }
}

}  // namespace
}  // namespace aioss::cli
