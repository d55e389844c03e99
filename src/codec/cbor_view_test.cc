#include "codec/cbor_view.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <random>

#include "codec/cbor.h"

namespace aioss::codec {
namespace {

Map sample() {
  Map inner;
  inner.set(0, Value::text("é")).set(7, Value::array({Value::uint(1), Value::boolean(true)}));
  Map map;
  map.set(0, Value::uint(23))
      .set(1, Value::integer(-1))
      .set(2, Value::array({Value::map(inner), Value::bytes(Bytes(300, 1)), Value::array({})}))
      .set(6, Value::uint(~std::uint64_t{0}))
      .set(7, Value::integer(std::numeric_limits<std::int64_t>::min()))
      .set(24, Value::bytes(Bytes{1, 2, 3}))
      .set(25, Value::text("text"))
      .set(300, Value::map(inner))
      .set(70'000, Value::uint(5));
  return map;
}

TEST(MapView, FindsWhatTheDecodedMapHolds) {
  const Bytes bytes = encode(sample());
  const auto view = MapView::check(bytes);
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->get_uint(0), 23U);
  EXPECT_EQ(view->get_int(0), 23);
  EXPECT_EQ(view->get_int(1), -1);
  EXPECT_EQ(view->get_uint(6), ~std::uint64_t{0});
  EXPECT_EQ(view->get_int(7), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(view->get_uint(70'000), 5U);
  EXPECT_EQ(view->get_text(25), "text");
  const auto found = view->get_bytes(24);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(Bytes(found->begin(), found->end()), (Bytes{1, 2, 3}));
}

TEST(MapView, HasNothingForAbsentKeysAndOtherTypes) {
  const Bytes bytes = encode(sample());
  const auto view = MapView::check(bytes);
  ASSERT_TRUE(view.has_value());
  for (const std::uint64_t absent : {3U, 5U, 26U, 299U, 80'000U}) {
    EXPECT_FALSE(view->has(absent)) << absent;
    EXPECT_FALSE(view->get_uint(absent).has_value()) << absent;
  }
  EXPECT_FALSE(view->get_uint(1).has_value());    // negative
  EXPECT_FALSE(view->get_int(6).has_value());     // too large
  EXPECT_FALSE(view->get_int(24).has_value());    // bytes
  EXPECT_FALSE(view->get_bytes(25).has_value());  // text
  EXPECT_FALSE(view->get_text(24).has_value());
  EXPECT_FALSE(view->get_text(2).has_value());
  EXPECT_TRUE(view->has(300));
  EXPECT_FALSE(MapView().has(0));
  EXPECT_FALSE(MapView::check({}).has_value());
}

// The one promise that verification rests on: what is checked is what would have been decoded.
void expect_same(ByteView bytes, std::size_t& accepted) {
  const auto decoded = decode_map(bytes);
  const auto view = MapView::check(bytes);
  ASSERT_EQ(view.has_value(), decoded.has_value())
      << ::testing::PrintToString(Bytes(bytes.begin(), bytes.end()));
  if (!view) return;
  ++accepted;
  for (const auto& [key, value] : decoded->entries()) {
    ASSERT_TRUE(view->has(key));
    const auto number = decoded->get_uint(key, "");
    ASSERT_EQ(view->get_uint(key), number ? std::optional(*number) : std::nullopt);
  }
}

TEST(MapView, AcceptsExactlyWhatTheDecoderAccepts) {
  const Bytes good = encode(sample());
  std::size_t accepted = 0;
  for (std::size_t end = 0; end <= good.size(); ++end) {
    expect_same(ByteView(good).first(end), accepted);
  }
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes changed = good;
    changed[bit / 8] = static_cast<std::uint8_t>(changed[bit / 8] ^ (1U << bit % 8));
    expect_same(changed, accepted);
  }
  EXPECT_GT(accepted, 2'000U);  // bits of the byte string, among others
}

// Short bytes around every rule: heads, keys and lengths of any kind, in place of one another.
TEST(MapView, AcceptsExactlyWhatTheDecoderAcceptsOfNoise) {
  std::mt19937_64 random(4);
  constexpr std::uint8_t kLikely[] = {0xA0, 0xA1, 0xA2, 0xA3, 0x80, 0x81, 0x82, 0x00, 0x01,
                                      0x02, 0x17, 0x18, 0x19, 0x1B, 0x20, 0x38, 0x3B, 0x40,
                                      0x41, 0x58, 0x61, 0x62, 0x78, 0xC3, 0xA9, 0xF4, 0xF5,
                                      0xF6, 0xFF, 0x7F, 0x80, 0x9F, 0xBF, 0xD8};
  std::size_t accepted = 0;
  constexpr int kRounds = 400'000;
  for (int round = 0; round < kRounds; ++round) {
    Bytes bytes(1 + random() % 12);
    for (std::uint8_t& byte : bytes) {
      byte = random() % 4 == 0 ? static_cast<std::uint8_t>(random())
                               : kLikely[random() % std::size(kLikely)];
    }
    if (random() % 4 != 0) bytes[0] = static_cast<std::uint8_t>(0xA1 + random() % 2);
    expect_same(bytes, accepted);
  }
  std::printf("%d inputs, %zu of them canonical\n", kRounds, accepted);
  EXPECT_GT(accepted, 1'000U);
}

TEST(MapView, NestsAsDeepAsTheDecoder) {
  std::size_t accepted = 0;
  for (std::size_t depth = 1; depth <= kCborDepthMax + 2; ++depth) {
    for (const std::uint8_t innermost :
         {std::uint8_t{0x00}, std::uint8_t{0x80}, std::uint8_t{0xA0}}) {
      Bytes bytes{0xA1, 0x00};
      bytes.insert(bytes.end(), depth - 1, 0x81);
      bytes.push_back(innermost);
      expect_same(bytes, accepted);
    }
  }
  EXPECT_EQ(accepted, 3 * (kCborDepthMax - 1) + 1);
  Bytes hostile(1'000'000, 0x81);  // must not recurse a million deep
  hostile[0] = 0xA1;
  EXPECT_FALSE(MapView::check(hostile).has_value());
}

}  // namespace
}  // namespace aioss::codec
