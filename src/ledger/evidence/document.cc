#include "ledger/evidence/document.h"

#include <array>

#include "ledger/evidence/json_fields.h"

namespace aioss::ledger {
namespace {

// The key before the first rotation, where no key was given.
Result<crypto::PublicKey> key_before(std::span<const Bytes> rotations) {
  const ParsedFrame parsed = parse_frame(rotations.front());
  if (parsed.form != Form::kGood) return Error{Code::kCorrupt, "a KEY_ROTATE of it is damaged"};
  AIOSS_TRY(const codec::Map body, codec::decode_map(parsed.frame.body));
  AIOSS_TRY(const Rotation rotation, parse_rotation(parsed.frame.index, body));
  return rotation.old_key;
}

Result<DocumentKind> kind_of(std::string_view text) {
  AIOSS_TRY(const codec::Json object, parse_document(text));
  AIOSS_TRY(const std::string format, text_member(object, "format"));
  if (format == kReceiptFormat) return DocumentKind::kReceipt;
  if (format == kForkProofFormat) return DocumentKind::kForkProof;
  return Error{Code::kUnsupported,
               "the document is of a format that this program does not know; verify it with a "
               "newer aioss"};
}

}  // namespace

Result<Document> read_document(os::FileSystem& fs, const std::string& path) {
  AIOSS_TRY(const auto file, fs.open(path, os::OpenMode::kRead));
  std::array<std::uint8_t, kManifestFile.size()> first;
  AIOSS_TRY(const std::size_t got, file->read_at(0, first));
  Document document;
  if (as_text(ByteView(first).first(got)) == kManifestFile) {
    document.kind = DocumentKind::kBundle;
    return document;
  }
  if (got == 0 || first[0] != '{') {
    return Error{Code::kUsage,
                 "this is neither a ledger's folder nor an export bundle, a receipt or a fork "
                 "proof"};
  }
  auto bytes = os::read_file(fs, path, kDocumentBytesMax);
  if (!bytes && bytes.error().code == Code::kTooLarge) {
    return Error{Code::kCorrupt, "the document is longer than any that aioss writes"};
  }
  if (!bytes) return std::move(bytes).error();
  document.text = std::string(as_text(*bytes));
  AIOSS_TRY(document.kind, kind_of(document.text));
  return document;
}

bool has_common_keys(const codec::Map& body) {
  const auto wall = body.get_int(key::kWallNs, "time");
  const auto instance = body.get_bytes(key::kInstanceId, "instance");
  return wall && *wall >= 0 && body.get_uint(key::kMonotonicNs, "time") && instance &&
         instance->size() == sizeof(LedgerId);
}

Verdict verdict_of(const Error& error) {
  switch (error.code) {
    case Code::kCorrupt:
      return Verdict::kTampered;
    case Code::kUnsupported:
      return Verdict::kUnknown;
    case Code::kConflict:
      return Verdict::kFork;
    default:
      return Verdict::kUsage;
  }
}

void conclude(const Error& error, DocumentReport& report) {
  report.verdict = verdict_of(error);
  report.finding = error.message;
}

Result<DocumentKeys> DocumentKeys::follow(const std::optional<VerifierKey>& given,
                                          const std::string& origin, const LedgerId& ledger_id,
                                          std::span<const Bytes> rotations) {
  DocumentKeys keys;
  keys.origin_ = origin;
  keys.trusted_ = given.has_value();
  if (given && given->name != origin) {
    return Error{Code::kCorrupt, "it is of the ledger " + origin + ", not of the given key's"};
  }
  if (!given && rotations.empty()) return keys;
  crypto::PublicKey key{};
  if (given) {
    key = given->public_key;
  } else {
    AIOSS_TRY(key, key_before(rotations));
  }
  const std::vector<ByteView> frames(rotations.begin(), rotations.end());
  auto epochs = KeyEpochs::of_frames(ledger_id, frames, key);
  if (!epochs) return Error{Code::kCorrupt, epochs.error().message};
  keys.epochs_ = std::move(*epochs);
  return keys;
}

Status DocumentKeys::check(const Note& note) const {
  const Checkpoint& checkpoint = note.checkpoint;
  if (checkpoint.origin != origin_) {
    return Error{Code::kCorrupt, "its checkpoint is of another ledger"};
  }
  if (epochs_.empty()) return ok();
  if (!signed_by(note, {origin_, epochs_.in_force(checkpoint.size)})) {
    return Error{Code::kCorrupt, "its checkpoint is not signed by the key of the ledger"};
  }
  return ok();
}

std::optional<crypto::PublicKey> DocumentKeys::first_key() const {
  if (epochs_.empty()) return std::nullopt;
  return epochs_.list().front().public_key;
}

Status DocumentKeys::check_any_epoch(const Note& note) const {
  if (note.checkpoint.origin != origin_) {
    return Error{Code::kCorrupt, "its checkpoint is of another ledger"};
  }
  if (epochs_.empty() || signer_of(note, origin_, epochs_)) return ok();
  return Error{Code::kCorrupt, "its checkpoint is not signed by a key of the ledger"};
}

}  // namespace aioss::ledger
