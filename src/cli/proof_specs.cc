// Specs of the commands around proofs: `aioss ledger status|prove|export`.
#include "cli/command_specs.h"

namespace aioss::cli {
namespace {

CommandSpec status() {
  return {"ledger status",
          "show size, head, newest checkpoint and what is not anchored yet",
          "Reads the whole ledger, also one that is in use. What the newest anchor covers cannot "
          "be changed unseen even by whoever has the ledger's key; the records after it can.",
          {{"DIR", "Folder of the ledger; default: the setting 'ledger'.", false}},
          {kJson},
          kForLedger,
          {"aioss ledger status", "aioss ledger status /var/lib/aioss/ledger --json | jq .window"}};
}

CommandSpec prove() {
  return {
      "ledger prove",
      "prove that records are in the ledger, or that it only grew",
      "inclusion: record FIRST is in the ledger. consistency: the ledger of SECOND records "
      "begins with that of FIRST records. range: the records from FIRST on, before SECOND, "
      "are in it without a gap. The proof is made at the size of the newest checkpoint, "
      "which is printed with it, unless --size names another. Tree and proofs are those of "
      "RFC 9162 with SHA3-256.",
      {{"KIND", "inclusion, consistency or range."},
       {"FIRST", "Number of a record, or a size."},
       {"SECOND", "The larger size, or the record after the last; not for inclusion.", false}},
      {{"--size", "", "N", "Size of the ledger to prove for; default: the checkpoint's."}, kJson},
      kForLedger,
      {"aioss ledger prove inclusion 1742 --json",
       "aioss ledger prove consistency 1000 2000 --ledger /var/lib/aioss/ledger",
       "aioss ledger prove range 100 200 --json > range.json"}};
}

CommandSpec export_bundle() {
  return {"ledger export",
          "write records with their proofs into one file that verifies alone",
          "The file, a tar archive, has the records as the ledger has them and as JSON lines and "
          "CSV, the signed checkpoint, the proofs, the chain of keys and what witnesses cosigned. "
          "'aioss verify FILE --key VKEY' needs nothing else. Works on a ledger in use; what the "
          "newest checkpoint does not cover yet is left out. The texts of prompts and answers "
          "are not in it.",
          {{"FILE", "The bundle to write, such as evidence.aioss; must not exist."},
           {"DIR", "Folder of the ledger; default: the setting 'ledger'.", false}},
          {{"--first", "", "N", "First record; default 0."},
           {"--after", "", "N", "Record after the last; default: all that the checkpoint covers."},
           kJson},
          kForLedger,
          {"aioss ledger export evidence.aioss",
           "aioss ledger export week.aioss /var/lib/aioss/ledger --first 1000 --after 2000",
           "tar -xOf evidence.aioss records.csv"}};
}

}  // namespace

std::vector<CommandSpec> proof_specs() {
  return {status(), prove(), export_bundle()};
}

}  // namespace aioss::cli
