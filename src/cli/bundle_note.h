// What a publisher says of a list of model files, or of an engine's plugin, in FILE.note beside it:
// a C2SP signed note (c2sp.org/signed-note) with an Ed25519 signature, type 0x01. Its text is
//
//   aioss/models/v1, or aioss/engine/v1
//   SHA-256 of the file's bytes, 64 digits of lower-case hex
//
// The first line keeps it apart from a ledger's checkpoint: whoever signs both with one key has
// signed no list that reads as a checkpoint. Parsing takes untrusted text. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/ed25519.h"
#include "ledger/format/checkpoint.h"

namespace aioss::cli {

inline constexpr std::uint64_t kBundleNoteBytesMax = 16 << 10;  // some hundred signatures

// What is signed: a file of some kind by its hash. `noun`: what a person calls it.
struct Signed {
  std::string_view kind, noun;
  Digest sha256{};
};
Signed signed_engine(const Digest& sha256);

// kUsage for a name that no key can have.
Result<std::string> sign_note(const Signed& what, std::string_view name,
                              const crypto::SigningKey& key);
// Whether this key has signed it. kCorrupt: the note is damaged, or is of another file; kForbidden:
// it is not signed by that key, or a signature that claims to be does not hold.
Status check_note(const Signed& what, std::string_view note, const ledger::VerifierKey& key);

// The same of a list of models.
Result<std::string> sign_bundle(ByteView list, std::string_view name,
                                const crypto::SigningKey& key);
Status check_bundle(ByteView list, std::string_view note, const ledger::VerifierKey& key);

}  // namespace aioss::cli
