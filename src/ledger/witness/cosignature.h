// Cosignatures: what a witness adds to a ledger's checkpoint, a line of C2SP tlog-cosignature, type
// cosignature/v1 (0x04). It says: at this time, this was the largest checkpoint that I have seen of
// that ledger, and it continues every earlier one that I have cosigned. Parsing takes untrusted
// text. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "crypto/ed25519.h"
#include "ledger/format/checkpoint.h"

namespace aioss::ledger {

struct WitnessKey {
  std::string name;
  crypto::PublicKey public_key{};
  bool operator==(const WitnessKey&) const = default;
};

// "name+12345678+base64(0x04 ‖ public key)"
std::string format_witness_key(const WitnessKey& key);
Result<WitnessKey> parse_witness_key(std::string_view text);  // kUsage says what is wrong

struct Cosignature {
  std::string line;          // as Note::signature_lines has it
  std::uint64_t time_s = 0;  // since 1970 UTC, by the witness's clock; below 2^63
};

// kInvalidArgument for a time from 2^63 on, and for a name that no key can have.
Result<Cosignature> cosign(const Note& note, std::string_view name, std::uint64_t time_s,
                           const crypto::SigningKey& key);

// The witness's cosignature on the note; the latest, if there are several. One that claims to be
// the witness's and does not hold: nothing, whatever the others say.
std::optional<Cosignature> cosignature_of(const Note& note, const WitnessKey& key);

}  // namespace aioss::ledger
