#include "codec/cbor.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>

#include "base/assert.h"
#include "codec/cbor_head.h"
#include "codec/utf8.h"

namespace aioss::codec {
namespace {

void put_head(std::uint8_t major, std::uint64_t argument, Bytes& out) {
  const auto lead = static_cast<std::uint8_t>(major << 5U);
  int width = 0;  // bytes that follow the first
  if (argument < 24) {
    out.push_back(static_cast<std::uint8_t>(lead | argument));
  } else if (argument <= 0xFF) {
    out.push_back(lead | 24);
    width = 1;
  } else if (argument <= 0xFFFF) {
    out.push_back(lead | 25);
    width = 2;
  } else if (argument <= 0xFFFF'FFFF) {
    out.push_back(lead | 26);
    width = 4;
  } else {
    out.push_back(lead | 27);
    width = 8;
  }
  for (int i = width - 1; i >= 0; --i) {
    out.push_back(static_cast<std::uint8_t>(argument >> (8 * static_cast<unsigned>(i))));
  }
}

// −1 − n is how CBOR stores a negative integer; ~v is that n in two's complement.
std::uint64_t negative_argument(std::int64_t v) {
  return ~static_cast<std::uint64_t>(v);
}

struct Encoder {
  Bytes& out;
  std::size_t depth = 0;

  void put(const Value& value) {
    std::visit([this](const auto& v) { put_one(v); }, value.storage());
  }
  void put_one(std::uint64_t v) { put_head(kUnsigned, v, out); }
  void put_one(std::int64_t v) {
    ASSERT(v < 0);
    put_head(kNegative, negative_argument(v), out);
  }
  void put_one(const Bytes& v) {
    put_head(kByteString, v.size(), out);
    out.insert(out.end(), v.begin(), v.end());
  }
  void put_one(const std::string& v) {
    put_head(kTextString, v.size(), out);
    const ByteView bytes = as_bytes(v);
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  void put_one(const Array& v) {
    ASSERT(++depth <= kCborDepthMax);
    put_head(kArray, v.size(), out);
    for (const Value& item : v) put(item);
    --depth;
  }
  void put_one(const Map& v) {
    ASSERT(++depth <= kCborDepthMax);
    put_head(kMap, v.entries().size(), out);
    for (const auto& [key, item] : v.entries()) {
      put_head(kUnsigned, key, out);
      put(item);
    }
    --depth;
  }
  void put_one(bool v) { out.push_back(v ? kTrue : kFalse); }
};

// Recursive, but never deeper than kCborDepthMax. Nothing is allocated for a length before that
// many bytes are known to be there.
class Decoder {
 public:
  explicit Decoder(ByteView bytes) : bytes_(bytes) {}

  Result<Value> value(std::size_t depth) {
    const std::size_t start = at_;
    AIOSS_TRY(const Head head, read_head());
    switch (head.major) {
      case kUnsigned:
        return Value::uint(head.argument);
      case kNegative:
        return negative(head.argument, start);
      case kByteString:
        return byte_string(head.argument, start);
      case kTextString:
        return text_string(head.argument, start);
      case kArray:
        return array(head.argument, start, depth + 1);
      case kMap:
        return map_value(head.argument, start, depth + 1);
      default:
        return simple(head.argument, start);
    }
  }

  Result<Map> only_map() {
    AIOSS_TRY(const Head head, read_head());
    if (head.major != kMap) return corrupt(0, "not a map");
    AIOSS_TRY(Map entries, map(head.argument, 0, 1));
    AIOSS_CHECK(at_end());
    return entries;
  }

  Status at_end() const {
    if (at_ != bytes_.size()) return corrupt(at_, "bytes after the value");
    return ok();
  }

  static Error corrupt(std::size_t offset, std::string_view what) {
    return {Code::kCorrupt, "CBOR offset " + std::to_string(offset) + ": " + std::string(what)};
  }

 private:
  std::size_t left() const { return bytes_.size() - at_; }

