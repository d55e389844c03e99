// `aioss models …`: see docs/models.md.
#include "cli/command_specs.h"

namespace aioss::cli {
namespace {

CommandSpec list() {
  return {"models",
          "list the models of the catalogue",
          "",
          {},
          {kJson},
          kForModels,
          {"aioss models", "aioss models --models-dir /srv/models --json"}};
}

CommandSpec add() {
  return {
      "models add",
      "put a model file into the models folder",
      "The file is read by a confined process first: what is no GGUF file is refused. It appears "
      "under its name at once and whole, or not at all; a running server takes it up by itself. "
      "Of a split model, name the first part: all parts are taken.",
      {{"FILE", "A .gguf file, or with --from-bundle a list of files."}},
      {{"--name", "", "NAME", "Name of the model; default: the file's."},
       {"--copy", "", "", "Copy the file (default)."},
       {"--move", "", "", "Move the file: its old name is gone."},
       {"--link", "", "", "Link to the file where it is."},
       {"--from-bundle", "", "",
        "FILE is a list as 'sha256sum' writes it, signed by --models-key, and the files lie "
        "beside it: each is taken if its SHA-256 is the listed one."},
       {"--unsigned", "", "", "Take a bundle whoever made it."},
       {"--force", "", "", "Replace a model of that name."},
       kJson},
      kForModels | kForBundles,
      {"aioss models add ~/Downloads/SmolLM2-135M-Instruct.Q4_1.gguf --name smol",
       "aioss models add /mnt/usb/big-00001-of-00003.gguf",
       "aioss models add --from-bundle /mnt/usb/SHA256SUMS --models-key @publisher.vkey"}};
}

CommandSpec bundle() {
  return {"models bundle",
          "list and sign the model files of a folder",
          "Writes DIR/SHA256SUMS, as 'sha256sum' does, over every .gguf file in DIR and, signed, "
          "DIR/SHA256SUMS.note beside it. Prints the public key (vkey) that others check it with.",
          {{"DIR", "Folder of the model files."}},
          {{"--sign", "", "KEYFILE", "Sign with this Ed25519 key; KEYFILE.vkey names it."},
           {"--new-key", "", "NAME", "Make that key first, to sign under this name."},
           kJson},
          0,
          {"aioss models bundle /mnt/usb --sign publisher.key --new-key models.example/releases",
           "aioss models bundle /mnt/usb --sign publisher.key"}};
}

CommandSpec rm() {
  return {"models rm",
          "delete a model's files from the models folder",
          "With all its parts and its NAME.toml. Of a link, only the link goes. A running server "
          "ends the model once it is idle.",
          {{"MODEL", "A name from 'aioss models'."}},
          {kJson},
          kForModels,
          {"aioss models rm smol"}};
}

CommandSpec show() {
  return {"models show",
          "show what is known of a model",
          "Its files, what they say of themselves, its settings and aliases, and its SHA-256 if it "
          "is known from a load.",
          {{"MODEL", "A name from 'aioss models', or an alias."}},
          {kJson},
          kForModels,
          {"aioss models show smol", "aioss models show smol --json | jq .quantization"}};
}

CommandSpec verify() {
  return {"models verify",
          "read model files and compare their SHA-256",
          "With the list of 'models_allow', if there is one, and with what was computed when the "
          "same file was read before. Exit code 1 if one differs or is not in the list.",
          {{"MODEL", "A name from 'aioss models', or an alias; default: all.", false}},
          {kJson},
          kForModels,
          {"aioss models verify", "aioss models verify smol --models-allow allowed.sha256"}};
}

}  // namespace

std::vector<CommandSpec> models_specs() {
  return {list(), add(), bundle(), rm(), show(), verify()};
}

}  // namespace aioss::cli
