// What `aioss engine switch`, `pin` and `rollback` say of themselves.
#include "cli/command_specs.h"

namespace aioss::cli {
namespace {

constexpr std::string_view kHow =
    "The engine is started beside the running one, if there is room for both, and tried with a "
    "canary that compares their answers. Only then new requests go to it, running answers move to "
    "it without losing a token (in profile fast; in the others they end where they are), and the "
    "old one goes. If it fails its canary, the old one stays and the exit code is 1; if it crashes "
    "twice within ten minutes, the old one is taken again.\n"
    "Waits until that is over; Ctrl-C ends the waiting, not the switch. Recorded in the ledger, "
    "with who ordered it. For operators: over the server's Unix socket if --unix names it, else "
    "over TCP.";

std::string with_how(std::string_view text) {
  return std::string(text) + std::string(kHow);
}

CommandSpec engine_switch() {
  static const std::string kDetails = with_how("Until the server ends. ");
  return {
      "engine switch",
      "have a model of a running server computed by another engine",
      kDetails,
      {{"MODEL", "A name from 'aioss models'."}, {"ENGINE", "A name, as 'llama' or 'ik'."}},
      {kNoWait, kApiKey},
      kForTop,
      {"aioss engine switch SmolLM2-135M-Instruct ik", "aioss engine switch qwen llama --no-wait"}};
}

CommandSpec engine_pin() {
  static const std::string kDetails =
      with_how("As a switch, and again after every start of the server, whatever settings say. ");
  return {
      "engine pin",
      "have a model always computed by one engine",
      kDetails,
      {{"MODEL", "A name from 'aioss models'."}, {"ENGINE", "A name, as 'llama' or 'ik'.", false}},
      {{"--off", "", "", "Take the pin away: the next start follows the settings."},
       kNoWait,
       kApiKey},
      kForTop,
      {"aioss engine pin SmolLM2-135M-Instruct ik",
       "aioss engine pin SmolLM2-135M-Instruct --off"}};
}

CommandSpec engine_rollback() {
  static const std::string kDetails =
      with_how("The engine before the last switch since the server's start; a pin goes. ");
  return {"engine rollback",
          "have a model computed by the engine that it had before",
          kDetails,
          {{"MODEL", "A name from 'aioss models'."}},
          {kNoWait, kApiKey},
          kForTop,
          {"aioss engine rollback SmolLM2-135M-Instruct"}};
}

}  // namespace

std::vector<CommandSpec> engine_switch_specs() {
  return {engine_switch(), engine_pin(), engine_rollback()};
}

}  // namespace aioss::cli