  Result<Head> read_head() {
    const std::size_t start = at_;
    Head head;
    const std::string_view problem = codec::read_head(bytes_, at_, head);
    if (!problem.empty()) return corrupt(start, problem);
    return head;
  }

  static Result<Value> negative(std::uint64_t argument, std::size_t start) {
    if (argument > kCborNegativeMost) return corrupt(start, "negative integer out of range");
    return Value::integer(-1 - static_cast<std::int64_t>(argument));
  }

  Result<Value> byte_string(std::uint64_t length, std::size_t start) {
    if (length > left()) return corrupt(start, "length reaches past the end");
    const ByteView part = bytes_.subspan(at_, static_cast<std::size_t>(length));
    at_ += part.size();
    return Value::bytes(part);
  }

  Result<Value> text_string(std::uint64_t length, std::size_t start) {
    if (length > left()) return corrupt(start, "length reaches past the end");
    const std::string_view part = as_text(bytes_.subspan(at_, static_cast<std::size_t>(length)));
    if (!is_utf8(part)) return corrupt(start, "text is not UTF-8");
    at_ += part.size();
    return Value::text(part);
  }

  Result<Value> array(std::uint64_t count, std::size_t start, std::size_t depth) {
    if (depth > kCborDepthMax) return corrupt(start, "nested too deeply");
    if (count > left()) return corrupt(start, "more items than bytes");
    items_ += count;
    if (items_ > kCborItemsMax) return corrupt(start, "too many items");
    Array items;
    for (std::uint64_t i = 0; i < count; ++i) {
      AIOSS_TRY(Value item, value(depth));
      items.push_back(std::move(item));
    }
    return Value::array(std::move(items));
  }

  Result<Value> map_value(std::uint64_t count, std::size_t start, std::size_t depth) {
    AIOSS_TRY(Map entries, map(count, start, depth));
    return Value::map(std::move(entries));
  }

  Result<Map> map(std::uint64_t count, std::size_t start, std::size_t depth) {
    if (depth > kCborDepthMax) return corrupt(start, "nested too deeply");
    if (count > left() / 2) return corrupt(start, "more entries than bytes");
    items_ += count;
    if (items_ > kCborItemsMax) return corrupt(start, "too many items");
    Map entries;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::size_t key_start = at_;
      AIOSS_TRY(const Head key, read_head());
      if (key.major != kUnsigned) return corrupt(key_start, "map key is not an unsigned integer");
      if (!entries.entries().empty() && entries.entries().back().first >= key.argument) {
        return corrupt(key_start, "map keys are not ascending");
      }
      AIOSS_TRY(Value item, value(depth));
      entries.set(key.argument, std::move(item));
    }
    return entries;
  }

  static Result<Value> simple(std::uint64_t argument, std::size_t) {
    return Value::boolean(argument == (kTrue & 0x1FU));
  }

  ByteView bytes_;
  std::size_t at_ = 0;
  std::uint64_t items_ = 0;  // of all arrays and maps so far
};

// The decoder's own checks should leave nothing for this to find. It makes "one value, one
// encoding" hold even where one of them is wrong.
template <typename T>
Status check_same(const T& value, ByteView bytes) {
  Bytes again;
  again.reserve(bytes.size());
  if constexpr (std::is_same_v<T, Map>) {
    Encoder{again}.put_one(value);
  } else {
    Encoder{again}.put(value);
  }
  if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) {
    return Decoder::corrupt(0, "not canonical");
  }
  return ok();
}

Error missing(std::string_view what, std::string_view wanted) {
  return {Code::kCorrupt, std::string(what) + " is not " + std::string(wanted)};
}

}  // namespace

Map& Map::set(std::uint64_t key, Value value) {
  if (entries_.empty() || entries_.back().first < key) {  // the usual case: built in order
    entries_.emplace_back(key, std::move(value));
    return *this;
  }
  auto place = std::lower_bound(entries_.begin(), entries_.end(), key,
                                [](const auto& entry, std::uint64_t k) { return entry.first < k; });
  ASSERT(place->first != key);
  entries_.emplace(place, key, std::move(value));
  return *this;
}

