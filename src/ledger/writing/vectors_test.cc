// The test vectors of docs/formats/ledger.md, section 9: the page and the program say the same.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <numeric>

#include "codec/hex.h"
#include "ledger/format/checkpoint.h"
#include "ledger/format/commitment.h"
#include "ledger/testing/test_support.h"
#include "ledger/writing/appender.h"

namespace aioss::ledger {
namespace {

template <std::size_t kSize>
std::array<std::uint8_t, kSize> counting(std::uint8_t first) {
  std::array<std::uint8_t, kSize> bytes;
  std::iota(bytes.begin(), bytes.end(), first);
  return bytes;
}

class Vectors {
 public:
  void add_hex(const std::string& name, ByteView bytes) {
    constexpr std::size_t kLine = 96;
    const std::string hex = codec::to_hex(bytes);
    text_ += name + ":\n";
    for (std::size_t at = 0; at < hex.size(); at += kLine) {
      text_ += "    " + hex.substr(at, kLine) + '\n';
    }
  }
  void add_text(const std::string& name, const std::string& text) {  // a line feed is shown as \n
    text_ += name + ":\n";
    std::size_t at = 0;
    while (at < text.size()) {
      const std::size_t end = text.find('\n', at);
      text_ += "    " + text.substr(at, end - at) + (end == std::string::npos ? "\n" : "\\n\n");
      at = end == std::string::npos ? text.size() : end + 1;
    }
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void add_record(Vectors& vectors, ByteView frame_bytes, const LedgerId& ledger_id) {
  const ParsedFrame parsed = parse_frame(frame_bytes);
  ASSERT_EQ(parsed.form, Form::kGood);
  const std::string name = "record " + std::to_string(parsed.frame.index);
  vectors.add_hex(name + ", frame", frame_bytes.first(parsed.frame.bytes));
  vectors.add_hex(name + ", leaf", ChainHasher().leaf(ledger_id, parsed.frame));
  vectors.add_hex(name + ", chain", parsed.frame.chain);
}

std::string computed() {
  test::MemoryFileSystem fs;
  const test::FixedClock clock;
  const auto key = *crypto::SigningKey::from_seed(counting<32>(0x00));
  Position position;
  position.ledger_id = counting<16>(0x20);
  position.chain = genesis_hash(position.ledger_id, test::kOrigin, key->public_key());
  InstanceInfo instance;
  instance.boot_id.emplace();
  instance.instance_id = counting<16>(0x30);
  const LedgerId ledger_id = position.ledger_id;
  Vectors vectors;
  vectors.add_hex("public key", key->public_key());
  vectors.add_text("vkey", format_verifier_key({test::kOrigin, key->public_key()}));
  vectors.add_hex("genesis hash", position.chain);
  Appender appender(fs, clock, test::kDirectory, instance, std::move(position));
  codec::Map genesis;
  genesis.set(key::genesis::kOrigin, codec::Value::text(test::kOrigin))
      .set(key::genesis::kPublicKey, codec::Value::bytes(key->public_key()))
      .set(key::genesis::kFormatVersion, codec::Value::uint(65'536))
      .set(key::genesis::kProductVersion, codec::Value::text("1.0.0"));
  appender.start_ledger(*encode_own(genesis));
  EXPECT_TRUE(appender.publish().has_value());
  const Bytes& file = fs.content(test::segment_path(0));
  vectors.add_hex("segment header", ByteView(file).first(kSegmentHeaderBytes));
  for (const test::FrameAt& frame : test::frames_of(file)) {
    add_record(vectors, ByteView(file).subspan(frame.offset, frame.bytes), ledger_id);
  }
  ChainHasher hasher;
  const Digest root = appender.tree().root(hasher);
  vectors.add_hex("root over 2", root);
  vectors.add_text("checkpoint", *sign_checkpoint({test::kOrigin, 2, root}, *key));
  const SegmentHeader header = parse_header(file).header;
  const test::FrameAt last = test::frames_of(file).back();
  vectors.add_hex(
      "link, were these two records all",
      segment_link(header, parse_frame(ByteView(file).subspan(last.offset)).frame.chain, 2));
  vectors.add_hex("commit", commitment_of(counting<32>(0x00), "Hi"));
  return vectors.text();
}

TEST(Vectors, ThePageAndTheProgramSayTheSame) {
  std::ifstream file(AIOSS_LEDGER_FORMAT_PAGE);
  ASSERT_TRUE(file.good());
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  const std::string begin = "```vectors\n";
  const std::size_t from = page.find(begin);
  ASSERT_NE(from, std::string::npos);
  const std::size_t to = page.find("```\n", from + begin.size());
  ASSERT_NE(to, std::string::npos);
  EXPECT_EQ(page.substr(from + begin.size(), to - from - begin.size()), computed());
}

}  // namespace
}  // namespace aioss::ledger
