#include "crypto/ed25519.h"

#include "crypto/counting_random.h"
#include "crypto/test_hex.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <string>

namespace aioss::crypto {
namespace {

struct SignatureVector {
  const char *seed, *public_key, *message, *signature;
};

// RFC 8032, section 7.1, tests 1 to 3 and SHA(abc).
const SignatureVector kSignatureVectors[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
     "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
     "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
     "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
    {"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
     "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
     "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
     "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
     "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"},
};

Signature signature_of(const SignatureVector& vector) {
  const Bytes bytes = unhex(vector.signature);
  Signature signature;
  std::copy(bytes.begin(), bytes.end(), signature.begin());
  return signature;
}

TEST(Ed25519, HasTheSignaturesOfTheRfc) {
  for (const SignatureVector& vector : kSignatureVectors) {
    const auto key = SigningKey::from_seed(unhex(vector.seed));
    ASSERT_TRUE(key.has_value());
    const Bytes expected = unhex(vector.public_key);
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), (*key)->public_key().begin()));
    const auto signature = (*key)->sign(unhex(vector.message));
    ASSERT_TRUE(signature.has_value());
    EXPECT_EQ(*signature, signature_of(vector));
    EXPECT_TRUE(verify((*key)->public_key(), unhex(vector.message), *signature));
  }
}

TEST(Ed25519, NoFlippedBitVerifies) {
  const auto key = *SigningKey::from_seed(unhex(kSignatureVectors[1].seed));
  const Bytes message = unhex(kSignatureVectors[1].message);
  for (std::size_t bit = 0; bit < 512; ++bit) {
    Signature signature = signature_of(kSignatureVectors[1]);
    signature[bit / 8] = static_cast<std::uint8_t>(signature[bit / 8] ^ (1U << bit % 8));
    EXPECT_FALSE(verify(key->public_key(), message, signature)) << bit;
  }
  EXPECT_FALSE(verify(key->public_key(), Bytes{0x73}, signature_of(kSignatureVectors[1])));
  EXPECT_FALSE(verify(PublicKey{}, message, signature_of(kSignatureVectors[1])));
}

TEST(SigningKey, IsKeptInAFileOfItsOwnerOnly) {
  const std::string path = ::testing::TempDir() + "aioss_signing_key";
  std::filesystem::remove(path);
  os::RealFileSystem fs;
  CountingRandom random;
  const auto key = SigningKey::generate(random);
  ASSERT_TRUE(key.has_value());
  ASSERT_TRUE((*key)->save(fs, path).has_value());
  struct stat about{};
  ASSERT_EQ(::stat(path.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777U, 0600U);
  const Bytes pem = *os::read_file(fs, path, 4096);
  EXPECT_TRUE(as_text(pem).starts_with("-----BEGIN PRIVATE KEY-----\n"));
  const auto loaded = SigningKey::load(fs, path);
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
  EXPECT_EQ((*loaded)->public_key(), (*key)->public_key());
  EXPECT_EQ(*(*loaded)->sign(as_bytes("x")), *(*key)->sign(as_bytes("x")));
  std::filesystem::remove(path);
}

TEST(SigningKey, RefusesWhatIsNotOne) {
  EXPECT_FALSE(SigningKey::from_pem({}).has_value());
  EXPECT_FALSE(SigningKey::from_pem(as_bytes("-----BEGIN PRIVATE KEY-----\nAAAA\n")).has_value());
  // An X25519 key: the right form, another algorithm.
  const auto other = SigningKey::from_pem(
      as_bytes("-----BEGIN PRIVATE KEY-----\n"
               "MC4CAQAwBQYDK2VuBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"
               "-----END PRIVATE KEY-----\n"));
  ASSERT_FALSE(other.has_value());
  EXPECT_EQ(other.error().message, "the private key is not an Ed25519 key");
  os::RealFileSystem fs;
  EXPECT_EQ(SigningKey::load(fs, "/nonexistent/key").error().code, Code::kNotFound);
}

}  // namespace
}  // namespace aioss::crypto
