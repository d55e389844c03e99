#include "ledger/format/checkpoint.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "codec/base64.h"
#include "codec/hex.h"
#include "crypto/hash.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kSignatureStart = "\xE2\x80\x94 ";  // em dash, space

Bytes typed_key(const NoteKey& key) {
  Bytes bytes{static_cast<std::uint8_t>(key.type)};
  bytes.insert(bytes.end(), key.public_key.begin(), key.public_key.end());
  return bytes;
}

std::string signed_text_of(const Checkpoint& checkpoint) {
  return checkpoint.origin + '\n' + std::to_string(checkpoint.size) + '\n' +
         codec::to_base64(checkpoint.root) + '\n';
}

Error malformed(std::string_view what) {
  return {Code::kCorrupt, "checkpoint: " + std::string(what)};
}

Error bad_key(KeyType type, std::string_view what) {
  const bool ledger = type == KeyType::kLedger;
  return {Code::kUsage, std::string(ledger ? "the verifier key " : "the witness's key ") +
                            std::string(what) + "; give the whole line that `aioss " +
                            (ledger ? "ledger" : "witness") + " init` printed"};
}

NoteKey note_key(const VerifierKey& key) {
  return {KeyType::kLedger, key.name, key.public_key};
}

// The line up to a line feed, taken off the text; nothing if there is no line feed.
std::optional<std::string_view> take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

// The decimal form has no leading zeros: one number, one text.
std::optional<std::uint64_t> parse_size(std::string_view text) {
  if (text.size() > 1 && text.front() == '0') return std::nullopt;
  return parse_u64(text);
}

}  // namespace

Status check_origin(std::string_view origin) {
  const bool printable = std::all_of(origin.begin(), origin.end(),
                                     [](char c) { return c > ' ' && c < 0x7F && c != '+'; });
  if (origin.empty() || origin.size() > kOriginBytesMax || !printable) {
    return Error{Code::kUsage,
                 "a ledger's name is 1 to 255 printable ASCII characters without spaces or '+', "
                 "for example bank.example/ward-3"};
  }
  return ok();
}

KeyId key_id(const NoteKey& key) {
  Bytes bytes(key.name.begin(), key.name.end());
  bytes.push_back('\n');
  const Bytes typed = typed_key(key);
  bytes.insert(bytes.end(), typed.begin(), typed.end());
  const Digest digest = crypto::sha256(bytes);
  return {digest[0], digest[1], digest[2], digest[3]};
}

std::string format_note_key(const NoteKey& key) {
  return key.name + '+' + codec::to_hex(key_id(key)) + '+' + codec::to_base64(typed_key(key));
}

Result<NoteKey> parse_note_key(std::string_view text, KeyType type) {
  text = trim(text);
  const std::size_t first = text.find('+');
  // The base64 may hold '+' itself, a name and an id never do.
  const std::size_t second = first == std::string_view::npos ? first : text.find('+', first + 1);
  if (second == std::string_view::npos) return bad_key(type, "is not name+id+key");
  NoteKey key{type, std::string(text.substr(0, first)), {}};
  if (!check_origin(key.name)) return bad_key(type, "has no usable name");
  const auto bytes = codec::from_base64(text.substr(second + 1));
  if (!bytes || bytes->size() != 1 + key.public_key.size()) {
    return bad_key(type, "is damaged or cut off");
  }
  if (bytes->front() != static_cast<std::uint8_t>(type)) {
    return bad_key(type, type == KeyType::kLedger ? "is not an Ed25519 key of a ledger"
                                                  : "is not an Ed25519 key of a witness");
  }
  std::copy(bytes->begin() + 1, bytes->end(), key.public_key.begin());
  if (text.substr(first + 1, second - first - 1) != codec::to_hex(key_id(key))) {
    return bad_key(type, "does not match its own id: a character of it is wrong");
  }
  return key;
}

KeyId key_id(const VerifierKey& key) {
  return key_id(note_key(key));
}

std::string format_verifier_key(const VerifierKey& key) {
  return format_note_key(note_key(key));
}

Result<VerifierKey> parse_verifier_key(std::string_view text) {
  AIOSS_TRY(NoteKey key, parse_note_key(text, KeyType::kLedger));
  return VerifierKey{std::move(key.name), key.public_key};
}

