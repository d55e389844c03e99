#include "crypto/hash.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "crypto/random.h"
#include "crypto/test_hex.h"

namespace aioss::crypto {
namespace {

std::string hex(ByteView bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text.push_back(kDigits[byte >> 4U]);
    text.push_back(kDigits[byte & 15U]);
  }
  return text;
}

// NIST CAVP, SHA3_256ShortMsg.rsp and the examples of FIPS 202.
TEST(Sha3, HasTheValuesOfNist) {
  EXPECT_EQ(hex(sha3_256(ByteView{})),
            "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a");
  EXPECT_EQ(hex(sha3_256(unhex("e9"))),
            "f0d04dd1e6cfc29a4460d521796852f25d9ef8d28b44ee91ff5b759d72c1e6d6");
  EXPECT_EQ(hex(sha3_256(as_bytes("abc"))),
            "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532");
  EXPECT_EQ(hex(sha3_256(Bytes(200, 0xA3))),
            "79f38adec5c20307a98ef76e8324afbfd46cfd81b22e3973c65fa1bd9de31787");
  EXPECT_EQ(hex(sha3_256(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))),
            "41c0dba2a9d6240849100376a8235e2c82e1b9998a999e21db32dd97496d3376");
}

// NIST CAVP, SHA256ShortMsg.rsp and the examples of FIPS 180-4.
TEST(Sha256, HasTheValuesOfNist) {
  EXPECT_EQ(hex(sha256(ByteView{})),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(sha256(unhex("d3"))),
            "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1");
  EXPECT_EQ(hex(sha256(as_bytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Hasher, AMillionTimesAInParts) {
  Hasher sha3(HashAlgorithm::kSha3_256);
  Hasher sha2(HashAlgorithm::kSha256);
  const Bytes part(1'000, 'a');
  for (int i = 0; i < 1'000; ++i) {
    sha3.update(part);
    sha2.update(part);
  }
  EXPECT_EQ(hex(sha3.finish()), "5c8875ae474a3634ba4fd55ec85bffd661f32aca75c6d699d0cdcb6c115891c1");
  EXPECT_EQ(hex(sha2.finish()), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Hasher, StartsOverAfterFinish) {
  for (const HashAlgorithm algorithm : {HashAlgorithm::kSha3_256, HashAlgorithm::kSha256}) {
    Hasher hasher(algorithm);
    const Digest first = hasher.update(as_bytes("abc")).finish();
    EXPECT_EQ(hasher.update(as_bytes("ab")).update(as_bytes("c")).finish(), first);
    EXPECT_NE(hasher.finish(), first);
  }
  const Bytes a{1}, b{2, 3};
  EXPECT_EQ(sha3_256({a, b}), sha3_256(Bytes{1, 2, 3}));
}

TEST(HashFile, ReadsAcrossItsBlocks) {
  const std::string path = ::testing::TempDir() + "aioss_hash_file";
  std::filesystem::remove(path);
  os::RealFileSystem fs;
  Bytes content((2U << 20) + 77);
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<std::uint8_t>(i * 31);
  const auto file = fs.open(path, os::OpenMode::kReadWriteCreate);
  ASSERT_TRUE(file.has_value());
  ASSERT_EQ(*(*file)->write_at(0, content), content.size());
  EXPECT_EQ(*hash_file(HashAlgorithm::kSha256, **file), sha256(content));
  EXPECT_EQ(*hash_file(HashAlgorithm::kSha3_256, **file), sha3_256(content));
  std::filesystem::remove(path);
}

TEST(EqualConstantTime, ComparesContentAndLength) {
  EXPECT_TRUE(equal_constant_time(as_bytes("key"), as_bytes("key")));
  EXPECT_FALSE(equal_constant_time(as_bytes("key"), as_bytes("kez")));
  EXPECT_FALSE(equal_constant_time(as_bytes("key"), as_bytes("keys")));
  EXPECT_TRUE(equal_constant_time({}, {}));
}

TEST(SystemRandom, DoesNotRepeatItself) {
  SystemRandom random;
  Digest first{}, second{};
  random.fill(first);
  random.fill(second);
  EXPECT_NE(first, second);
  EXPECT_NE(first, Digest{});
  Bytes large((1U << 20) + 1, 0);  // more than one call
  random.fill(large);
  EXPECT_NE(Bytes(large.end() - 16, large.end()), Bytes(16, 0));
}

TEST(LibraryVersion, IsThatOfOpenSsl3) {
  EXPECT_TRUE(library_version().starts_with("OpenSSL 3.")) << library_version();
}

}  // namespace
}  // namespace aioss::crypto
