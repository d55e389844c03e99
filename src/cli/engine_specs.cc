// `aioss engine …`: see docs/engines.md.
#include "cli/command_specs.h"

namespace aioss::cli {
namespace {

CommandSpec list() {
  return {"engine list",
          "list the engines that models can be computed with",
          "Those in the binary, and those of the engine directory with what becomes of them: an "
          "engine that is not trusted, not as it was installed, or of another ABI is left out with "
          "the reason.",
          {},
          {kJson},
          kForEngines,
          {"aioss engine list", "aioss engine list --json | jq -r '.[].name'"}};
}

CommandSpec inspect() {
  return {"engine inspect",
          "show what an engine is",
          "Name, version, ABI, profiles and devices, as it says them. It is opened in a confined "
          "process: a damaged or hostile one cannot do harm.",
          {{"ENGINE", "A plugin (.so), or a name from 'aioss engine list'."}},
          {kJson},
          kForEngineFiles,
          {"aioss engine inspect ./minimal.so", "aioss engine inspect ik --json"}};
}

CommandSpec check() {
  return {
      "engine check",
      "put an engine through the conformance suite",
      "Everything that aioss/engine.h promises, on a model of yours, in a confined process: "
      "sizes and arguments, cutting and copying, saved states, and whether the same tokens give "
      "the same bits in any company, as its profiles say. Exit code 1 if a promise is broken.",
      {{"ENGINE", "A plugin (.so), or a name from 'aioss engine list'."}},
      {{"--model", "", "MODEL", "A .gguf file, or a name from 'aioss models'."},
       {"--device", "", "NAME", "A GPU of 'aioss devices' to compute on, instead of the CPU."},
       {"--quick", "", "", "Short prompts only: seconds instead of minutes."},
       kJson},
      kForEngineFiles | kForModels,
      {"aioss engine check ./minimal.so --model ./smol.gguf --quick",
       "aioss engine check ik --model smol"}};
}

CommandSpec add() {
  return {
      "engine add",
      "install an engine",
      "A confined process asks the plugin who it is and whether it speaks this ABI. Then it is "
      "copied into the engine directory under its name, with a manifest, whole or not at all. "
      "FILE.note beside it, as 'aioss engine sign' writes it, is taken too; where 'engines_key' "
      "or 'engines_allow' is set, nothing of the plugin runs before they allow it. A name that "
      "aioss has in itself is refused. A server has it from its next start or rescan on.",
      {{"FILE", "A plugin (.so)."}},
      {{"--force", "", "", "Replace an engine of that name."}, kJson},
      kForEngines,
      {"aioss engine add ./minimal.so",
       "aioss engine add /mnt/usb/minimal.so --engines-key @publisher.vkey"}};
}

CommandSpec remove() {
  return {"engine remove",
          "remove an installed engine",
          "A server that runs goes on with it until its next start or rescan.",
          {{"NAME", "A name from 'aioss engine list'."}},
          {kJson},
          kForEngines,
          {"aioss engine remove minimal"}};
}

CommandSpec sign() {
  return {"engine sign",
          "sign an engine's file for others",
          "Writes FILE.note beside it and prints the public key (vkey) that others give as "
          "'engines_key'.",
          {{"FILE", "A plugin (.so)."}},
          {{"--sign", "", "KEYFILE", "Sign with this Ed25519 key; KEYFILE.vkey names it."},
           {"--new-key", "", "NAME", "Make that key first, to sign under this name."},
           kJson},
          0,
          {"aioss engine sign ./minimal.so --sign publisher.key --new-key engines.example/releases",
           "aioss engine sign ./minimal.so --sign publisher.key"}};
}

}  // namespace

std::vector<CommandSpec> engine_specs() {
  return {list(), inspect(), check(), add(), remove(), sign()};
}

}  // namespace aioss::cli
