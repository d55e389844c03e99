#include "ledger/witness/cosignature.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "ledger/format/bytes_io.h"

namespace aioss::ledger {
namespace {

constexpr std::size_t kTimeBytes = 8;
constexpr std::uint64_t kTimeMax = std::numeric_limits<std::int64_t>::max();

NoteKey note_key(const WitnessKey& key) {
  return {KeyType::kWitness, key.name, key.public_key};
}

std::string message_of(const Note& note, std::uint64_t time_s) {
  return "cosignature/v1\ntime " + std::to_string(time_s) + '\n' + note.signed_text;
}

std::uint64_t load_time(ByteView bytes) {
  std::uint64_t time_s = 0;
  for (std::size_t i = 0; i < kTimeBytes; ++i) time_s = time_s << 8 | bytes[i];
  return time_s;
}

// The time of a cosignature that holds.
std::optional<std::uint64_t> check(const Note& note, const WitnessKey& key, ByteView given) {
  crypto::Signature signature;
  if (given.size() != kTimeBytes + signature.size()) return std::nullopt;
  const std::uint64_t time_s = load_time(given);
  if (time_s > kTimeMax) return std::nullopt;
  const ByteView bare = given.subspan(kTimeBytes);
  std::copy(bare.begin(), bare.end(), signature.begin());
  if (!crypto::verify(key.public_key, as_bytes(message_of(note, time_s)), signature)) {
    return std::nullopt;
  }
  return time_s;
}

}  // namespace

std::string format_witness_key(const WitnessKey& key) {
  return format_note_key(note_key(key));
}

Result<WitnessKey> parse_witness_key(std::string_view text) {
  AIOSS_TRY(NoteKey key, parse_note_key(text, KeyType::kWitness));
  return WitnessKey{std::move(key.name), key.public_key};
}

Result<Cosignature> cosign(const Note& note, std::string_view name, std::uint64_t time_s,
                           const crypto::SigningKey& key) {
  AIOSS_CHECK(check_origin(name));
  if (time_s > kTimeMax) {
    return Error{Code::kInvalidArgument, "the time of a cosignature must be below 2^63 seconds"};
  }
  AIOSS_TRY(const crypto::Signature signature, key.sign(as_bytes(message_of(note, time_s))));
  Bytes bytes(kTimeBytes);
  store_big(time_s, bytes, 0);
  bytes.insert(bytes.end(), signature.begin(), signature.end());
  const KeyId id = key_id(note_key({std::string(name), key.public_key()}));
  return Cosignature{format_signature_line(name, id, bytes), time_s};
}

std::optional<Cosignature> cosignature_of(const Note& note, const WitnessKey& key) {
  const KeyId id = key_id(note_key(key));
  std::optional<Cosignature> latest;
  for (const std::string& line : note.signature_lines) {
    if (line.substr(0, line.find(' ')) != key.name) continue;
    const auto given = parse_signature_line(line);
    if (!given) return std::nullopt;
    if (given->key_id != id) continue;  // another key of that name
    const auto time_s = check(note, key, given->signature);
    if (!time_s) return std::nullopt;
    if (!latest || *time_s > latest->time_s) latest = Cosignature{line, *time_s};
  }
  return latest;
}

}  // namespace aioss::ledger
