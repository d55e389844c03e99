// AES-256-GCM against the vectors of its specification (McGrew and Viega, test cases 13 to 16,
// which NIST's validation uses too), and every kind of tampering.
#include "crypto/aead.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "crypto/test_hex.h"

namespace aioss::crypto {
namespace {

struct Vector {
  const char* key;
  const char* nonce;
  const char* text;
  const char* associated;
  const char* sealed;  // ciphertext, tag
};

constexpr const char* kZeroKey = "0000000000000000000000000000000000000000000000000000000000000000";
constexpr const char* kKey = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";

const Vector kVectors[] = {
    {kZeroKey, "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {kZeroKey, "000000000000000000000000", "00000000000000000000000000000000", "",
     "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {kKey, "cafebabefacedbaddecaf888",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
     "",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
     "b094dac5d93471bdec1a502270e3cc6c"},
    {kKey, "cafebabefacedbaddecaf888",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

GcmNonce nonce_of(const char* hex) {
  const Bytes bytes = unhex(hex);
  GcmNonce nonce{};
  std::copy(bytes.begin(), bytes.end(), nonce.begin());
  return nonce;
}

TEST(Gcm, PublishedVectors) {
  for (const Vector& vector : kVectors) {
    const SecretKey key(unhex(vector.key));
    const GcmNonce nonce = nonce_of(vector.nonce);
    const Bytes associated = unhex(vector.associated);
    const Bytes sealed = gcm_seal(key, nonce, unhex(vector.text), associated);
    EXPECT_EQ(sealed, unhex(vector.sealed));
    const auto opened = gcm_open(key, nonce, sealed, associated);
    ASSERT_TRUE(opened.has_value());
    EXPECT_EQ(*opened, unhex(vector.text));
  }
}

TEST(Gcm, EveryFlippedBitIsSeen) {
  const Vector& vector = kVectors[3];
  const SecretKey key(unhex(vector.key));
  const GcmNonce nonce = nonce_of(vector.nonce);
  const Bytes associated = unhex(vector.associated);
  const Bytes sealed = unhex(vector.sealed);
  ASSERT_TRUE(gcm_open(key, nonce, sealed, associated).has_value());
  const auto refused = [&](const SecretKey& k, const GcmNonce& n, ByteView s, ByteView a) {
    const auto opened = gcm_open(k, n, s, a);
    return !opened.has_value() && opened.error().code == Code::kCorrupt;
  };
  const auto flipped = [](auto bytes, std::size_t bit) {
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1U << (bit % 8)));
    return bytes;
  };
  for (std::size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
    EXPECT_TRUE(refused(key, nonce, flipped(sealed, bit), associated)) << bit;
  }
  for (std::size_t bit = 0; bit < 8 * associated.size(); ++bit) {
    EXPECT_TRUE(refused(key, nonce, sealed, flipped(associated, bit))) << bit;
  }
  for (std::size_t bit = 0; bit < 8 * nonce.size(); ++bit) {
    EXPECT_TRUE(refused(key, flipped(nonce, bit), sealed, associated)) << bit;
  }
  for (std::size_t bit = 0; bit < 8 * SecretKey::kBytes; ++bit) {
    const SecretKey other(flipped(unhex(vector.key), bit));
    EXPECT_TRUE(refused(other, nonce, sealed, associated)) << bit;
  }
}

TEST(Gcm, EveryOtherLengthIsRefused) {
  const Vector& vector = kVectors[3];
  const SecretKey key(unhex(vector.key));
  const GcmNonce nonce = nonce_of(vector.nonce);
  const Bytes associated = unhex(vector.associated);
  Bytes sealed = unhex(vector.sealed);
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_FALSE(gcm_open(key, nonce, ByteView(sealed).first(size), associated).has_value());
  }
  sealed.push_back(0);
  EXPECT_FALSE(gcm_open(key, nonce, sealed, associated).has_value());
}

TEST(Secret, IsWiped) {
  Bytes bytes{1, 2, 3};
  wipe(bytes);
  EXPECT_EQ(bytes, (Bytes{0, 0, 0}));
  SystemRandom random;
  const SecretKey a = SecretKey::generate(random);
  const SecretKey b = SecretKey::generate(random);
  EXPECT_FALSE(std::equal(a.view().begin(), a.view().end(), b.view().begin()));
}

}  // namespace
}  // namespace aioss::crypto
