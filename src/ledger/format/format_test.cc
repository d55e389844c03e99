#include "ledger/format/format.h"

#include <gtest/gtest.h>

#include "ledger/format/crc32c.h"

namespace aioss::ledger {
namespace {

TEST(Crc32c, HasTheValuesOfRfc3720) {
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283U);
  EXPECT_EQ(crc32c(Bytes(32, 0x00)), 0x8A9136AAU);
  EXPECT_EQ(crc32c(Bytes(32, 0xFF)), 0x62A8AB43U);
  EXPECT_EQ(crc32c({}), 0U);
}

TEST(Crc32c, IsTheSameInParts) {
  Bytes bytes;
  for (int i = 0; i < 200; ++i) bytes.push_back(static_cast<std::uint8_t>(i * 7));
  const std::uint32_t whole = crc32c(bytes);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    const ByteView view(bytes);
    EXPECT_EQ(crc32c(view.subspan(cut), crc32c(view.first(cut))), whole) << cut;
    // Whichever of the two this processor uses, the other gives the same at every length and place.
    EXPECT_EQ(crc32c_by_table(view.subspan(cut), 5), crc32c(view.subspan(cut), 5)) << cut;
    EXPECT_EQ(crc32c_by_table(view.first(cut)), crc32c(view.first(cut))) << cut;
  }
}

SegmentHeader some_header() {
  SegmentHeader header;
  header.ledger_id[0] = 9;
  header.segment_number = 3;
  header.first_index = 77;
  header.previous_chain[31] = 4;
  header.previous_segment[0] = 5;
  header.created_ns = 123;
  return header;
}

TEST(SegmentHeader, ComesBackAsItWas) {
  const SegmentHeaderBytes bytes = encode(some_header());
  const ParsedHeader parsed = parse_header(bytes);
  ASSERT_EQ(parsed.form, Form::kGood);
  EXPECT_EQ(encode(parsed.header), bytes);
  EXPECT_EQ(parsed.header.first_index, 77U);
}

TEST(SegmentHeader, RefusesEveryFlippedBit) {
  for (std::size_t bit = 0; bit < kSegmentHeaderBytes * 8; ++bit) {
    SegmentHeaderBytes bytes = encode(some_header());
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1U << bit % 8));
    EXPECT_EQ(parse_header(bytes).form, Form::kDamaged) << bit;
  }
}

TEST(SegmentHeader, TellsALaterFormatFromDamage) {
  SegmentHeader header = some_header();
  header.version_major = 2;
  EXPECT_EQ(parse_header(encode(header)).form, Form::kUnknownVersion);
  header = some_header();
  header.hash_algorithm = 2;
  EXPECT_EQ(parse_header(encode(header)).form, Form::kUnknownVersion);
}

Bytes some_frame(const Bytes& body, std::uint16_t flags = kFlagGroupFirst) {
  Frame frame;
  frame.index = 5;
  frame.type = 20;
  frame.flags = flags;
  frame.chain[0] = 1;
  frame.body = body;
  Bytes out;
  encode_frame(frame, out);
  return out;
}

TEST(Frame, ComesBackForEveryPadding) {
  for (std::size_t size = 0; size < 20; ++size) {
    const Bytes body(size, 0xAB);
    const Bytes bytes = some_frame(body);
    EXPECT_EQ(bytes.size() % 8, 0U);
    const ParsedFrame parsed = parse_frame(bytes);
    ASSERT_EQ(parsed.form, Form::kGood) << size;
    EXPECT_EQ(parsed.frame.index, 5U);
    EXPECT_EQ(parsed.frame.type, 20);
    EXPECT_EQ(parsed.frame.bytes, bytes.size());
    EXPECT_TRUE(
        std::equal(body.begin(), body.end(), parsed.frame.body.begin(), parsed.frame.body.end()));
  }
}

TEST(Frame, RefusesEveryFlippedBitAndEveryCut) {
  const Bytes good = some_frame(Bytes(13, 0x11));
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes bytes = good;
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1U << bit % 8));
    EXPECT_NE(parse_frame(bytes).form, Form::kGood) << bit;
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(parse_frame(ByteView(good).first(size)).form, Form::kDamaged) << size;
  }
}

TEST(Frame, AForbiddenFlagIsWrongEvenWithAGoodChecksum) {
  EXPECT_EQ(parse_frame(some_frame(Bytes(8), 2)).form, Form::kWrong);
}

TEST(SegmentFileName, IsTwentyDigits) {
  EXPECT_EQ(segment_file_name(42), "00000000000000000042.aioss");
  EXPECT_EQ(parse_segment_file_name("00000000000000000042.aioss"), 42U);
  EXPECT_EQ(parse_segment_file_name(segment_file_name(~std::uint64_t{0})), ~std::uint64_t{0});
  EXPECT_FALSE(parse_segment_file_name("42.aioss"));
  EXPECT_FALSE(parse_segment_file_name("00000000000000000042.aioss.tmp"));
  EXPECT_FALSE(parse_segment_file_name("99999999999999999999.aioss"));
}

}  // namespace
}  // namespace aioss::ledger
