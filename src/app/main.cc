// The story of the program: a worker runs its model and nothing else; everything else is a command.
#include <string>
#include <vector>

#include "app/embedded.h"
#include "app/wiring.h"
#include "app/worker_command.h"
#include "cli/cli.h"
#include "cli/services.h"
#include "crypto/protected_key.h"
#include "crypto/random.h"
#include "os/clock.h"
#include "os/environment.h"
#include "os/file.h"
#include "os/signals.h"
#include "os/terminal.h"

int main(int argc, char** argv) {
  using namespace aioss;
  os::ignore_broken_pipes();
  const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);

  if (!arguments.empty() && arguments[0] == "worker") {
    return app::worker_command({arguments.begin() + 1, arguments.end()});
  }

  os::RealFileSystem files;
  const os::SystemClock clock;
  crypto::SystemRandom random;
  cli::Console console = cli::Console::standard();
  cli::Services services{files, clock, random, console};
  services.environment = [](std::string_view name) { return os::environment(std::string(name)); };
  services.engines = app::engine_versions;
  services.embedded = app::embedded_engines;
  services.cpu_level = app::cpu_level();
  services.ask_hidden = [](std::string_view question) {
    return os::ask_hidden(question, crypto::kPassphraseBytesMax);
  };
  return cli::run(services, arguments);
}
