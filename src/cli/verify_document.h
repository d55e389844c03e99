// The parts of `aioss verify` that are about documents: receipts, bundles, fork proofs, checkpoints
// that somebody kept, and texts that are compared with commitments.
#pragma once

#include <string>
#include <vector>

#include "cli/args.h"
#include "cli/services.h"
#include "ledger/evidence/bundle.h"
#include "ledger/evidence/document.h"
#include "ledger/evidence/receipt.h"

namespace aioss::cli {

// --prompt, --answer and --choice. kUsage, kIo.
Result<std::vector<ledger::Claim>> read_claims(const Services& services,
                                               const Invocation& invocation);
// A checkpoint file, for --since: kUsage if it is none.
Result<ledger::Note> read_kept_note(os::FileSystem& files, const std::string& path);

// Any document but a ledger's folder.
ledger::DocumentReport verify_document(const Services& services, const std::string& path,
                                       const ledger::ReceiptCheck& check,
                                       const ledger::Progress& progress);

// A receipt together with a ledger: what it says for itself, and its checkpoint for the ledger.
struct ReceiptBeside {
  ledger::DocumentReport report;
  std::optional<ledger::Note> note;  // nothing if the receipt itself does not hold
};
ReceiptBeside verify_receipt_beside(os::FileSystem& files, const std::string& path,
                                    const ledger::ReceiptCheck& check);

// Once two of the ledger's signed checkpoints contradict each other: writes the proof to a file
// that does not exist yet. Says on the console what came of it.
void write_fork_proof_file(const Services& services, const Invocation& invocation,
                           const ledger::VerifyOptions& options,
                           const ledger::VerifyReport& report);

}  // namespace aioss::cli
