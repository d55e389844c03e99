#include "cli/command_specs.h"

namespace aioss::cli {

std::vector<CommandSpec> tune_specs() {
  return {
      {"tune",
       "measure how a model is computed fastest on this machine",
       "Tries engines, flash attention, threads and micro-batches, each behind a canary of several "
       "sequences that decode together, and measures them in turns with what would be computed "
       "without: one sequence, several together, and a prompt. What is faster on the whole and "
       "nowhere slower (another engine: hardly, for a large gain) is kept for the servers of this "
       "user, as a server with 'tune' on auto does by itself. Works without a server; better while "
       "none computes.",
       {{"MODEL", "A name of the catalogue."}},
       {{"--show", "", "", "Measure nothing: print what is known."},
        {"--budget", "", "SECONDS", "How long it may take, about; 1 to 600, default 10."},
        {"--json", "", "", "Print JSON, for scripts."},
        {"--fake-models", "", "", "Also take scripts of the test engine.", false, true}},
       kForPlan,
       {"aioss tune SmolLM2-135M-Instruct", "aioss tune qwen --budget 60",
        "aioss tune qwen --show --json | jq .chosen"}}};
}

}  // namespace aioss::cli