Result<std::string> sign_checkpoint(const Checkpoint& checkpoint, const crypto::SigningKey& key) {
  std::string text = signed_text_of(checkpoint);
  AIOSS_TRY(const crypto::Signature signature, key.sign(as_bytes(text)));
  const KeyId id = key_id(VerifierKey{checkpoint.origin, key.public_key()});
  text.push_back('\n');
  text.append(kSignatureStart).append(format_signature_line(checkpoint.origin, id, signature));
  text.push_back('\n');
  return text;
}

Result<Note> parse_note(std::string_view text) {
  if (text.size() > kNoteBytesMax) return malformed("is longer than any that is written");
  Note note;
  const std::size_t blank = text.find("\n\n");
  if (blank == std::string_view::npos) return malformed("has no signatures");
  std::string_view body = text.substr(0, blank + 1);
  note.signed_text = std::string(body);
  const auto origin = take_line(body);
  const auto size = take_line(body);
  const auto root = take_line(body);
  if (!origin || !size || !root) return malformed("has fewer than three lines");
  if (!body.empty()) return malformed("has extension lines, which this format does not use");
  if (!check_origin(*origin)) return malformed("has no usable origin");
  note.checkpoint.origin = std::string(*origin);
  const auto count = parse_size(*size);
  if (!count) return malformed("its size is not a decimal number");
  note.checkpoint.size = *count;
  const auto digest = codec::from_base64(*root);
  if (!digest || digest->size() != note.checkpoint.root.size()) {
    return malformed("its root is not 32 bytes in base64");
  }
  std::copy(digest->begin(), digest->end(), note.checkpoint.root.begin());
  std::string_view signatures = text.substr(blank + 2);
  while (!signatures.empty()) {
    const auto line = take_line(signatures);
    if (!line || !line->starts_with(kSignatureStart)) {
      return malformed("a signature line is damaged");
    }
    note.signature_lines.emplace_back(line->substr(kSignatureStart.size()));
  }
  if (note.signature_lines.empty()) return malformed("has no signatures");
  return note;
}

std::string text_of(const Note& note) {
  std::string text = note.signed_text + '\n';
  for (const std::string& line : note.signature_lines) {
    text.append(kSignatureStart).append(line).push_back('\n');
  }
  return text;
}

std::optional<NoteSignature> parse_signature_line(std::string_view line) {
  NoteSignature out;
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  out.name = line.substr(0, space);
  auto bytes = codec::from_base64(line.substr(space + 1));
  if (!bytes || bytes->size() < out.key_id.size()) return std::nullopt;
  std::copy_n(bytes->begin(), out.key_id.size(), out.key_id.begin());
  out.signature.assign(bytes->begin() + out.key_id.size(), bytes->end());
  return out;
}

std::string format_signature_line(std::string_view name, const KeyId& id, ByteView signature) {
  Bytes signed_id(id.begin(), id.end());
  signed_id.insert(signed_id.end(), signature.begin(), signature.end());
  return std::string(name) + ' ' + codec::to_base64(signed_id);
}

bool signed_by(const Note& note, const VerifierKey& key) {
  const KeyId id = key_id(key);
  bool found = false;
  for (const std::string& line : note.signature_lines) {
    if (line.substr(0, line.find(' ')) != key.name) continue;
    const auto given = parse_signature_line(line);
    if (!given) return false;
    if (given->key_id != id) continue;  // another key of that name
    crypto::Signature signature;
    if (given->signature.size() != signature.size()) return false;
    std::copy(given->signature.begin(), given->signature.end(), signature.begin());
    if (!crypto::verify(key.public_key, as_bytes(note.signed_text), signature)) return false;
    found = true;
  }
  return found;
}

Status replace_checkpoint(os::FileSystem& fs, const std::string& directory, std::string_view note) {
  return os::replace_file(fs, directory + '/' + std::string(kCheckpointFile), as_bytes(note));
}

Status write_checkpoint(os::FileSystem& fs, const std::string& directory,
                        const Checkpoint& checkpoint, const crypto::SigningKey& key) {
  AIOSS_TRY(const std::string note, sign_checkpoint(checkpoint, key));
  return replace_checkpoint(fs, directory, note);
}

Result<Note> read_checkpoint(os::FileSystem& fs, const std::string& directory) {
  AIOSS_TRY(const Bytes bytes,
            os::read_file(fs, directory + '/' + std::string(kCheckpointFile), kNoteBytesMax));
  return parse_note(as_text(bytes));
}

}  // namespace aioss::ledger
