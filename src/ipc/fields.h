// Reading and writing the fields of one message: a CBOR map with small unsigned keys, key 0 the
// kind. Internal to ipc. The reader is sticky: after the first failure every read gives a default
// value, and finish() tells what was wrong, so that a decoder reads as a list of fields with their
// bounds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "codec/cbor.h"
#include "ipc/messages.h"

namespace aioss::ipc::detail {

using codec::Array;
using codec::Map;
using codec::Value;

class FieldReader final {
 public:
  // `map` outlives the reader.
  FieldReader(const Map& map, std::string_view message) : map_(map), message_(message) {}
  FieldReader(const FieldReader&) = delete;
  FieldReader& operator=(const FieldReader&) = delete;

  bool has(std::uint64_t key) const { return map_.find(key) != nullptr; }
  std::uint64_t uint(std::uint64_t key, std::uint64_t low, std::uint64_t high);
  std::uint32_t u32(std::uint64_t key, std::uint32_t high) {
    return static_cast<std::uint32_t>(uint(key, 0, high));
  }
  std::uint64_t u64(std::uint64_t key) { return uint(key, 0, UINT64_MAX); }
  std::int64_t i64(std::uint64_t key);
  Token token(std::uint64_t key) { return static_cast<Token>(uint(key, 0, INT32_MAX)); }
  bool boolean(std::uint64_t key);
  float real(std::uint64_t key, float low, float high);  // finite, within [low, high]
  std::string text(std::uint64_t key, std::size_t bytes_max);
  std::string bytes(std::uint64_t key, std::size_t bytes_max);  // need not be UTF-8
  Digest digest(std::uint64_t key);                             // exactly as long
  std::vector<Token> tokens(std::uint64_t key, std::size_t count_max);
  Error error(std::uint64_t key);
  const Array& array(std::uint64_t key, std::size_t count_max);
  const Map& map(std::uint64_t key);
  const Map& as_map(const Value& value);  // an element of an array

  void fail(std::uint64_t key, std::string_view why);
  void adopt(const FieldReader& inner);  // its failure is ours
  bool failed() const { return error_.has_value(); }
  // Fails if a key was never asked for: no field is ignored silently.
  Status finish();

 private:
  const Value* take(std::uint64_t key);

  const Map& map_;
  std::string_view message_;
  std::optional<Error> error_;
  std::size_t taken_ = 0;
};

Value text_value(std::string_view text, std::size_t bytes_max);  // made valid, cut to size
Value bytes_value(std::string_view bytes, std::size_t bytes_max);
Value digest_value(const Digest& digest);
Value tokens_value(const std::vector<Token>& tokens);  // little-endian i32s in one byte string
Value error_value(const Error& error);

// Of what is not set there is no key.
void write_layers(const Layers& layers, Map& map, std::uint64_t key, std::uint64_t experts_key);
Layers read_layers(FieldReader& reader, std::uint64_t key, std::uint64_t experts_key);

}  // namespace aioss::ipc::detail