const Value* Map::find(std::uint64_t key) const {
  auto place = std::lower_bound(entries_.begin(), entries_.end(), key,
                                [](const auto& entry, std::uint64_t k) { return entry.first < k; });
  return place != entries_.end() && place->first == key ? &place->second : nullptr;
}

bool Map::operator==(const Map& other) const {
  return entries_ == other.entries_;
}

Result<std::uint64_t> Map::get_uint(std::uint64_t key, std::string_view what) const {
  const Value* value = find(key);
  if (value == nullptr || value->if_uint() == nullptr) return missing(what, "an unsigned integer");
  return *value->if_uint();
}

Result<std::int64_t> Map::get_int(std::uint64_t key, std::string_view what) const {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (const Value* value = find(key)) {
    if (const auto* negative = std::get_if<std::int64_t>(&value->storage())) return *negative;
    const std::uint64_t* positive = value->if_uint();
    if (positive != nullptr && *positive <= kMost) return static_cast<std::int64_t>(*positive);
  }
  return missing(what, "an integer of 64 bits");
}

Result<std::string> Map::get_text(std::uint64_t key, std::string_view what) const {
  const Value* value = find(key);
  if (value == nullptr || value->if_text() == nullptr) return missing(what, "text");
  return *value->if_text();
}

Result<Bytes> Map::get_bytes(std::uint64_t key, std::string_view what) const {
  const Value* value = find(key);
  if (value == nullptr || value->if_bytes() == nullptr) return missing(what, "a byte string");
  return *value->if_bytes();
}

Result<bool> Map::get_bool(std::uint64_t key, std::string_view what) const {
  const Value* value = find(key);
  if (value == nullptr || value->if_bool() == nullptr) return missing(what, "a truth value");
  return *value->if_bool();
}

Result<Digest> Map::get_digest(std::uint64_t key, std::string_view what) const {
  const Value* value = find(key);
  const Bytes* bytes = value == nullptr ? nullptr : value->if_bytes();
  if (bytes == nullptr || bytes->size() != Digest{}.size()) return missing(what, "32 bytes");
  Digest digest;
  std::copy(bytes->begin(), bytes->end(), digest.begin());
  return digest;
}

Result<const Array*> Map::get_array(std::uint64_t key, std::string_view what) const {
  const Value* value = find(key);
  if (value == nullptr || value->if_array() == nullptr) return missing(what, "an array");
  return value->if_array();
}

Result<const Map*> Map::get_map(std::uint64_t key, std::string_view what) const {
  const Value* value = find(key);
  if (value == nullptr || value->if_map() == nullptr) return missing(what, "a map");
  return value->if_map();
}

Value Value::float_bits(float v) {
  return uint(std::bit_cast<std::uint32_t>(v));
}
Value Value::double_bits(double v) {
  return uint(std::bit_cast<std::uint64_t>(v));
}

float float_from_bits(std::uint64_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
}
double double_from_bits(std::uint64_t bits) {
  return std::bit_cast<double>(bits);
}

void encode_to(const Value& value, Bytes& out) {
  Encoder{out}.put(value);
}
void encode_to(const Map& map, Bytes& out) {
  Encoder{out}.put_one(map);
}
void encode_map_head(std::uint64_t entries, Bytes& out) {
  put_head(kMap, entries, out);
}

Bytes encode(const Value& value) {
  Bytes out;
  encode_to(value, out);
  return out;
}

Result<Value> decode(ByteView bytes) {
  Decoder decoder(bytes);
  AIOSS_TRY(Value value, decoder.value(0));
  AIOSS_CHECK(decoder.at_end());
  AIOSS_CHECK(check_same(value, bytes));
  return value;
}

Result<Map> decode_map(ByteView bytes) {
  AIOSS_TRY(Map map, Decoder(bytes).only_map());
  AIOSS_CHECK(check_same(map, bytes));
  return map;
}

}  // namespace aioss::codec
