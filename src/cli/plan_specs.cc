#include "cli/command_specs.h"

namespace aioss::cli {

std::vector<CommandSpec> plan_specs() {
  return {
      {"plan",
       "show what a model would take of the memory",
       "Bytes of weights, KV, buffers and tables, from a dry run of the engine in a confined "
       "process that allocates none of them, against the memory that this machine and this control "
       "group have left now. If it does not fit: the nearest options that do (KV type, context, "
       "sequences, another quantization in the catalogue). Works without a server. Exit code 4 if "
       "the model does not fit.",
       {{"MODEL", "A name of the catalogue, or a .gguf file."}},
       {{"--engine", "", "NAME", "Plan for this engine; fail if the model is not one of its."},
        {"--device", "", "NAME", "Fail unless the engine computes on this device."},
        {"--lora", "", "NAME", "With this adapter loaded, too; may be given again.", true},
        {"--json", "", "", "Print JSON, for scripts."},
        {"--fake-models", "", "", "Also take scripts of the test engine.", false, true}},
       kForPlan,
       {"aioss plan SmolLM2-135M-Instruct", "aioss plan ./model.gguf --ctx 32768 --parallel 8",
        "aioss plan qwen --kv-type q8_0 --json | jq .fits"}}};
}

}  // namespace aioss::cli
