#include "cli/bundle_note.h"

#include <algorithm>

#include "base/strings.h"
#include "codec/hex.h"
#include "crypto/hash.h"

namespace aioss::cli {
namespace {

constexpr std::string_view kSignatureStart = "\xE2\x80\x94 ";  // em dash, space

std::string text_for(const Signed& what) {
  return std::string(what.kind) + '\n' + codec::to_hex(what.sha256) + '\n';
}

Error damaged(std::string_view what) {
  return {Code::kCorrupt, "the note " + std::string(what)};
}

enum class Finding { kAbsent, kHolds, kWrong };

// What one line says of this key. `names`: whose signatures there are.
Finding judge(std::string_view line, std::string_view text, const ledger::VerifierKey& key,
              std::string& names) {
  const auto given = ledger::parse_signature_line(line);
  if (!given || !ledger::check_origin(given->name)) return Finding::kWrong;
  names +=
      (names.empty() ? "" : ", ") + std::string(given->name) + '+' + codec::to_hex(given->key_id);
  if (given->name != key.name || given->key_id != ledger::key_id(key)) return Finding::kAbsent;
  crypto::Signature signature;
  if (given->signature.size() != signature.size()) return Finding::kWrong;
  std::copy(given->signature.begin(), given->signature.end(), signature.begin());
  return crypto::verify(key.public_key, as_bytes(text), signature) ? Finding::kHolds
                                                                   : Finding::kWrong;
}

Status check_signatures(std::string_view signatures, std::string_view text,
                        const ledger::VerifierKey& key) {
  bool found = false;
  std::string names;
  while (!signatures.empty()) {
    const std::size_t end = signatures.find('\n');
    std::string_view line = signatures.substr(0, end);
    if (end == std::string_view::npos || !line.starts_with(kSignatureStart)) {
      return damaged("has a damaged signature line");
    }
    signatures.remove_prefix(end + 1);
    line.remove_prefix(kSignatureStart.size());
    const Finding finding = judge(line, text, key, names);
    if (finding == Finding::kWrong) {
      return Error{Code::kForbidden,
                   "a signature does not hold: the note was changed, or "
                   "is not by " +
                       key.name};
    }
    found = found || finding == Finding::kHolds;
  }
  if (found) return ok();
  return Error{Code::kForbidden, "it is not signed by " + key.name + '+' +
                                     codec::to_hex(ledger::key_id(key)) +
                                     (names.empty() ? "" : ", but by " + names)};
}

}  // namespace

Result<std::string> sign_note(const Signed& what, std::string_view name,
                              const crypto::SigningKey& key) {
  AIOSS_CHECK(ledger::check_origin(name));
  std::string note = text_for(what);
  AIOSS_TRY(const crypto::Signature signature, key.sign(as_bytes(note)));
  const ledger::KeyId id = ledger::key_id(ledger::VerifierKey{std::string(name), key.public_key()});
  note.append("\n").append(kSignatureStart);
  note.append(ledger::format_signature_line(name, id, signature)).append("\n");
  return note;
}

Status check_note(const Signed& what, std::string_view note, const ledger::VerifierKey& key) {
  if (note.size() > kBundleNoteBytesMax) return damaged("is longer than any that is written");
  const std::size_t blank = note.find("\n\n");
  if (blank == std::string_view::npos) return damaged("has no signatures");
  const std::string_view text = note.substr(0, blank + 1);
  if (!text.starts_with(std::string(what.kind) + '\n')) {
    return damaged("is not of " + std::string(what.kind));
  }
  // First whose word it is, then what it says.
  AIOSS_CHECK(check_signatures(note.substr(blank + 2), text, key));
  if (text == text_for(what)) return ok();
  return Error{Code::kCorrupt, std::string(what.noun) + " is not the one that " + key.name +
                                   " has signed: it was changed since"};
}

namespace {

Signed signed_list(ByteView list) {
  return {"aioss/models/v1", "the list", crypto::sha256(list)};
}

}  // namespace

Result<std::string> sign_bundle(ByteView list, std::string_view name,
                                const crypto::SigningKey& key) {
  return sign_note(signed_list(list), name, key);
}

Status check_bundle(ByteView list, std::string_view note, const ledger::VerifierKey& key) {
  return check_note(signed_list(list), note, key);
}

Signed signed_engine(const Digest& sha256) {
  return {"aioss/engine/v1", "the engine's file", sha256};
}

}  // namespace aioss::cli
