// `aioss anchor …` and `aioss witness …`: their part of the command table.
#include "cli/command_specs.h"

namespace aioss::cli {
namespace {

constexpr Operand kLedger{"LEDGER", "Folder of the ledger."};
constexpr Operand kWitness{"DIR", "Folder of the witness."};

CommandSpec anchor_export() {
  return {"anchor export",
          "give out a signed checkpoint: for paper, a stick or a witness",
          "Prints the checkpoint over everything recorded so far. With --witness: a request, which "
          "'aioss witness sign' answers with a cosigned checkpoint. That it was given out is a "
          "record (ANCHOR).\n"
          "A ledger in use by a server is asked over HTTP: GET /admin/anchor?witness=NAME.",
          {kLedger},
          {{"--witness", "", "NAME", "Make a request to this witness, from what it has cosigned."},
           {"--old", "", "N", "Records that the witness has cosigned; default: as anchors/ says."},
           {"--output", "-o", "FILE", "Write the text there instead of to standard output."},
           {"--qr", "", "", "Draw a QR code on standard output, too."},
           {"--png", "", "FILE", "Write a QR code there, as a PNG picture."}},
          0,
          {"aioss anchor export /var/lib/aioss/ledger --qr",
           "aioss anchor export /var/lib/aioss/ledger --witness notary.example/w1 -o "
           "/media/usb/request",
           "aioss anchor export /var/lib/aioss/ledger -o checkpoint.txt --png checkpoint.png"}};
}

CommandSpec anchor_import() {
  return {
      "anchor import",
      "take in a checkpoint that a witness cosigned",
      "Checks both signatures and that the checkpoint is of this ledger's history; keeps it in "
      "the ledger's folder anchors/ and records it (ANCHOR). FORK or a longer history than the "
      "ledger's ends with exit code 5, and nothing is written.\n"
      "A ledger in use by a server is asked over HTTP: POST /admin/anchor.",
      {kLedger, {"FILE", "The cosigned checkpoint, as the witness made it."}},
      {{"--witness-key", "", "VKEY", "The witness's public key, or @FILE that holds it."}, kJson},
      0,
      {"aioss anchor import /var/lib/aioss/ledger /media/usb/cosigned --witness-key @w1.vkey"}};
}

CommandSpec anchor_list() {
  return {"anchor list",
          "list the anchors of a ledger, and how much is not anchored yet",
          "",
          {kLedger},
          {kJson},
          0,
          {"aioss anchor list /var/lib/aioss/ledger"}};
}

CommandSpec witness_init() {
  return {
      "witness init",
      "make a witness: a folder that remembers what it has seen of ledgers",
      "For a second machine, or a USB stick that is kept elsewhere. Prints the witness's public "
      "key (vkey); give it to those who check its cosignatures.",
      {kWitness},
      {{"--name", "", "NAME", "Name of the witness, such as 'notary.example/w1'."}, kJson},
      0,
      {"aioss witness init /media/usb/witness --name notary.example/w1"}};
}

CommandSpec witness_trust() {
  return {"witness trust",
          "let a witness cosign for a ledger",
          "",
          {kWitness, {"VKEY", "The ledger's public key, or @FILE that holds it."}},
          {},
          0,
          {"aioss witness trust /media/usb/witness @ledger.vkey"}};
}

CommandSpec witness_sign() {
  return {
      "witness sign",
      "cosign a ledger's checkpoint, if it continues what was cosigned before",
      "Prints the checkpoint with the cosignature, for 'aioss anchor import'. Refused: a ledger "
      "that was not trusted, a wrong signature or proof, an older checkpoint, and another "
      "history (FORK), which is kept as a proof in the witness's folder evidence/.",
      {kWitness, {"REQUEST", "A file, made by 'aioss anchor export --witness'."}},
      {{"--output", "-o", "FILE", "Write the checkpoint there instead of to standard output."},
       {"--ledger", "", "DIR", "Record it in this ledger of the witness's own (ANCHOR)."}},
      0,
      {"aioss witness sign /media/usb/witness request -o cosigned",
       "aioss witness sign ./witness request -o cosigned --ledger /var/lib/aioss/ledger"}};
}

CommandSpec witness_status() {
  return {"witness status",
          "show what a witness has cosigned",
          "",
          {kWitness},
          {kJson},
          0,
          {"aioss witness status /media/usb/witness"}};
}

}  // namespace

std::vector<CommandSpec> anchor_specs() {
  return {anchor_export(), anchor_import(), anchor_list(),   witness_init(),
          witness_trust(), witness_sign(),  witness_status()};
}

}  // namespace aioss::cli
