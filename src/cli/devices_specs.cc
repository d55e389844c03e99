#include "cli/command_specs.h"

namespace aioss::cli {

std::vector<CommandSpec> devices_specs() {
  return {
      {"devices",
       "show what there is to compute with: the processor and GPUs",
       "Of the processor: its model, the level of its instructions, cores that may be used, and "
       "how "
       "fast it reads memory, measured in half a second. Of each engine for GPUs that is "
       "installed: "
       "the devices that it finds, asked in a confined process, with their memory and the driver's "
       "description. Their names are what --device takes.",
       {},
       {{"--no-bandwidth", "", "", "Do not measure the memory."},
        {"--json", "", "", "Print JSON, for scripts."},
        {"--fake-models", "", "", "Also the devices of the test engine.", false, true}},
       kForEngines,
       {"aioss devices", "aioss devices --json | jq '.gpus[].name'"}}};
}

}  // namespace aioss::cli
