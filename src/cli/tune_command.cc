// `aioss tune`: measures a model in the foreground, or shows what is known. No server, no ledger;
// what is found is where servers look for it.
#include <atomic>

#include "base/clock.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/suggest.h"
#include "cli/command_list.h"
#include "cli/engine_setup.h"
#include "cli/ledger_session.h"
#include "cli/tune_report.h"
#include "os/cpu.h"
#include "runtime/planning/engine_choices.h"
#include "runtime/planning/tuning_plan.h"
#include "runtime/tuning/tuner.h"

namespace aioss::cli {
namespace {

constexpr std::uint64_t kBudgetSecondsMax = 600;

// As a server has them: what was measured under other conditions says nothing to it.
Result<runtime::GatewayOptions> served_options(const Services& services, const Config& config,
                                               const Invocation& invocation) {
  runtime::GatewayOptions out;
  AIOSS_TRY(out.models_dir, models_directory(services, config));
  out.fake_models = invocation.has("--fake-models");
  add_model_settings(config, out);
  AIOSS_TRY(out.engines, engine_table(services, config, out.fake_models));
  out.devices = device_table(services, *out.engines);
  AIOSS_TRY(out.device, device_setting(config));
  if (config.source(Key::kEngine) != Source::kDefault) out.engine = config.text(Key::kEngine);
  out.profile = ipc::profile_from_name(config.text(Key::kProfile)).value_or(ipc::Profile::kFast);
  out.parallel = static_cast<std::uint32_t>(config.number(Key::kParallel));
  out.context_tokens = static_cast<std::uint32_t>(config.number(Key::kCtx));
  out.threads = static_cast<std::uint32_t>(config.number(Key::kThreads));
  out.speculation = config.text(Key::kSpeculation) != "off";
  out.kv_type = config.text(Key::kKvType);
  out.prefill_chunk_tokens_max = static_cast<std::uint32_t>(config.number(Key::kPrefillChunk));
  out.state_dir = state_directory(services);
  out.tune = true;
  return out;
}

Result<const runtime::CatalogueEntry*> model_to_tune(const runtime::Catalogue& catalogue,
                                                     const std::string& wanted) {
  const auto alias = catalogue.aliases.find(wanted);
  const std::string& real = alias == catalogue.aliases.end() ? wanted : alias->second;
  const auto found = catalogue.models.find(real);
  if (found != catalogue.models.end()) return &found->second;
  std::vector<std::string> names;
  for (const auto& [name, model] : catalogue.models) names.push_back(name);
  return Error(Code::kNotFound,
               "there is no model '" + one_line(wanted) + "'" + did_you_mean(wanted, names));
}

Result<std::int64_t> budget_of(const Invocation& invocation) {
  const auto text = invocation.text("--budget");
  if (!text) return runtime::kTuningBudgetNs;
  const auto seconds = parse_u64(*text);
  if (!seconds || *seconds == 0 || *seconds > kBudgetSecondsMax) {
    return Error(Code::kUsage, "--budget takes seconds, from 1 to 600");
  }
  return static_cast<std::int64_t>(*seconds) * kNsPerSecond;
}

Result<runtime::Tuning> measure(const Services& services, const runtime::GatewayOptions& options,
                                const runtime::Catalogue& catalogue,
                                const runtime::CatalogueEntry& entry, std::int64_t budget_ns) {
  runtime::TuningJob job;
  if (!runtime::is_measured(entry, options)) {
    return Error(Code::kUnsupported, "'" + entry.name +
                                         "' is computed by a GPU, where nothing is measured; with "
                                         "--device cpu it is");
  }
  AIOSS_TRY(job.files, runtime::open_model(services.files, entry));
  job.model = entry.name;
  job.space = runtime::space_of(catalogue, entry, options, os::cpu_budget());
  job.open = runtime::tune_open_of(entry, options);
  job.budget_ns = budget_ns;
  const std::atomic<bool> stop{false};  // Ctrl-C ends the process, and its children with it
  const auto progress = [&](const runtime::TuneMeasurement& one) {
    services.console.note(tune_line(one));
  };
  AIOSS_TRY(runtime::TuningResult result,
            runtime::measure(job, {options.worker_executable, options.engines}, services.clock,
                             stop, progress));
  return runtime::Tuning{entry.name, services.clock.wall_ns(), std::move(result)};
}

Result<runtime::Tuning> tune(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const Config config,
            load_config(services.files, services.environment, invocation.config));
  AIOSS_TRY(const runtime::GatewayOptions options, served_options(services, config, invocation));
  AIOSS_TRY(const std::int64_t budget_ns, budget_of(invocation));
  AIOSS_TRY(runtime::Catalogue catalogue,
            runtime::scan_catalogue(services.files, runtime::catalogue_options(options)));
  // Of a pinned model no other engine is tried.
  runtime::EngineChoices(services.files, options.state_dir).apply(catalogue);
  AIOSS_TRY(const runtime::CatalogueEntry* const entry,
            model_to_tune(catalogue, invocation.operand(0)));
  const runtime::TuningKey key = runtime::tuning_key_of(catalogue, *entry, options);
  runtime::TuningStore store(services.files, options.state_dir, options.worker_executable);
  store.read();
  if (invocation.has("--show")) {
    auto known = store.find(key);
    if (known) return std::move(*known);
    return Error(Code::kNotFound, "'" + entry->name +
                                      "' was not measured on this machine with these settings and "
                                      "engines; 'aioss tune " +
                                      entry->name + "' does it");
  }
  AIOSS_TRY(runtime::Tuning tuning, measure(services, options, catalogue, *entry, budget_ns));
  store.put(key, tuning);
  return tuning;
}

}  // namespace

int tune_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto tuning = tune(services, invocation);
  if (!tuning) return console.fail(tuning.error());
  const std::string text = invocation.has("--json") ? codec::dump_json(tune_json(*tuning)) + "\n"
                                                    : tune_text(*tuning, console.table_columns(),
                                                                console.facts().output_color);
  return static_cast<int>(console.out(text) ? ExitCode::kOk : ExitCode::kFailure);
}

}  // namespace aioss::cli
