#include "app/worker_command.h"

#include <climits>
#include <csignal>
#include <cstdio>
#include <span>

#include "app/wiring.h"
#include "base/strings.h"
#include "cli/engine_child.h"
#include "cli/inspect_command.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "worker/engine_report.h"
#include "worker/plugin_choice.h"
#include "worker/worker.h"

namespace aioss::app {
namespace {

constexpr std::size_t kModelFilesMax = 64;  // parts of one split model

int usage() {
  std::fputs("aioss worker is started by 'aioss serve' and 'aioss run'; use those\n", stderr);
  return static_cast<int>(ExitCode::kUsage);
}

std::optional<int> parse_descriptor(std::string_view text) {
  const auto value = parse_u64(text);
  if (!value || *value > INT_MAX) return std::nullopt;
  return static_cast<int>(*value);
}

bool parse_models(std::string_view text, std::vector<int>& fds) {
  for (const std::string_view part : split(text, ',')) {
    const auto model = parse_descriptor(part);
    if (!model || fds.size() == kModelFilesMax) return false;
    fds.push_back(*model);
  }
  return true;
}

bool parse(std::span<const std::string> arguments, worker::WorkerOptions& options) {
  if (arguments.size() < 4 || arguments.size() % 2 != 0) return false;
  if (arguments[0] != "--socket" || arguments[2] != "--models") return false;
  const auto socket = parse_descriptor(arguments[1]);
  if (!socket) return false;
  options.socket_fd = *socket;
  if (!parse_models(arguments[3], options.model_fds)) return false;
  for (std::size_t i = 4; i < arguments.size(); i += 2) {
    if (arguments[i] == "--sandbox" && arguments[i + 1] == "gpu") {
      options.device = os::SandboxFor::kGpu;
      continue;
    }
    const auto descriptor = parse_descriptor(arguments[i + 1]);
    if (!descriptor) return false;
    if (arguments[i] == "--prefixes") {
      options.prefix_fd = *descriptor;
    } else if (arguments[i] == "--adapters") {
      options.adapter_fd = *descriptor;
    } else if (arguments[i] == "--engine") {
      options.engine_fd = *descriptor;
    } else {
      return false;
    }
  }
  return true;
}

// Options of --devices: no model is there.
bool parse_devices(std::span<const std::string> arguments, worker::WorkerOptions& options) {
  if (arguments.size() % 2 != 0) return false;
  for (std::size_t i = 0; i < arguments.size(); i += 2) {
    const std::string& value = arguments[i + 1];
    if (arguments[i] == "--sandbox" && value == "gpu") {
      options.device = os::SandboxFor::kGpu;
    } else if (arguments[i] == "--name") {
      options.engine_name = value;
    } else {
      const auto descriptor = parse_descriptor(value);
      if (!descriptor) return false;
      if (arguments[i] != "--socket" && arguments[i] != "--engine") return false;
      (arguments[i] == "--socket" ? options.socket_fd : options.engine_fd) = *descriptor;
    }
  }
  return true;
}

// Takes a last `--linked NAME` away from the arguments; without it, a plugin is at its descriptor.
// Nothing: no linked engine has that name.
std::optional<worker::EngineSource> take_engine(std::vector<std::string>& arguments) {
  const std::size_t count = arguments.size();
  if (count < 2 || arguments[count - 2] != "--linked") return worker::EngineSource{cli::kEngineFd};
  const std::vector<worker::EngineChoice> linked = engines();
  const auto choice = worker::find_engine(linked, arguments.back());
  if (!choice) return std::nullopt;
  arguments.resize(count - 2);
  return worker::EngineSource{-1, (*choice)->engine};
}

// `--inspect-engine [--linked NAME]`, or `--check-engine MODELS DEVICE [--quick] [--linked NAME]`:
// descriptors as cli/engine_child.h has them. Nothing: it is neither.
std::optional<int> engine_command(std::vector<std::string> arguments) {
  const bool inspects = !arguments.empty() && arguments[0] == "--inspect-engine";
  const bool checks = !arguments.empty() && arguments[0] == "--check-engine";
  if (!inspects && !checks) return std::nullopt;
  const auto engine = take_engine(arguments);
  if (!engine || (inspects ? arguments.size() != 1 : arguments.size() < 3)) return usage();
  if (inspects) return worker::run_inspect_engine(*engine, cli::kEngineOutputFd);
  worker::EngineCheck check;
  check.engine = *engine;
  check.out_fd = cli::kEngineOutputFd;
  check.device = arguments[2];
  check.quick = arguments.size() == 4 && arguments[3] == "--quick";
  if (!parse_models(arguments[1], check.model_fds)) return usage();
  return worker::run_check_engine(check);
}

}  // namespace

int worker_command(const std::vector<std::string>& arguments) {
  // Ctrl-C at a terminal goes to every process there. What it means is the gateway's to say.
  (void)std::signal(SIGINT, SIG_IGN);
  if (arguments == std::vector<std::string>{"--inspect"}) {
    return worker::run_inspect(cli::kInspectModelFd, cli::kInspectOutputFd);
  }
  if (!arguments.empty() && arguments.front() == "--devices") {
    worker::WorkerOptions asked;
    if (!parse_devices(std::span(arguments).subspan(1), asked)) return usage();
    asked.engines = engines();
    return worker::run_devices(asked);
  }
  if (const auto exit = engine_command(arguments)) return *exit;
  const bool plans = !arguments.empty() && arguments.front() == "--plan";
  const bool tunes = !arguments.empty() && arguments.front() == "--tune";
  worker::WorkerOptions options;
  if (!parse(std::span(arguments).subspan(plans || tunes ? 1 : 0), options)) return usage();
  options.engines = engines();
  options.open_vocabulary = open_vocabulary;
  if (plans) return worker::run_plan(options);
  const os::SystemClock clock;
  if (tunes) return worker::run_tune(options, clock);
  return worker::run_worker(options, clock);
}

}  // namespace aioss::app
