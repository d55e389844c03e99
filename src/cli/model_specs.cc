#include "cli/command_specs.h"

namespace aioss::cli {
namespace {

constexpr std::string_view kRecorded =
    " Recorded in the ledger, with who ordered it. For operators: over the server's Unix socket if "
    "--unix names it, else over TCP.";

CommandSpec ps() {
  return {"ps",
          "list the models that a running server has loaded",
          "State, memory, sequences, since when each is idle, when it goes, and which are pinned; "
          "also those that failed when they were last loaded, and why. Asks GET /admin/queue, "
          "which operators and auditors may.",
          {},
          {kApiKey, {"--json", "", "", "Print JSON, for scripts."}},
          kForTop,
          {"aioss ps", "aioss ps --unix /run/aioss.sock",
           "aioss ps --json | jq -r '.models[] | select(.state == \"ready\").name'"}};
}

std::string with_record(std::string_view text) {
  return std::string(text) + std::string(kRecorded);
}

CommandSpec load() {
  static const std::string kDetails = with_record(
      "Waits until the model is ready, with a bar of how far it is on a terminal. Ctrl-C ends the "
      "waiting, not the load. A model that could not be loaded a moment ago is tried again at "
      "once.");
  return {"load",
          "load a model of a running server now",
          kDetails,
          {{"MODEL", "A name from 'aioss models'."}},
          {kNoWait, kApiKey},
          kForTop,
          {"aioss load SmolLM2-135M-Instruct", "aioss load qwen --no-wait && aioss ps"}};
}

CommandSpec unload() {
  static const std::string kDetails = with_record(
      "The model goes once it is idle: what runs or waits is answered first, and what comes "
      "meanwhile, too. With --force at once: its answers end with an error that says why. Waits "
      "until it is gone; Ctrl-C ends the waiting, not the order.");
  return {"unload",
          "unload a model of a running server",
          kDetails,
          {{"MODEL", "A name from 'aioss ps'."}},
          {{"--force", "", "", "End its answers, and take its pin away."}, kNoWait, kApiKey},
          kForTop,
          {"aioss unload SmolLM2-135M-Instruct", "aioss unload qwen --force"}};
}

CommandSpec pin() {
  static const std::string kDetails = with_record(
      "A pinned model, once it is loaded, never makes room for another and never expires, until "
      "the server ends; the setting 'pin' is for good. It does not load it.");
  return {"pin",
          "keep a model of a running server loaded",
          kDetails,
          {{"MODEL", "A name from 'aioss models'."}},
          {{"--off", "", "", "Take the pin away."}, kApiKey},
          kForTop,
          {"aioss pin SmolLM2-135M-Instruct", "aioss pin qwen --off"}};
}

}  // namespace

std::vector<CommandSpec> model_specs() {
  return {ps(), load(), unload(), pin()};
}

}  // namespace aioss::cli
