// `aioss devices`: what there is to compute with. No server, no ledger.
#include "cli/command_list.h"
#include "cli/devices_report.h"
#include "cli/engine_setup.h"

namespace aioss::cli {
namespace {

constexpr std::chrono::milliseconds kMeasuring{400};

std::size_t count_gpu_engines(const plugins::EngineTable* engines) {
  std::size_t count = 0;
  if (engines == nullptr) return count;
  for (const auto& engine : engines->all()) {
    if (!engine->is_linked && plugins::is_for_gpus(engine->name)) ++count;
  }
  return count;
}

Result<std::shared_ptr<plugins::EngineTable>> installed(const Services& services,
                                                        const Invocation& invocation) {
  AIOSS_TRY(const Config config,
            load_config(services.files, services.environment, invocation.config));
  return engine_table(services, config, invocation.has("--fake-models"));
}

}  // namespace

int devices_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto engines = installed(services, invocation);
  if (!engines) return console.fail(engines.error());
  DevicesFacts facts;
  if (auto cpu = os::cpu_info()) facts.cpu = std::move(*cpu);
  facts.budget = os::cpu_budget();
  facts.built_for = services.cpu_level;
  if (const auto memory = os::memory_state()) facts.memory = *memory;
  if (!invocation.has("--no-bandwidth")) {
    const auto measured =
        os::measure_read_bandwidth(facts.budget.usable_cores(), kMeasuring, services.clock);
    if (measured) facts.bandwidth = *measured;
  }
  facts.drivers = os::gpu_drivers();
  facts.gpu_engines = count_gpu_engines(engines->get());
  facts.found = runtime::ask_all_devices(engines->get(), "/proc/self/exe", services.clock);
  const std::string text = invocation.has("--json") ? devices_json(facts)
                                                    : devices_text(facts, console.table_columns(),
                                                                   console.facts().output_color);
  return console.print(text);
}

}  // namespace aioss::cli
