#include "ledger/evidence/fork_proof.h"

#include <utility>

#include "codec/hex.h"
#include "ledger/evidence/json_fields.h"
#include "ledger/reading/disk_tree.h"

namespace aioss::ledger {
namespace {

Error unproven(std::string_view what) {
  return {Code::kCorrupt, "no fork is proven: " + std::string(what)};
}

Result<ForkProof> fork_proof_of(const codec::Json& object) {
  ForkProof proof;
  AIOSS_TRY(proof.origin, text_member(object, "origin"));
  if (find_member(object, "ledger_id")) {
    proof.ledger_id.emplace();
    AIOSS_CHECK(hex_member(object, "ledger_id", *proof.ledger_id));
  }
  AIOSS_TRY(proof.keys, base64_list(object, "keys", kEpochsMax, true));
  AIOSS_TRY(proof.first, text_member(object, "first"));
  AIOSS_TRY(proof.second, text_member(object, "second"));
  AIOSS_TRY(proof.proof, digest_list(object, "proof"));
  return proof;
}

// The two roots contradict each other.
Status check_contradiction(const Checkpoint& first, const Checkpoint& second,
                           std::span<const Digest> proof) {
  if (first.size == 0 || first.size > second.size) return unproven("its sizes are out of order");
  if (first.size == second.size) {
    if (!proof.empty()) return unproven("it has a proof that two equal sizes do not need");
    if (first.root == second.root) return unproven("both checkpoints say the same");
    return ok();
  }
  const auto roots = roots_of_whole_consistency(first.size, second.size, proof);
  if (!roots || roots->second != second.root) {
    return unproven("its digests do not lead to the root of the second checkpoint");
  }
  if (roots->first == first.root) return unproven("the second checkpoint continues the first");
  return ok();
}

Status judge(const ForkProof& proof, const std::optional<VerifierKey>& key,
             DocumentReport& report) {
  AIOSS_TRY(const Note first, parse_note(proof.first));
  AIOSS_TRY(const Note second, parse_note(proof.second));
  report.facts["first_size"] = first.checkpoint.size;
  report.facts["second_size"] = second.checkpoint.size;
  if (!proof.keys.empty() && !proof.ledger_id) return unproven("it lacks the ledger's id");
  AIOSS_TRY(
      const DocumentKeys keys,
      DocumentKeys::follow(key, proof.origin, proof.ledger_id.value_or(LedgerId{}), proof.keys));
  // Of any epoch: a history that is not this one may have changed its key elsewhere, or not at all.
  AIOSS_CHECK(keys.check_any_epoch(first));
  AIOSS_CHECK(keys.check_any_epoch(second));
  return check_contradiction(first.checkpoint, second.checkpoint, proof.proof);
}

}  // namespace

std::string write_fork_proof(const ForkProof& proof) {
  codec::OrderedJson out;
  out["format"] = kForkProofFormat;
  out["origin"] = proof.origin;
  if (proof.ledger_id) out["ledger_id"] = codec::to_hex(*proof.ledger_id);
  if (!proof.keys.empty()) out["keys"] = base64_json(proof.keys);
  out["first"] = proof.first;
  out["second"] = proof.second;
  out["proof"] = digests_json(proof.proof);
  return codec::dump_json(out) + "\n";
}

Result<ForkProof> parse_fork_proof(std::string_view text) {
  AIOSS_TRY(const codec::Json object, parse_document(text));
  AIOSS_TRY(const std::string format, text_member(object, "format"));
  if (format != kForkProofFormat) {
    return Error{Code::kUnsupported, "this is not a fork proof that this program knows"};
  }
  return fork_proof_of(object);
}

DocumentReport judge_fork_proof(const ForkProof& proof, const std::optional<VerifierKey>& key) {
  DocumentReport report;
  report.format = kForkProofFormat;
  report.origin = proof.origin;
  if (const Status held = judge(proof, key, report); !held) {
    conclude(held.error(), report);
    return report;
  }
  report.verdict = key ? Verdict::kFork : Verdict::kUnknown;
  report.finding = key ? "fork proven: the ledger's keys have signed two histories that exclude "
                         "each other"
                       : "the two checkpoints exclude each other; without --key nobody knows who "
                         "signed them";
  return report;
}

Result<ForkProof> make_fork_proof(os::FileSystem& fs, const std::string& directory, const Note& one,
                                  const Note& other) {
  const bool in_order = one.checkpoint.size <= other.checkpoint.size;
  const Checkpoint& first = (in_order ? one : other).checkpoint;
  const Checkpoint& second = (in_order ? other : one).checkpoint;
  ForkProof fork;
  fork.origin = second.origin;
  fork.first = text_of(in_order ? one : other);
  fork.second = text_of(in_order ? other : one);
  const auto plan = [&](SubtreeSource& tree) -> Status {
    AIOSS_TRY(fork.proof, prove_whole_consistency(tree, first.size, second.size));
    return ok();
  };
  AIOSS_TRY(const DiskFacts facts, prove_on_disk(fs, directory, second.size, plan));
  fork.ledger_id = facts.ledger_id;
  fork.keys = facts.rotations;
  // By the key of GENESIS: what it is worth is for whoever holds the given key to say.
  const DocumentReport report = judge_fork_proof(fork, VerifierKey{facts.origin, facts.public_key});
  if (report.verdict == Verdict::kFork) return fork;
  return Error{Code::kNotFound, report.finding};
}

}  // namespace aioss::ledger
