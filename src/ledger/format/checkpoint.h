// Checkpoints: a size and the root of the tree over that many records, as a C2SP signed note with
// an Ed25519 signature of the ledger's own key; and verifier keys ("vkeys"), the line that a
// verifier is given by another way. What a witness adds to a note is in cosignature.h. Parsing
// takes untrusted text. Pure functions, except the last three.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/ed25519.h"
#include "os/file.h"

namespace aioss::ledger {

struct VerifierKey {
  std::string name;  // = the ledger's origin
  crypto::PublicKey public_key{};
  bool operator==(const VerifierKey&) const = default;
};

// The key of any signature of a note: the type says what is signed, and how.
enum class KeyType : std::uint8_t {
  kLedger = 0x01,   // Ed25519 over the note's text
  kWitness = 0x04,  // Ed25519 over "cosignature/v1", a time and the note's text
};
struct NoteKey {
  KeyType type{};
  std::string name;
  crypto::PublicKey public_key{};
};
using KeyId = std::array<std::uint8_t, 4>;
KeyId key_id(const NoteKey& key);
std::string format_note_key(const NoteKey& key);
// kUsage says what is wrong; a key of another type is wrong, too.
Result<NoteKey> parse_note_key(std::string_view text, KeyType type);

// What a C2SP key name may be: no white space, no '+', not empty; and for us printable ASCII of at
// most kOriginBytesMax bytes, because a person has to compare it.
inline constexpr std::size_t kOriginBytesMax = 255;
Status check_origin(std::string_view origin);

// "name+12345678+base64(0x01 ‖ public key)"
std::string format_verifier_key(const VerifierKey& key);
Result<VerifierKey> parse_verifier_key(std::string_view text);  // kUsage says what is wrong
// The first four bytes of SHA-256(name ‖ "\n" ‖ 0x01 ‖ public key).
KeyId key_id(const VerifierKey& key);

struct Checkpoint {
  std::string origin;
  std::uint64_t size = 0;
  Digest root{};
};

// The signed note, whole.
Result<std::string> sign_checkpoint(const Checkpoint& checkpoint, const crypto::SigningKey& key);

struct Note {  // parsed, nothing of it proven yet
  Checkpoint checkpoint;
  std::string signed_text;
  std::vector<std::string> signature_lines;  // without the dash that each begins with
};
inline constexpr std::uint64_t kNoteBytesMax = 16 << 10;  // room for 100 cosignatures
Result<Note> parse_note(std::string_view text);           // kCorrupt
std::string text_of(const Note& note);                    // as it was parsed

struct NoteSignature {
  std::string_view name;  // into the line given
  KeyId key_id{};
  Bytes signature;  // of any length
};
// One of Note::signature_lines. Nothing if it is no signature of any kind.
std::optional<NoteSignature> parse_signature_line(std::string_view line);
std::string format_signature_line(std::string_view name, const KeyId& id, ByteView signature);

// Whether one of the signatures is of this key and holds. One that claims to be and does not is
// false, whatever the others say.
bool signed_by(const Note& note, const VerifierKey& key);

inline constexpr std::string_view kCheckpointFile = "checkpoint";
// Replaces <ledger>/checkpoint.
Status replace_checkpoint(os::FileSystem& fs, const std::string& directory, std::string_view note);
Status write_checkpoint(os::FileSystem& fs, const std::string& directory,
                        const Checkpoint& checkpoint, const crypto::SigningKey& key);
Result<Note> read_checkpoint(os::FileSystem& fs, const std::string& directory);

}  // namespace aioss::ledger
