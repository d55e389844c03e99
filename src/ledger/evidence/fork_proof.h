// A fork proof: two checkpoints signed by the keys of one ledger that no one ledger can have. The
// tree of the second one (the larger, or of the same size) has another root at the size of the
// first than the first one says. Whoever holds it can show, without any ledger at hand, that the
// owner of the keys told two stories. Format: docs/formats/proofs.md. Judging takes untrusted text.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "ledger/evidence/document.h"
#include "ledger/format/checkpoint.h"
#include "ledger/format/proof.h"

namespace aioss::ledger {

struct ForkProof {
  std::string origin;
  std::optional<LedgerId> ledger_id;  // only needed to follow `keys`
  std::vector<Bytes> keys;            // KEY_ROTATE frames
  std::string first, second;          // signed notes
  std::vector<Digest> proof;          // prove_whole_consistency(); none if the sizes are equal
};

std::string write_fork_proof(const ForkProof& proof);       // one line of JSON
Result<ForkProof> parse_fork_proof(std::string_view text);  // kCorrupt, kUnsupported

// kFork if it holds and the key is given, kUnknown if it holds without one, kTampered if it does
// not hold.
DocumentReport judge_fork_proof(const ForkProof& proof, const std::optional<VerifierKey>& key);

// From a ledger in which the root at the larger size is that of its note, and the root at the other
// size is not that of its own (or both sizes are equal and the roots are not). Reads the whole
// ledger once. The proof is judged before it is given: kNotFound if the two notes prove nothing.
Result<ForkProof> make_fork_proof(os::FileSystem& fs, const std::string& directory, const Note& one,
                                  const Note& other);

}  // namespace aioss::ledger
