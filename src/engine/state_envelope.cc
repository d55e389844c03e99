#include "engine/state_envelope.h"

#include <cstring>

#include "engine/abi.h"

namespace aioss::engine {
namespace {

struct Header {
  std::uint64_t magic;
  std::uint64_t fingerprint;
  std::uint64_t length;
  std::uint64_t payload_bytes;
  std::uint64_t checksum;  // of payload and length
};
static_assert(sizeof(Header) == kStateHeaderBytes);

template <typename T>
std::span<const std::uint8_t> bytes_of(std::span<const T> items) {
  return {reinterpret_cast<const std::uint8_t*>(items.data()), items.size_bytes()};
}

}  // namespace

std::uint64_t state_hash(std::span<const std::uint8_t> bytes, std::uint64_t seed) {
  constexpr std::uint64_t kPrime = 0x9E3779B97F4A7C15u;
  std::uint64_t hash = seed;
  const auto mix = [&](std::uint64_t word) {
    hash = (hash ^ word) * kPrime;
    hash ^= hash >> 29;
  };
  std::uint64_t word = 0;
  for (; bytes.size() >= sizeof word; bytes = bytes.subspan(sizeof word)) {
    std::memcpy(&word, bytes.data(), sizeof word);
    mix(word);
  }
  word = 0;
  if (!bytes.empty()) std::memcpy(&word, bytes.data(), bytes.size());
  mix(word ^ (std::uint64_t{bytes.size()} << 56));
  return hash;
}

std::uint64_t state_hash(std::string_view text, std::uint64_t seed) {
  return state_hash(bytes_of(std::span<const char>(text)), seed);
}

std::uint64_t state_hash(std::span<const std::uint64_t> numbers, std::uint64_t seed) {
  return state_hash(bytes_of(numbers), seed);
}

void seal_state(std::uint8_t* data, const StateOrigin& origin, std::uint64_t length,
                std::size_t payload_bytes) {
  const std::span<const std::uint8_t> payload(data + kStateHeaderBytes, payload_bytes);
  const Header header = {.magic = origin.magic,
                         .fingerprint = origin.fingerprint,
                         .length = length,
                         .payload_bytes = payload_bytes,
                         .checksum = state_hash(payload, length)};
  std::memcpy(data, &header, sizeof header);
}

aioss_status open_state(const std::uint8_t* data, std::size_t size, const StateOrigin& origin,
                        std::uint64_t cells, OpenedState& out, aioss_error* error) {
  const auto refuse = [&](const char* reason) { return fail(error, AIOSS_E_INVALID, reason); };
  Header header = {};
  if (data == nullptr || size < sizeof header) return refuse("these bytes are not a state");
  std::memcpy(&header, data, sizeof header);
  if (header.magic != origin.magic || header.payload_bytes != size - sizeof header ||
      header.length > cells) {
    return refuse("these bytes are not a state");
  }
  if (header.fingerprint != origin.fingerprint) {
    return refuse("this state belongs to another model, build or session geometry");
  }
  const std::span<const std::uint8_t> payload(data + sizeof header, size - sizeof header);
  if (header.checksum != state_hash(payload, header.length)) return refuse("the state is damaged");
  out = {.length = header.length, .payload = payload};
  return AIOSS_OK;
}

}  // namespace aioss::engine
