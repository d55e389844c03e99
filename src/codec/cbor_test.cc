#include "codec/cbor.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "codec/hex.h"

namespace aioss::codec {
namespace {

Bytes hex(std::string_view text) {
  return *from_hex(text);
}

struct Vector {
  const char* encoded;
  Value value;
};

Value array_of(std::initializer_list<Value> items) {
  return Value::array(Array(items));
}

// RFC 8949, appendix A: those within the subset.
std::vector<Vector> rfc_vectors() {
  Array up_to_25;
  for (std::uint64_t i = 1; i <= 25; ++i) up_to_25.push_back(Value::uint(i));
  Map small;
  small.set(1, Value::uint(2)).set(3, Value::uint(4));
  return {
      {"00", Value::uint(0)},
      {"01", Value::uint(1)},
      {"0a", Value::uint(10)},
      {"17", Value::uint(23)},
      {"1818", Value::uint(24)},
      {"1819", Value::uint(25)},
      {"1864", Value::uint(100)},
      {"1903e8", Value::uint(1'000)},
      {"1a000f4240", Value::uint(1'000'000)},
      {"1b000000e8d4a51000", Value::uint(1'000'000'000'000)},
      {"1bffffffffffffffff", Value::uint(~std::uint64_t{0})},
      {"20", Value::integer(-1)},
      {"29", Value::integer(-10)},
      {"3863", Value::integer(-100)},
      {"3903e7", Value::integer(-1'000)},
      {"3b7fffffffffffffff", Value::integer(std::numeric_limits<std::int64_t>::min())},
      {"f4", Value::boolean(false)},
      {"f5", Value::boolean(true)},
      {"40", Value::bytes({})},
      {"4401020304", Value::bytes(hex("01020304"))},
      {"60", Value::text("")},
      {"6161", Value::text("a")},
      {"6449455446", Value::text("IETF")},
      {"62225c", Value::text("\"\\")},
      {"62c3bc", Value::text("\u00fc")},
      {"63e6b0b4", Value::text("\u6c34")},
      {"64f0908591", Value::text("\U00010151")},
      {"80", Value::array({})},
      {"83010203", array_of({Value::uint(1), Value::uint(2), Value::uint(3)})},
      {"8301820203820405", array_of({Value::uint(1), array_of({Value::uint(2), Value::uint(3)}),
                                     array_of({Value::uint(4), Value::uint(5)})})},
      {"98190102030405060708090a0b0c0d0e0f101112131415161718181819", Value::array(up_to_25)},
      {"a0", Value::map({})},
      {"a201020304", Value::map(small)},
  };
}

TEST(Cbor, HasTheEncodingsOfTheRfc) {
  for (const Vector& vector : rfc_vectors()) {
    EXPECT_EQ(to_hex(encode(vector.value)), vector.encoded);
    const auto decoded = decode(hex(vector.encoded));
    ASSERT_TRUE(decoded.has_value()) << vector.encoded << decoded.error().message;
    EXPECT_EQ(*decoded, vector.value) << vector.encoded;
  }
}

TEST(Cbor, RefusesEverythingOutsideTheSubset) {
  for (const char* encoded : {"",      // nothing
                              "0000",  // two values
                              "1817",  // 23 in two bytes
                              "190018",
                              "1a00000018",
                              "1b0000000000000018",
                              "1b00000000ffffffff",
                              "3817",                // −24 in two bytes
                              "3bffffffffffffffff",  // below 64 bits
                              "5800",
                              "7800",
                              "9800",  // lengths in two bytes
                              "b800",
                              "5f42010243030405ff",  // indefinite
                              "7f657374726561646d696e67ff",
                              "9fff",
                              "bfff",
                              "1c",
                              "1d",
                              "1e",
                              "1f",
                              "3c",
                              "5c",
                              "7d",
                              "9e",
                              "bd",  // reserved
                              "f6",
                              "f7",  // null, undefined
                              "e0",
                              "f0",
                              "f820",
                              "f8ff",
                              "f97e00",
                              "fa47c35000",
                              "fb3ff199999999999a",
                              "c074323031332d30332d32315432303a30343a30305a",
                              "d74401020304",
                              "c11a514b67b0",  // tags
                              "a2010203",
                              "a20102",      // ends early
                              "a201020104",  // a key twice
                              "a203040102",  // keys out of order
                              "a1616101",    // a text key
                              "a12000",      // a negative key
                              "62c328",
                              "61ff",
                              "63eda080",
                              "62c080",  // not UTF-8
                              "8201",    // ends early
                              "43",
                              "630102",
                              "9b7fffffffffffffff",  // a length that no machine has
                              "bb7fffffffffffffff",
                              "5b7fffffffffffffff",
                              "7bffffffffffffffff"}) {
    const auto decoded = decode(hex(encoded));
    EXPECT_FALSE(decoded.has_value()) << encoded;
    if (!decoded) {
      EXPECT_EQ(decoded.error().code, Code::kCorrupt);
    }
  }
}

TEST(Cbor, NestsEightDeepAndNoDeeper) {
  std::string nested(kCborDepthMax * 2, '8');
  for (std::size_t i = 1; i < nested.size(); i += 2) nested[i] = '1';
  EXPECT_TRUE(decode(hex(nested.substr(0, nested.size() - 2) + "80")).has_value());
  EXPECT_TRUE(decode(hex(nested + "00")).has_value());
  EXPECT_FALSE(decode(hex(nested + "80")).has_value());
  EXPECT_FALSE(decode(hex(nested + "a0")).has_value());
  Bytes hostile(1'000'000, 0x81);  // must not recurse a million deep
  EXPECT_FALSE(decode(hostile).has_value());
}

TEST(Cbor, MapsKeepTheirOrderHoweverTheyAreBuilt) {
  Map map;
  map.set(300, Value::uint(3)).set(2, Value::uint(1)).set(24, Value::uint(2));
  EXPECT_EQ(to_hex(encode(map)),
            "a302011818"
            "0219012c03");
  EXPECT_EQ(*map.get_uint(24, "x"), 2U);
  EXPECT_EQ(map.find(3), nullptr);
}

TEST(Cbor, TypedReadsRefuseOtherTypes) {
  Map map;
  map.set(0, Value::integer(-5)).set(1, Value::uint(5)).set(2, Value::bytes(Bytes(31)));
  map.set(3, Value::uint(~std::uint64_t{0})).set(4, Value::text("t"));
  EXPECT_EQ(*map.get_int(0, "x"), -5);
  EXPECT_EQ(*map.get_int(1, "x"), 5);
  EXPECT_FALSE(map.get_int(3, "x").has_value());
  EXPECT_FALSE(map.get_uint(0, "x").has_value());
  EXPECT_FALSE(map.get_digest(2, "x").has_value());
  EXPECT_FALSE(map.get_text(1, "x").has_value());
  EXPECT_FALSE(map.get_map(1, "x").has_value());
  EXPECT_FALSE(map.get_array(9, "x").has_value());
  EXPECT_FALSE(map.get_bool(4, "x").has_value());
  EXPECT_EQ(map.get_uint(9, "the seed").error().message, "the seed is not an unsigned integer");
}

TEST(Cbor, FloatsTravelAsTheirBits) {
  for (const float value : {0.0F, -0.0F, 0.7F, 1e-38F, std::numeric_limits<float>::infinity()}) {
    const float back = float_from_bits(*Value::float_bits(value).if_uint());
    EXPECT_EQ(back, value);
    EXPECT_EQ(std::signbit(back), std::signbit(value));
  }
  EXPECT_EQ(double_from_bits(*Value::double_bits(0.1).if_uint()), 0.1);
}

Value random_value(std::mt19937_64& random, std::size_t depth) {
  const std::uint64_t number = random() >> random() % 64;
  switch (random() % (depth < kCborDepthMax ? 7 : 5)) {
    case 0:
      return Value::uint(number);
    case 1:
      return Value::integer(-static_cast<std::int64_t>(number >> 1U));
    case 2:
      return Value::bytes(Bytes(number % 40, static_cast<std::uint8_t>(number)));
    case 3:
      return Value::text(std::string(number % 40, 'x'));
    case 4:
      return Value::boolean((number & 1U) != 0);
    case 5: {
      Array items;
      for (std::uint64_t i = 0; i < number % 5; ++i) {
        items.push_back(random_value(random, depth + 1));
      }
      return Value::array(std::move(items));
    }
    default: {
      Map map;
      std::uint64_t key = 0;
      for (std::uint64_t i = 0; i < number % 5; ++i) {
        key += 1 + random() % 300;
        map.set(key, random_value(random, depth + 1));
      }
      return Value::map(std::move(map));
    }
  }
}

// What is accepted is what was encoded: flipping bits of good encodings never yields a second
// encoding of a value, and never a crash.
TEST(Cbor, OneValueHasOneEncoding) {
  std::mt19937_64 random(20'250'101);
  for (int i = 0; i < 3'000; ++i) {
    const Value value = random_value(random, 0);
    const Bytes good = encode(value);
    const auto decoded = decode(good);
    ASSERT_TRUE(decoded.has_value()) << to_hex(good);
    ASSERT_EQ(*decoded, value);
    Bytes bad = good;
    for (int flips = 0; flips < 4; ++flips) {
      const std::size_t bit = random() % (bad.size() * 8);
      bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ (1U << bit % 8));
      if (const auto other = decode(bad)) {
        EXPECT_EQ(encode(*other), bad);
      }
      EXPECT_EQ(decode_map(bad).has_value(), decode(bad) && decode(bad)->if_map() != nullptr);
    }
    if (good.size() > 1) {
      EXPECT_FALSE(decode(ByteView(good).first(good.size() - 1)).has_value());
    }
  }
}

}  // namespace
}  // namespace aioss::codec
