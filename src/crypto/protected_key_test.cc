#include "crypto/protected_key.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "crypto/counting_random.h"
#include "crypto/test_hex.h"

namespace aioss::crypto {
namespace {

constexpr std::string_view kLabel = "keys/signing.key";
constexpr ScryptCost kCheap{10, 1, 1};
constexpr std::size_t kHeaderBytes = 48;

Secret secret(std::string_view text) {
  return Secret(Bytes(text.begin(), text.end()));
}

AskPassphrase says(std::string text, int* asked = nullptr) {
  return [text = std::move(text), asked]() -> Result<Secret> {
    if (asked != nullptr) ++*asked;
    return secret(text);
  };
}

struct Sealed {
  KeyGuard guard;
  Bytes file;
};

Sealed seal(std::string_view passphrase, std::string_view key) {
  CountingRandom random;
  auto guard = KeyGuard::from_passphrase(secret(passphrase), random, kCheap);
  EXPECT_TRUE(guard.has_value());
  const auto file = guard->seal(kLabel, as_bytes(key), random);
  EXPECT_TRUE(file.has_value());
  return {*guard, Bytes(file->view().begin(), file->view().end())};
}

TEST(ProtectedKey, ComesBackWithItsPassphraseAndWithoutAskingAgain) {
  const Sealed sealed = seal("correct horse", "the private key");
  EXPECT_TRUE(is_protected(sealed.file));
  const std::string_view shown = as_text(sealed.file);
  EXPECT_EQ(shown.find("private"), std::string_view::npos);
  int asked = 0;
  const auto opened = open_key(kLabel, sealed.file, says("correct horse", &asked));
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  EXPECT_EQ(as_text(opened->key.view()), "the private key");
  EXPECT_EQ(opened->guard.protection(), Protection::kPassphrase);
  EXPECT_EQ(asked, 1);
  // What was opened writes and reads the next one by itself.
  CountingRandom random;
  const auto next = opened->guard.seal("vault/master.key", as_bytes("another"), random);
  ASSERT_TRUE(next.has_value());
  const auto again = sealed.guard.open("vault/master.key", next->view(), nullptr);
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_EQ(as_text(again->view()), "another");
}

// Made with Python: hashlib.scrypt and AESGCM of the package cryptography, from docs/keys.md.
TEST(ProtectedKey, HasTheBytesOfTheDocument) {
  const Sealed sealed = seal("correct horse", "the private key");
  EXPECT_EQ(sealed.file,
            unhex("41494f53534b455901010a0101000000000102030405060708090a0b0c0d0e0f101112131415"
                  "161718191a1b000000009326319fa319cefa323adfbf37506639258c12fd4290af388e0c2a84"
                  "c383f9"));
}

TEST(ProtectedKey, WithoutProtectionIsTheKeyItself) {
  const KeyGuard none;
  CountingRandom random;
  const auto file = none.seal(kLabel, as_bytes("plain"), random);
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(as_text(file->view()), "plain");
  EXPECT_FALSE(is_protected(file->view()));
  const auto opened = open_key(kLabel, file->view(), nullptr);
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ(as_text(opened->key.view()), "plain");
  EXPECT_EQ(opened->guard.protection(), Protection::kNone);
}

TEST(ProtectedKey, AGuardKnowsTheFilesThatItWrote) {
  const Sealed sealed = seal("correct horse", "key");
  CountingRandom random;
  std::array<std::uint8_t, 1> skipped{};
  random.fill(skipped);  // so that the salt is another one
  const auto same_words = KeyGuard::from_passphrase(secret("correct horse"), random, kCheap);
  const KeyGuard none;
  EXPECT_TRUE(sealed.guard.wrote(sealed.file));
  EXPECT_FALSE(same_words->wrote(sealed.file));
  EXPECT_FALSE(none.wrote(sealed.file));
  EXPECT_TRUE(none.wrote(as_bytes("key")));
  EXPECT_FALSE(sealed.guard.wrote(as_bytes("key")));
  EXPECT_FALSE(sealed.guard.wrote(ByteView(sealed.file).first(20)));
}

TEST(ProtectedKey, SaysWhatIsWrongWithThePassphrase) {
  const Sealed sealed = seal("correct horse", "key");
  const auto code = [&](const AskPassphrase& ask) {
    const auto opened = open_key(kLabel, sealed.file, ask);
    return opened ? Code::kInternal : opened.error().code;
  };
  EXPECT_EQ(code(says("Correct horse")), Code::kForbidden);
  EXPECT_EQ(code(says("")), Code::kForbidden);
  EXPECT_EQ(code(nullptr), Code::kUsage);
  EXPECT_EQ(code(says(std::string(kPassphraseBytesMax + 1, 'x'))), Code::kUsage);
  EXPECT_EQ(code([]() -> Result<Secret> { return Error{Code::kCancelled, "no"}; }),
            Code::kCancelled);
  CountingRandom random;
  for (const std::size_t size : {std::size_t{0}, kNewPassphraseBytesMin - 1}) {
    const auto guard = KeyGuard::from_passphrase(secret(std::string(size, 'x')), random, kCheap);
    ASSERT_FALSE(guard.has_value());
    EXPECT_EQ(guard.error().code, Code::kUsage);
  }
}

TEST(ProtectedKey, StandsForNoOtherKey) {
  const Sealed sealed = seal("correct horse", "key");
  const auto opened = open_key("vault/master.key", sealed.file, says("correct horse"));
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Code::kForbidden);
}

TEST(ProtectedKey, NoFlippedBitAndNoCutIsAccepted) {
  const Sealed sealed = seal("correct horse", "the private key");
  int refused = 0;
  for (std::size_t bit = 0; bit < sealed.file.size() * 8; ++bit) {
    Bytes file = sealed.file;
    file[bit / 8] = static_cast<std::uint8_t>(file[bit / 8] ^ (1U << bit % 8));
    if (bit < 64) {  // the magic: what is left is no protected key, and no key either
      EXPECT_FALSE(is_protected(file)) << bit;
      continue;
    }
    const auto opened = sealed.guard.open(kLabel, file, says("correct horse"));
    EXPECT_FALSE(opened.has_value()) << "bit " << bit;
    ++refused;
  }
  for (std::size_t size = 8; size < sealed.file.size(); ++size) {
    const auto opened =
        sealed.guard.open(kLabel, ByteView(sealed.file).first(size), says("correct horse"));
    EXPECT_FALSE(opened.has_value()) << "size " << size;
  }
  EXPECT_EQ(refused, static_cast<int>(sealed.file.size() * 8 - 64));
}

// A forged file must not take the machine's memory, nor a person's passphrase for nothing.
TEST(ProtectedKey, WhatAFileAsksForIsBounded) {
  const Sealed sealed = seal("correct horse", "key");
  struct Asks {
    std::uint8_t log2_n, r, p;
  };
  for (const Asks& asks : {Asks{255, 8, 1}, Asks{21, 1, 1}, Asks{9, 1, 1}, Asks{20, 8, 1},
                           Asks{17, 17, 1}, Asks{17, 0, 1}, Asks{10, 1, 0}, Asks{10, 1, 5}}) {
    Bytes file = sealed.file;
    file[10] = asks.log2_n;
    file[11] = asks.r;
    file[12] = asks.p;
    int asked = 0;
    const auto opened = open_key(kLabel, file, says("correct horse", &asked));
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code, Code::kCorrupt) << int{asks.log2_n} << ' ' << int{asks.r};
    EXPECT_EQ(asked, 0);
  }
  Bytes later = sealed.file;
  later[8] = 2;
  EXPECT_EQ(open_key(kLabel, later, says("x")).error().code, Code::kUnsupported);
}

