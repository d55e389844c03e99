// A receipt: the records of one inference, proofs that they are in the ledger, the signed
// checkpoint that the proofs lead to, and, for the caller whose inference it was, the salts with
// which prompt and answers can be shown to be those that the records commit to. Format:
// docs/formats/proofs.md. Pure functions; parsing and judging take untrusted text.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "ledger/evidence/document.h"
#include "ledger/format/checkpoint.h"
#include "ledger/format/format.h"

namespace aioss::ledger {

class History;
struct RequestRecords;

struct ProvenRecord {
  std::uint64_t index = 0;
  Bytes frame;
  std::vector<Digest> proof;  // inclusion at the receipt's size
};

struct Salts {
  std::optional<Digest> prompt, stop;
  std::vector<Digest> outputs;  // by choice; none if there is no answer
};

struct Receipt {
  std::string origin;
  LedgerId ledger_id{};
  std::string request_id;
  std::optional<ProvenRecord> request;  // nothing: refused before it was recorded
  ProvenRecord end;
  bool aborted = false;  // `end` is INFER_ABORT
  std::uint64_t size = 0;
  std::string checkpoint;      // the signed note of that size
  std::vector<Bytes> keys;     // frames of every KEY_ROTATE below `size`
  std::optional<Salts> salts;  // for whose inference it was
};

std::string write_receipt(const Receipt& receipt);     // one line of JSON
Result<Receipt> parse_receipt(std::string_view text);  // kCorrupt, kUnsupported

// The receipt of an inference that has ended, at the size of `checkpoint`, a signed note that
// covers its records; without salts. kNotFound if there is no such request; kConflict if it has no
// end yet. kCorrupt if what is on the disk no longer leads to the root that was signed. Blocks on
// the disk.
struct ReceiptSource {
  const History& history;
  std::string origin;
  // A signed note that covers at least `size` records.
  std::function<Result<std::string>(std::uint64_t size)> checkpoint;
};
Result<Receipt> make_receipt(const ReceiptSource& source, std::string_view request_id);
// The same of what History::find_request() has found.
Result<Receipt> make_receipt(const ReceiptSource& source, std::string_view request_id,
                             RequestRecords found);

// A text that somebody says was the prompt, or the answer of a choice: the forms that it may have
// been committed to in, of which one must fit.
struct Claim {
  enum class Of { kPrompt, kAnswer } of = Of::kPrompt;
  std::uint64_t choice = 0;
  std::vector<Bytes> candidates;
};

struct ReceiptCheck {
  std::optional<VerifierKey> key;
  std::vector<Claim> claims;
};
// `report.verdict` is kOk, or kUnknown without a key, if all of it holds and every claim fits.
DocumentReport judge_receipt(const Receipt& receipt, const ReceiptCheck& check);

}  // namespace aioss::ledger
