#include "cli/command_specs.h"

namespace aioss::cli {

std::vector<CommandSpec> top_specs() {
  return {
      {"top",
       "watch what a running server does",
       "Models, sequences, queues, tokens a second and memory, and the tenants with the most "
       "requests; looked at once a second until Ctrl-C. What the terminal has no room for is left "
       "out. If standard output is no terminal, one look and no more. Asks GET /admin/queue, which "
       "operators and auditors may: over the "
       "server's Unix socket if --unix names it, else over TCP.",
       {},
       {{"--once", "", "", "One look, then exit."},
        kApiKey,
        {"--json", "", "", "With one look: print what the server answers, for scripts."}},
       kForTop,
       {"aioss top", "aioss top --unix /run/aioss.sock",
        "aioss top --once --json | jq '.models[].tokens_per_second'"}}};
}

}  // namespace aioss::cli
