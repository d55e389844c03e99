// HMAC-SHA3-256 against NIST's published examples.
#include "crypto/hmac.h"

#include <gtest/gtest.h>

#include <thread>

#include "crypto/test_hex.h"

namespace aioss::crypto {
namespace {

Bytes counting(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i);
  return bytes;
}

void expect_mac(const Bytes& key, std::string_view text, std::string_view hex) {
  const Digest mac = hmac_sha3_256(key, {as_bytes(text)});
  EXPECT_EQ(Bytes(mac.begin(), mac.end()), unhex(hex));
}

// csrc.nist.gov, Examples with Intermediate Values, HMAC_SHA3-256: keys below, at and above the
// block of 136 bytes.
TEST(Hmac, NistExamples) {
  expect_mac(counting(32), "Sample message for keylen<blocklen",
             "4fe8e202c4f058e8dddc23d8c34e467343e23555e24fc2f025d598f558f67205");
  expect_mac(counting(136), "Sample message for keylen=blocklen",
             "68b94e2e538a9be4103bebb5aa016d47961d4d1aa906061313b557f8af2c3faa");
  expect_mac(counting(168), "Sample message for keylen>blocklen",
             "9bcf2c238e235c3ce88404e813bd2f3a97185ac6f238c63d6229a00b07974258");
}

TEST(Hmac, PartsAreOneMessage) {
  const Bytes key = counting(32);
  const Digest whole = hmac_sha3_256(key, {as_bytes("Sample message")});
  EXPECT_EQ(hmac_sha3_256(key, {as_bytes("Sample"), as_bytes(" "), as_bytes("message")}), whole);
  EXPECT_EQ(hmac_sha3_256(key, {as_bytes(""), as_bytes("Sample message"), as_bytes("")}), whole);
  EXPECT_NE(hmac_sha3_256(key, {as_bytes("sample message")}), whole);
}

// The key of the call before must not be left in the context.
TEST(Hmac, EveryKeyIsItsOwn) {
  const Digest first = hmac_sha3_256(counting(32), {as_bytes("x")});
  const Digest empty = hmac_sha3_256({}, {as_bytes("x")});
  EXPECT_NE(empty, first);
  // RFC 2104 pads a key with zeros.
  EXPECT_EQ(empty, hmac_sha3_256(Bytes(32, 0), {as_bytes("x")}));
  EXPECT_EQ(hmac_sha3_256(counting(32), {as_bytes("x")}), first);
}

TEST(Hmac, ThreadsDoNotDisturbEachOther) {
  const Digest expected = hmac_sha3_256(counting(32), {as_bytes("x")});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int n = 0; n < 200; ++n) {
        (void)hmac_sha3_256(counting(static_cast<std::size_t>(i + 1)), {as_bytes("y")});
        EXPECT_EQ(hmac_sha3_256(counting(32), {as_bytes("x")}), expected);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace aioss::crypto
