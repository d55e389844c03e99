// What is done with a ledger's keys and with its copies.
#include "cli/command_specs.h"

namespace aioss::cli {
namespace {

constexpr Flag kOperatorKey{"--operator-key", "", "KEY",
                            "Who you are: an operator's key, or @FILE that holds it."};
constexpr Flag kRequest{"--request", "", "ID",
                        "With dual control: do what was requested under this ID and approved."};
constexpr Flag kVerifierKey{
    "--key", "", "VKEY",
    "Public key to verify the copy with: the vkey line, or @FILE that holds it."};
constexpr Operand kDirectory{"DIR", "Folder of the ledger; default: the setting 'ledger'.", false};

CommandSpec protect() {
  return {"ledger protect",
          "protect the private keys with a passphrase, or no longer",
          "Writes the signing key, and the vault's if there is one, anew; the old files are "
          "overwritten. The passphrase of now is read from the file that AIOSS_PASSPHRASE_FILE "
          "names, from the systemd credential 'aioss-ledger', or asked for. See docs/keys.md.",
          {kDirectory},
          {{"--protect", "", "HOW", "none or passphrase."},
           {"--new-passphrase-file", "", "FILE",
            "Holds the new passphrase; default: asked for, twice."},
           kOperatorKey},
          kForLedger | kForOperator,
          {"aioss ledger protect /var/lib/aioss/ledger --protect passphrase",
           "aioss ledger protect --protect passphrase --new-passphrase-file next.txt"}};
}

CommandSpec rotate_key() {
  return {
      "ledger rotate-key",
      "put a new signing key in force and destroy the old one",
      "Writes KEY_ROTATE, signed by both keys, and a checkpoint by the new one; then the old "
      "private key is overwritten and removed. Prints the new public key. The earlier ones "
      "verify the ledger as before. The ledger must not be in use.",
      {kDirectory},
      {{"--reason", "", "TEXT", "Why; stands in the record."}, kOperatorKey, kRequest, kJson},
      kForLedger | kForOperator,
      {"aioss ledger rotate-key --reason 'yearly' /var/lib/aioss/ledger",
       "aioss ledger rotate-key --reason 'admin left' --operator-key @alice.key --keys keys.txt",
       "aioss ledger rotate-key --request a_0123456789abcdef --operator-key @alice.key --keys "
       "keys.txt"}};
}

CommandSpec approve() {
  return {"ledger approve",
          "agree to what another operator has requested",
          "For a ledger made with --dual-control. Without an ID: lists what waits. A request is "
          "void after 30 days, and whoever made it cannot approve it.",
          {{"ID", "Of the request: 'a_…'.", false}, kDirectory},
          {kOperatorKey, kJson},
          kForLedger | kForOperator,
          {"aioss ledger approve",
           "aioss ledger approve a_0123456789abcdef --operator-key @bob.key --keys keys.txt"}};
}

CommandSpec backup() {
  return {
      "ledger backup",
      "copy a ledger, also one that is in use, and verify the copy",
      "Takes no lock: a running aioss goes on. Segments, checkpoint, policy, anchors, vault, "
      "sealed texts and whether it is for trials are copied; private keys only with --with-keys. "
      "A copy of the vault's key outlives an erasure: keep it apart, and not for long.",
      {{"LEDGER", "Folder of the ledger."}, {"DEST", "Folder of the copy, absent or empty."}},
      {{"--with-keys", "", "", "Copy the private keys too, if a passphrase protects them."},
       {"--unprotected-keys", "", "", "With --with-keys: also if nothing protects them."},
       kVerifierKey,
       kJson},
      0,
      {"aioss ledger backup /var/lib/aioss/ledger /mnt/backup/2026-11-25 --key @ledger.vkey",
       "aioss ledger backup ./ledger ./copy --with-keys --json"}};
}

CommandSpec restore() {
  return {"ledger restore",
          "make a ledger of a backup",
          "The copy is marked: before it records anything, its first opening writes RECOVERY with "
          "the cause 'restored' and takes a new signing key. So it cannot pass for the original, "
          "which may have gone on.",
          {{"BACKUP", "Folder that 'ledger backup' made."},
           {"DEST", "Folder of the new ledger, absent or empty."}},
          {kVerifierKey, kJson},
          0,
          {"aioss ledger restore /mnt/backup/2026-11-25 /var/lib/aioss/ledger --key @ledger.vkey"}};
}

}  // namespace

std::vector<CommandSpec> custody_specs() {
  return {protect(), rotate_key(), approve(), backup(), restore()};
}

}  // namespace aioss::cli
