// Every command of `aioss`: its operands, flags, help and examples. The settings that a command
// also takes as flags are in config.cc.
#include "cli/args.h"
#include "cli/command_specs.h"

namespace aioss::cli {
namespace {

constexpr Flag kJson{"--json", "", "", "Print JSON, for scripts."};

CommandSpec serve() {
  return {
      "serve",
      "answer requests over HTTP, as OpenAI's API has it",
      "Prints one line, 'aioss listening on http://ADDRESS:PORT', to standard output once it "
      "answers requests; the rest goes to standard error. SIGINT or SIGTERM: answers under way get "
      "10 s to end, the ledger is signed, exit code 0, or 1 if something had to be left behind; a "
      "second signal stops at once. SIGHUP: reads the models folder again; a changed key file is "
      "noticed within a second.",
      {},
      {
          {"--print-config", "", "",
           "Print every setting, its value and where it came from; exit."},
          {"--json", "", "", "With --print-config: print JSON."},
          {"--fake-models", "", "", "Also serve scripts of the test engine.", false, true},
      },
      kForServe,
      {
          "aioss serve --models-dir ~/models",
          "aioss serve --port 0 --profile reproducible --parallel 8 --ctx 4096",
          "aioss serve --host 0.0.0.0 --keys keys.txt",
          "AIOSS_PORT=9000 aioss serve --print-config",
          "curl http://127.0.0.1:8484/v1/models",
      }};
}

CommandSpec run_spec() {
  return {
      "run",
      "ask a model once, or chat with it",
      "With a prompt, or with standard input that is not a terminal: one answer, streamed to "
      "standard output, and nothing else there. With both, the input follows the prompt. Without "
      "either: a chat; Ctrl-C stops the answer, Ctrl-D leaves, /help lists what else there is.\n"
      "Every answer is recorded in the ledger, a cancelled one too.",
      {
          {"MODEL", "A name from 'aioss models', or the path of a .gguf file."},
          {"PROMPT", "What to ask.", false},
      },
      {
          {"--system", "", "TEXT", "Instructions that come before the conversation."},
          {"--max-tokens", "-n", "N",
           "Longest answer, in tokens; default: what the context holds."},
          {"--temperature", "", "T", "0 always takes the likeliest token; default 1, at most 2."},
          {"--top-p", "", "P",
           "Sample from the likeliest tokens that together reach P; default 1."},
          {"--top-k", "", "K", "Sample from the K likeliest tokens; default 0, all of them."},
          {"--seed", "", "N", "Same seed, same answer; default: a new one each time."},
          {"--stop", "", "TEXT", "End the answer before this text; may be given up to 16 times.",
           true},
          {"--lora", "", "NAME[=SCALE]",
           "Answer under a LoRA adapter of the models folder, or a file; up to 4 times.", true},
          {"--raw", "", "", "Complete the prompt as it is, without the model's chat template."},
          {"--json", "", "", "Print one JSON object with the answer, its usage and its records."},
          {"--stats", "", "", "Print tokens, speed and record numbers to standard error."},
          {"--fake-models", "", "", "Also take scripts of the test engine.", false, true},
      },
      kForRun,
      {
          "aioss run SmolLM2-135M-Instruct \"Why is the sky blue?\"",
          "aioss run ./model.gguf                      # chat",
          "git diff | aioss run qwen \"Explain this change:\" > explanation.txt",
          "aioss run smol --temperature 0 --max-tokens 64 --json \"Name three rivers.\"",
          "aioss run smol --raw \"Once upon a time\"",
      }};
}

CommandSpec inspect() {
  return {"inspect",
          "show what is in a model file",
          "Architecture, parameters, quantization by tensor type, context, chat template, sizes. "
          "The file is parsed in a confined process: a damaged or hostile one cannot do harm.",
          {{"FILE", "A .gguf file."}},
          {{"--template", "", "", "Print the chat template and nothing else."}, kJson},
          0,
          {"aioss inspect model.gguf", "aioss inspect model.gguf --json | jq .architecture"}};
}

CommandSpec verify() {
  return {
      "verify",
      "check a ledger, an export bundle, a receipt or a fork proof",
      "Needs nothing but what it checks and the public key that 'aioss ledger init' printed. Keep "
      "that "
      "key elsewhere: without --key the best result is SELF-CONSISTENT, UNTRUSTED (exit code 6), "
      "because who can rewrite the ledger can also rewrite a key that lies beside it.\n"
      "Exit codes:\n"
      "0 OK\n1 usage or I/O\n2 TAMPERED\n3 TRUNCATED: shorter than its checkpoint\n4 FORK\n"
      "5 TORN TAIL: the last write was cut short\n6 UNKNOWN: no key, or a newer format\n"
      "7 PAYLOAD MISSING\n8 REPLAY MISMATCH",
      {{"PATH", "Folder of a ledger; or an export bundle, a receipt or a fork proof.", true}},
      {{"--key", "", "VKEY", "Public key: the vkey line, or @FILE that holds it."},
       {"--since", "", "NOTE",
        "File of a checkpoint that you kept: the ledger must still begin with it."},
       {"--receipt", "", "FILE", "With a ledger: a receipt whose records must be in it."},
       {"--fork-proof", "", "FILE",
        "Where to write the proof when two signed histories are found; default ./fork.proof."},
       {"--prompt", "", "FILE",
        "With a receipt: the prompt, or the request's JSON body, that must be the recorded one."},
       {"--answer", "", "FILE", "With a receipt: the answer's text that must be the recorded one."},
       {"--choice", "", "N", "Which of several answers; default 0."},
       {"--payloads", "", "",
        "Also look for every sealed text that a record names: one that is gone, though neither an "
        "erasure nor a retention drop took it, gives exit code 7."},
       kJson},
      0,
      {"aioss verify ~/.local/state/aioss/ledger --key @ledger.vkey",
       "aioss verify /mnt/ledger --key @ledger.vkey --since kept.note",
       "aioss verify receipt.json --key @ledger.vkey --prompt body.json --answer answer.txt",
       "aioss verify evidence.aioss --key @ledger.vkey",
       "aioss verify /mnt/evidence/ledger --key 'bank.example+1f2e3d4c+AX…' --json"}};
}

CommandSpec ledger_init() {
  return {"ledger init",
          "make a ledger and its signing key",
          "Prints the public key (vkey). Keep it elsewhere, and give it to those who verify.",
          {{"DIR", "Folder of the new ledger."}},
          {{"--origin", "", "NAME",
            "Name of the ledger in its checkpoints, such as 'bank.example/ward-3'; default: made "
            "up."},
           {"--protect", "", "HOW",
            "How the private key is written: none (default) or passphrase, see docs/keys.md."},
           {"--dual-control", "", "ACTIONS",
            "What needs two operators for the ledger's life: erase, rotate, or both with a comma."},
           {"--unsafe-fs", "", "",
            "For trials: it and its copies may lie where writes can be lost (memory, network, "
            "FUSE)."},
           kJson},
          0,
          {"aioss ledger init /var/lib/aioss/ledger --origin bank.example/ward-3",
           "aioss ledger init ./ledger --protect passphrase --dual-control erase,rotate",
           "aioss ledger init ./ledger --json | jq -r .vkey > ledger.vkey"}};
}

CommandSpec ledger_tail() {
  return {"ledger tail",
          "show the last records",
          "",
          {{"DIR", "Folder of the ledger; default: the setting 'ledger'.", false}},
          {{"--lines", "-n", "N", "How many records; default 10."},
           {"--follow", "-f", "", "Wait for more records; Ctrl-C ends it."},
           {"--json", "", "", "Print one JSON object a line."}},
          kForLedger,
          {"aioss ledger tail", "aioss ledger tail -n 100 --follow --json | jq .type"}};
}

CommandSpec ledger_show() {
  return {"ledger show",
          "show one record, whole",
          "",
          {{"INDEX", "Number of the record; 0 is the first."},
           {"DIR", "Folder of the ledger; default: the setting 'ledger'.", false}},
          {kJson},
          kForLedger,
          {"aioss ledger show 0", "aioss ledger show 1742 /var/lib/aioss/ledger --json"}};
}

CommandSpec key_new() {
  return {"key new",
          "make an API key for a user",
          "The key is shown once, and only its salted digest is kept. With --file the digest is "
          "added to that key file (made if it is absent); otherwise the line to add is printed "
          "too. A running server notices the change within a second.",
          {},
          {{"--tenant", "", "NAME", "Who the user belongs to."},
           {"--user", "", "NAME", "Who the key is for."},
           {"--role", "", "ROLE", "user, operator or auditor; default user."},
           {"--file", "", "FILE", "Key file of the server, as given to 'serve --keys'."},
           kJson},
          0,
          {"aioss key new --tenant ward-3 --user alice --file keys.txt",
           "aioss key new --tenant it --user backup --role auditor --json"}};
}

CommandSpec version() {
  return {"version", "show the versions of aioss, its engines and its parts",   "", {}, {kJson},
          0,         {"aioss version", "aioss version --json | jq -r .version"}};
}

// In the order of `aioss --help`.
std::vector<CommandSpec> all_commands() {
  std::vector<CommandSpec> all{serve(), run_spec()};
  const auto add = [&all](std::vector<CommandSpec> some) {
    for (CommandSpec& one : some) all.push_back(std::move(one));
  };
  add(top_specs());
  add(model_specs());
  add(models_specs());
  add({inspect()});
  add(plan_specs());
  add(devices_specs());
  add(tune_specs());
  add(engine_specs());
  add(engine_switch_specs());
  add(update_specs());
  add({verify(), ledger_init(), ledger_tail(), ledger_show()});
  add(proof_specs());
  add(custody_specs());
  add(privacy_specs());
  add(review_specs());
  add(anchor_specs());
  all.push_back(key_new());
  all.push_back(version());
  return all;
}

}  // namespace

std::span<const CommandSpec> commands() {
  static const std::vector<CommandSpec> all = all_commands();
  return all;
}

}  // namespace aioss::cli
