// What receipts, fork proofs and export bundles have in common: how they are told apart, which keys
// may have signed their checkpoints, and what came of judging one. Documents come from anyone, and
// nothing in them is trusted but what the given key, or another key of its chain, has signed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "codec/json.h"
#include "ledger/format/checkpoint.h"
#include "ledger/format/epochs.h"
#include "ledger/reading/verify.h"

namespace aioss::ledger {

enum class DocumentKind { kOther, kBundle, kReceipt, kForkProof };

inline constexpr std::string_view kReceiptFormat = "aioss-receipt/1";
inline constexpr std::string_view kForkProofFormat = "aioss-fork/1";
inline constexpr std::string_view kBundleFormat = "aioss-bundle/1";
inline constexpr std::string_view kManifestFile = "manifest.json";  // the first one of a bundle

struct Document {
  DocumentKind kind = DocumentKind::kOther;
  std::string text;  // whole, unless it is a bundle
};
// kUsage: neither a bundle nor a JSON document. kUnsupported: of a format that this program does
// not know. kCorrupt: no JSON, or too long. kIo, kNotFound: it cannot be read.
Result<Document> read_document(os::FileSystem& fs, const std::string& path);

struct DocumentReport {
  Verdict verdict = Verdict::kUsage;
  std::string finding;  // one sentence
  std::string format, origin;
  codec::OrderedJson facts = codec::OrderedJson::object();  // what was proven, by name: scalars
};
// The rule of every record: that it has the times and the instance that the ledger gives it.
bool has_common_keys(const codec::Map& body);

// What an error of judging a document means: kCorrupt is TAMPERED, kUnsupported UNKNOWN, kConflict
// FORK; the others, which are of the disk and of the command line, USAGE.
Verdict verdict_of(const Error& error);
void conclude(const Error& error, DocumentReport& report);

// The keys that may have signed a document's checkpoints.
class DocumentKeys final {
 public:
  // `rotations` are KEY_ROTATE frames from the document. Without a given key the chain they make is
  // followed from its own beginning, or there is none, and nothing signed can be trusted. kCorrupt:
  // the chain does not hold, the key is not in it, or the origin is not the key's.
  static Result<DocumentKeys> follow(const std::optional<VerifierKey>& given,
                                     const std::string& origin, const LedgerId& ledger_id,
                                     std::span<const Bytes> rotations);
  // kCorrupt unless the note is of the origin and, if any key is known, signed by the one in force.
  Status check(const Note& note) const;
  Status check_any_epoch(const Note& note) const;  // the same, by any key of the chain
  bool trusted() const { return trusted_; }
  // The one before any rotation; nothing if no key is known.
  std::optional<crypto::PublicKey> first_key() const;

 private:
  std::string origin_;
  bool trusted_ = false;
  KeyEpochs epochs_;  // empty: no key is known
};

}  // namespace aioss::ledger
