// Fixed-width integers in both byte orders: little-endian in files, big-endian in what is hashed.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "base/bytes.h"

namespace aioss::ledger {

template <typename T>
T load_little(ByteView bytes, std::size_t offset) {
  static_assert(std::is_unsigned_v<T>);
  static_assert(std::endian::native == std::endian::little, "write the byte swap for this machine");
  T value;
  std::memcpy(&value, bytes.subspan(offset, sizeof(T)).data(), sizeof(T));
  return value;
}

template <typename T>
void store_little(T value, std::span<std::uint8_t> bytes, std::size_t offset) {
  static_assert(std::is_unsigned_v<T>);
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bytes[offset + i] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8 * i));
  }
}

template <typename T>
void store_big(T value, std::span<std::uint8_t> bytes, std::size_t offset) {
  static_assert(std::is_unsigned_v<T>);
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bytes[offset + sizeof(T) - 1 - i] =
        static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8 * i));
  }
}

template <typename T>
std::array<std::uint8_t, sizeof(T)> big_endian(T value) {
  std::array<std::uint8_t, sizeof(T)> bytes;
  store_big(value, bytes, 0);
  return bytes;
}

}  // namespace aioss::ledger