TEST(ProtectedKey, TheUsualCostWorks) {
  SystemRandom random;
  const auto guard = KeyGuard::from_passphrase(secret("correct horse"), random);
  ASSERT_TRUE(guard.has_value()) << guard.error().message;
  const auto file = guard->seal(kLabel, as_bytes("key"), random);
  ASSERT_TRUE(file.has_value());
  EXPECT_TRUE(open_key(kLabel, file->view(), says("correct horse")).has_value());
}

class KeyFile : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(folder_);
    ASSERT_TRUE(fs_.make_directories(folder_).has_value());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // What stands where the file's bytes stood, name or not.
  static Bytes content(os::File& file) {
    Bytes bytes(file.info()->size);
    EXPECT_EQ(*file.read_at(0, bytes), bytes.size());
    return bytes;
  }

  os::RealFileSystem fs_;
  SystemRandom random_;
  const std::string folder_ = testing::TempDir() + "aioss_key_file_test";
  const std::string path_ = folder_ + "/signing.key";
};

TEST_F(KeyFile, SigningKeyComesBack) {
  const auto key = *SigningKey::generate(random_);
  const KeyGuard guard = *KeyGuard::from_passphrase(secret("correct horse"), random_, kCheap);
  ASSERT_TRUE(save_signing_key(fs_, path_, kLabel, *key, guard, random_).has_value());
  const auto loaded = load_signing_key(fs_, path_, kLabel, says("correct horse"));
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
  EXPECT_EQ(loaded->key->public_key(), key->public_key());
  EXPECT_FALSE(load_signing_key(fs_, path_, kLabel, says("wrong horse")).has_value());
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(path_).permissions(), perms::owner_read | perms::owner_write);
}

}  // namespace
}  // namespace aioss::crypto
