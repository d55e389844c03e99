// A canonical map read where it lies: checked once, then looked into without building a value.
// Checking allocates nothing and takes a fraction of decode_map()'s time; use it where most maps
// are only checked, or only one entry is wanted. A value that points into bytes which outlive it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"

namespace aioss::codec {

class MapView final {
 public:
  MapView() = default;  // of the empty map
  // Nothing exactly where decode_map() refuses the bytes.
  static std::optional<MapView> check(ByteView bytes);

  // Nothing if the key is absent or of another type.
  std::optional<std::uint64_t> get_uint(std::uint64_t key) const;
  std::optional<std::int64_t> get_int(std::uint64_t key) const;
  std::optional<ByteView> get_bytes(std::uint64_t key) const;
  std::optional<std::string_view> get_text(std::uint64_t key) const;
  bool has(std::uint64_t key) const { return find(key).has_value(); }

 private:
  explicit MapView(ByteView bytes) : bytes_(bytes) {}
  std::optional<std::size_t> find(std::uint64_t key) const;  // where its value begins

  ByteView bytes_;
};

}  // namespace aioss::codec
