// Canonical CBOR, the subset that frames and the ledger share: RFC 8949 section 4.2.1 with definite
// lengths, shortest integers, maps keyed by unsigned integers in ascending order without
// duplicates, no floats (store their IEEE-754 bits as an unsigned integer), no tags, valid UTF-8,
// depth <= 8. One value has exactly one encoding; the decoder refuses every other. Values;
// thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace aioss::codec {

class Value;
using Array = std::vector<Value>;

// An ordered map with unsigned keys. set() keeps keys ascending and asserts that none is set twice.
class Map {
 public:
  Map() = default;
  Map& set(std::uint64_t key, Value value);    // returns *this, for chaining
  const Value* find(std::uint64_t key) const;  // nullptr if absent
  const std::vector<std::pair<std::uint64_t, Value>>& entries() const { return entries_; }
  bool operator==(const Map&) const;

  // Typed reads of untrusted input: kCorrupt, naming `what`, if absent or of another type.
  Result<std::uint64_t> get_uint(std::uint64_t key, std::string_view what) const;
  Result<std::int64_t> get_int(std::uint64_t key, std::string_view what) const;
  Result<std::string> get_text(std::uint64_t key, std::string_view what) const;
  Result<Bytes> get_bytes(std::uint64_t key, std::string_view what) const;
  Result<bool> get_bool(std::uint64_t key, std::string_view what) const;
  Result<Digest> get_digest(std::uint64_t key, std::string_view what) const;
  Result<const Array*> get_array(std::uint64_t key, std::string_view what) const;
  Result<const Map*> get_map(std::uint64_t key, std::string_view what) const;

 private:
  std::vector<std::pair<std::uint64_t, Value>> entries_;  // ascending by key
};

class Value {
 public:
  // Negative integers hold their value; non-negative ones are always the unsigned alternative.
  using Storage = std::variant<std::uint64_t, std::int64_t, Bytes, std::string, Array, Map, bool>;

  Value() : storage_(std::uint64_t{0}) {}
  static Value uint(std::uint64_t v) { return Value(Storage(v)); }
  static Value integer(std::int64_t v) {
    return v >= 0 ? uint(static_cast<std::uint64_t>(v)) : Value(Storage(v));
  }
  static Value bytes(ByteView v) { return Value(Storage(Bytes(v.begin(), v.end()))); }
  static Value text(std::string_view v) { return Value(Storage(std::string(v))); }
  static Value boolean(bool v) { return Value(Storage(v)); }
  static Value array(Array v) { return Value(Storage(std::move(v))); }
  static Value map(Map v) { return Value(Storage(std::move(v))); }
  static Value float_bits(float v);    // the 32 bits as an unsigned integer
  static Value double_bits(double v);  // the 64 bits

  const Storage& storage() const { return storage_; }
  const std::uint64_t* if_uint() const { return std::get_if<std::uint64_t>(&storage_); }
  const Bytes* if_bytes() const { return std::get_if<Bytes>(&storage_); }
  const std::string* if_text() const { return std::get_if<std::string>(&storage_); }
  const Array* if_array() const { return std::get_if<Array>(&storage_); }
  const Map* if_map() const { return std::get_if<Map>(&storage_); }
  const bool* if_bool() const { return std::get_if<bool>(&storage_); }
  bool operator==(const Value&) const = default;

 private:
  explicit Value(Storage storage) : storage_(std::move(storage)) {}
  Storage storage_;
};

float float_from_bits(std::uint64_t bits);  // the low 32 bits
double double_from_bits(std::uint64_t bits);

inline constexpr std::size_t kCborDepthMax = 8;
// Items of arrays and maps in one input: a prompt of 2^20 token ids with room. A value in memory is
// tens of bytes where its encoding may be one, so the length of the input alone is no bound.
inline constexpr std::uint64_t kCborItemsMax = std::uint64_t{1} << 21;

Bytes encode(const Value& value);
void encode_to(const Value& value, Bytes& out);
void encode_to(const Map& map, Bytes& out);
// Only the head of a map of that many entries; the caller appends them, ascending.
void encode_map_head(std::uint64_t entries, Bytes& out);
inline Bytes encode(Map map) {
  return encode(Value::map(std::move(map)));
}

// The whole of `bytes` must be one canonical value. kCorrupt otherwise, with the offset. Memory is
// bounded by a small multiple of bytes.size(), whatever lengths the input claims.
Result<Value> decode(ByteView bytes);
Result<Map> decode_map(ByteView bytes);

}  // namespace aioss::codec
