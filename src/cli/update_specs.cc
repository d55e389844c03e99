// What `aioss update apply` and `rollback` say of themselves.
#include "cli/command_specs.h"

namespace aioss::cli {
namespace {

CommandSpec apply() {
  return {"update apply",
          "install engines from a folder, into a running server, too",
          "Takes every engine (.so) of the folder whose FILE.note is signed by the publisher of "
          "'engines_key', all or none, without network. What was installed before is kept. A "
          "server that runs reads the engine directory again, and its models move to the new "
          "files as at 'aioss engine switch'; if one of them fails its canary or crashes in it, "
          "the update is taken back, there and in the directory, and the exit code is 1. If it "
          "crashes twice within ten minutes thereafter, the server goes back by itself, and 'aioss "
          "update rollback' takes the file back for its next start. A server that refuses, or does "
          "not answer, is found out before anything is touched; if it is lost "
          "later, the files stay, and the error says how to take them back. The server records "
          "each step.",
          {{"BUNDLE", "A folder with engines and their notes."}},
          {{"--unsigned", "", "", "Take engines that nobody has signed."}, kApiKey},
          kForEngines | kForTop,
          {"aioss update apply /mnt/usb/engines --engines-key @publisher.vkey"}};
}

CommandSpec rollback() {
  return {"update rollback",
          "go back to the file of an engine from before its update",
          "As it was kept by 'aioss update apply'. A server that runs is told as there.",
          {{"ENGINE", "A name from 'aioss engine list'."}},
          {kApiKey},
          kForEngines | kForTop,
          {"aioss update rollback minimal"}};
}

}  // namespace

std::vector<CommandSpec> update_specs() {
  return {apply(), rollback()};
}

}  // namespace aioss::cli
