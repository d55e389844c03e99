#include "ledger/witness/anchor_request.h"

#include <gtest/gtest.h>

#include "codec/base64.h"
#include "ledger/witness/witness_fixture.h"

namespace aioss::ledger {
namespace {

using test::LeafLedger;

// The example of C2SP tlog-witness: another implementation's request, byte by byte.
constexpr std::string_view kExample =
    "old 20852014\n"
    "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"
    "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n"
    "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n"
    "/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n"
    "\n"
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "\xE2\x80\x94 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN"
    "7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

TEST(AnchorRequest, OfAnotherImplementation) {
  const auto request = parse_request(kExample);
  ASSERT_TRUE(request.has_value()) << request.error().message;
  EXPECT_EQ(request->old_size, 20'852'014U);
  EXPECT_EQ(request->proof.size(), 4U);
  EXPECT_TRUE(request->key_frames.empty());
  EXPECT_EQ(request->note.checkpoint.size, 20'852'163U);
  EXPECT_EQ(request->note.checkpoint.origin, "example.com/behind-the-sofa");
  EXPECT_EQ(format_request(*request), kExample);
}

TEST(AnchorRequest, ComesBackWithKeysAndWithout) {
  LeafLedger ledger("example.test/a");
  ledger.grow_to(5);
  ledger.rotate(2);
  ledger.grow_to(9);
  ledger.rotate(3);
  ledger.grow_to(20);
  for (const std::uint64_t old_size : {0, 3, 6, 10, 20}) {
    const std::string text = ledger.request_text(old_size, 20);
    const auto parsed = parse_request(text);
    ASSERT_TRUE(parsed.has_value()) << text;
    EXPECT_EQ(parsed->key_frames.size(), old_size < 6 ? 2U : old_size < 10 ? 1U : 0U);
    EXPECT_EQ(format_request(*parsed), text);
  }
}

TEST(AnchorRequest, HasOneFormOnly) {
  LeafLedger ledger("example.test/a");
  ledger.grow_to(5);
  ledger.rotate(2);
  ledger.grow_to(9);
  const std::string good = ledger.request_text(3, 9);
  ASSERT_TRUE(parse_request(good).has_value());
  const auto refused = [](const std::string& text) { return !parse_request(text).has_value(); };
  const std::string rest = good.substr(good.find('\n'));
  for (const char* old_line : {"old 03", "old +3", "old  3", "old", "old 3 ", "Old 3", "old -1",
                               "3", "old 18446744073709551616"}) {
    EXPECT_TRUE(refused(old_line + rest)) << old_line;
  }
  const std::size_t ledger_line = good.find("ledger ");
  const std::size_t key_line = good.find("key ");
  std::string no_id = good;
  no_id.erase(ledger_line, key_line - ledger_line);
  EXPECT_TRUE(refused(no_id));
  std::string upper = good;
  upper[ledger_line + 8 + 20] = 'A';
  EXPECT_TRUE(refused(upper));
  std::string id_alone = good;
  id_alone.erase(key_line, good.find('\n', key_line) + 1 - key_line);
  EXPECT_TRUE(refused(id_alone));
  std::string key_last = good;  // behind a hash
  const std::string line = good.substr(key_line, good.find('\n', key_line) + 1 - key_line);
  key_last.erase(key_line, line.size());
  key_last.insert(good.find("\n\n") + 1 - line.size(), line);
  EXPECT_TRUE(refused(key_last));
  EXPECT_TRUE(refused("\n" + good));
  EXPECT_TRUE(refused(good + "\n"));
  EXPECT_TRUE(refused(good.substr(0, good.size() - 1)));
  for (std::size_t i = 0; i < good.size(); ++i) EXPECT_TRUE(refused(good.substr(0, i))) << i;
}

TEST(AnchorRequest, IsBounded) {
  LeafLedger ledger("example.test/a");
  ledger.grow_to(5);
  AnchorRequest request = ledger.request(3, 5);
  request.proof.assign(kProofLinesMax, Digest{});
  EXPECT_TRUE(parse_request(format_request(request)).has_value());
  request.proof.emplace_back();
  EXPECT_FALSE(parse_request(format_request(request)).has_value());
  request.proof.clear();
  request.key_frames.assign(kKeyFramesMax, Bytes(kKeyFrameBytesMax));
  const std::string largest = format_request(request);
  EXPECT_LE(largest.size(), kRequestBytesMax);
  EXPECT_TRUE(parse_request(largest).has_value());
  request.key_frames.emplace_back(1);
  EXPECT_FALSE(parse_request(format_request(request)).has_value());
  request.key_frames.assign(1, Bytes(kKeyFrameBytesMax + 1));
  EXPECT_FALSE(parse_request(format_request(request)).has_value());
  request.key_frames.clear();
  while (text_of(request.note).size() <= kNoteBytesMax) {
    request.note.signature_lines.push_back(request.note.signature_lines.front());
  }
  EXPECT_FALSE(parse_request(format_request(request)).has_value());
}

}  // namespace
}  // namespace aioss::ledger
