// Every implementation that this processor can run, forced in turn.
#include "crypto/sha3_lanes.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <random>
#include <string>

#include "crypto/hash.h"
#include "crypto/test_hex.h"

namespace aioss::crypto {
namespace {

// What is left out is said once.
const std::vector<Lanes>& implementations() {
  static const std::vector<Lanes> found = [] {
    std::vector<Lanes> supported_here;
    for (const Lanes lanes : {Lanes::kOne, Lanes::kFour, Lanes::kEight}) {
      if (supported(lanes)) {
        supported_here.push_back(lanes);
      } else {
        std::printf("not on this processor: %u lanes\n", static_cast<unsigned>(lanes));
      }
    }
    return supported_here;
  }();
  return found;
}

Bytes random_bytes(std::mt19937_64& random, std::size_t size) {
  Bytes bytes(size);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

std::vector<Digest> each(const std::vector<Bytes>& texts, Lanes lanes) {
  std::vector<Message> messages(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) messages[i].pieces = {texts[i], {}, {}};
  std::vector<Digest> digests(texts.size());
  sha3_256_each(messages, digests, lanes);
  return digests;
}

// The lines "name = value" of a file of NIST's CAVP.
std::vector<std::pair<std::string, std::string>> cavp_lines(const std::string& file) {
  std::vector<std::pair<std::string, std::string>> lines;
  std::ifstream in(std::string(AIOSS_CRYPTO_TESTDATA) + '/' + file);
  for (std::string line; std::getline(in, line);) {
    const std::size_t equals = line.find(" = ");
    if (equals == std::string::npos || line[0] == '#') continue;
    lines.emplace_back(line.substr(0, equals), line.substr(equals + 3));
  }
  return lines;
}

TEST(Sha3Lanes, HasTheValuesOfNist) {
  std::vector<Bytes> texts;
  std::vector<Digest> expected;
  std::size_t bits = 0;
  for (const auto& [name, value] : cavp_lines("sha3_256_messages.rsp")) {
    if (name == "Len") bits = std::stoul(value);
    if (name == "Msg") texts.push_back(bits == 0 ? Bytes{} : unhex(value));
    if (name == "MD") {
      ASSERT_EQ(texts.back().size() * 8, bits);
      const Bytes digest = unhex(value);
      std::copy(digest.begin(), digest.end(), expected.emplace_back().begin());
    }
  }
  ASSERT_EQ(texts.size(), 149U);
  ASSERT_EQ(expected.size(), texts.size());
  for (const Lanes lanes : implementations()) {
    const std::vector<Digest> digests = each(texts, lanes);
    for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(digests[i], expected[i]) << i;
  }
}

// Each hash is of the one before it: the whole file is computed in each lane.
TEST(Sha3Lanes, HasTheValuesOfNistsMonteCarloTest) {
  const auto lines = cavp_lines("sha3_256_monte.rsp");
  ASSERT_EQ(lines.size(), 201U);
  for (const Lanes lanes : implementations()) {
    std::vector<Bytes> texts(static_cast<unsigned>(lanes), unhex(lines[0].second));
    for (const auto& [name, value] : lines) {
      if (name != "MD") continue;
      std::vector<Digest> digests;
      for (int i = 0; i < 1'000; ++i) {
        digests = each(texts, lanes);
        for (std::size_t lane = 0; lane < texts.size(); ++lane) {
          texts[lane].assign(digests[lane].begin(), digests[lane].end());
        }
      }
      for (const Bytes& text : texts) ASSERT_EQ(text, unhex(value));
    }
  }
}

TEST(Sha3Lanes, EqualsLibcryptoAtEveryLength) {
  std::mt19937_64 random(1);
  const Bytes source = random_bytes(random, 700);
  std::vector<Bytes> texts;
  for (std::size_t size = 0; size <= 600; ++size) {
    texts.emplace_back(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(size));
  }
  for (const Lanes lanes : implementations()) {
    const std::vector<Digest> digests = each(texts, lanes);
    for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(digests[i], sha3_256(texts[i])) << i;
  }
}

// A message is its pieces joined, wherever they are cut, and whether or not any of them is empty.
TEST(Sha3Lanes, PiecesAreOneMessage) {
  std::mt19937_64 random(2);
  const Bytes text = random_bytes(random, 3 * 136);
  const Digest whole = sha3_256(text);
  for (const Lanes lanes : implementations()) {
    std::vector<Message> messages;
    for (std::size_t first = 0; first <= text.size(); first += 17) {
      for (std::size_t second = first; second <= text.size(); second += 8) {
        const ByteView all = text;
        messages.push_back(
            {{all.first(first), all.subspan(first, second - first), all.subspan(second)}});
      }
    }
    std::vector<Digest> digests(messages.size());
    sha3_256_each(messages, digests, lanes);
    for (const Digest& digest : digests) ASSERT_EQ(digest, whole);
  }
}

// Batches of all sizes and mixtures: lanes run dry, are filled again, and long messages overtake.
TEST(Sha3Lanes, RandomBatchesEqualLibcrypto) {
  std::mt19937_64 random(3);
  std::size_t hashed = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<Bytes> texts(random() % 70);
    for (Bytes& text : texts) {
      const std::size_t most = random() % 10 == 0 ? 40'000 : 1'200;
      text = random_bytes(random, random() % most);
    }
    for (const Lanes lanes : implementations()) {
      const std::vector<Digest> digests = each(texts, lanes);
      for (std::size_t i = 0; i < texts.size(); ++i) ASSERT_EQ(digests[i], sha3_256(texts[i]));
    }
    hashed += texts.size();
  }
  std::printf("%zu messages in 300 batches\n", hashed);
}

TEST(Sha3Lanes, TakesTheWidestThatThereIs) {
  EXPECT_TRUE(supported(Lanes::kOne));
  EXPECT_EQ(implementations().back(), widest_lanes());
  sha3_256_each({}, {});  // nothing to do
}

}  // namespace
}  // namespace aioss::crypto
