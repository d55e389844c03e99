// `aioss plan`: what a model would take, from a dry run. No server, no ledger.
#include <utility>

#include "base/strings.h"
#include "cli/command_list.h"
#include "cli/engine_setup.h"
#include "cli/ledger_session.h"
#include "cli/plan_report.h"
#include "cli/term.h"
#include "runtime/planning/planning.h"

namespace aioss::cli {
namespace {

bool looks_like_file(const std::string& model) {
  return model.find('/') != std::string::npos || model.ends_with(".gguf") ||
         model.ends_with(".fake");
}

// The default folder need not exist yet; one that was asked for must.
Result<std::string> models_folder(const Services& services, const Config& config) {
  const std::string directory = config.text(Key::kModelsDir);
  const auto found =
      directory.empty() ? Error(Code::kNotFound, "") : services.files.info(directory);
  const bool missing = !found && found.error().code == Code::kNotFound &&
                       config.source(Key::kModelsDir) == Source::kDefault;
  return missing ? std::string() : directory;
}

Result<runtime::GatewayOptions> plan_options(const Services& services, const Config& config,
                                             const Invocation& invocation) {
  runtime::GatewayOptions out;
  AIOSS_TRY(out.models_dir, models_folder(services, config));
  out.fake_models = invocation.has("--fake-models");
  const bool fake = out.fake_models || invocation.operand(0).ends_with(".fake");
  AIOSS_TRY(out.engines, engine_table(services, config, fake));
  out.devices = device_table(services, *out.engines);
  // As a server has it: what was measured holds where nobody has said which engine.
  if (config.source(Key::kEngine) != Source::kDefault) out.engine = config.text(Key::kEngine);
  out.engine_wish = invocation.text("--engine").value_or("");
  out.profile = ipc::profile_from_name(config.text(Key::kProfile)).value_or(ipc::Profile::kFast);
  out.parallel = static_cast<std::uint32_t>(config.number(Key::kParallel));
  out.context_tokens = static_cast<std::uint32_t>(config.number(Key::kCtx));
  out.threads = static_cast<std::uint32_t>(config.number(Key::kThreads));
  out.spill_bytes = config.number(Key::kSpillMib) << 20;
  out.prefix_bytes = config.number(Key::kPrefixMib) << 20;
  out.speculation = config.text(Key::kSpeculation) != "off";
  out.kv_type = config.text(Key::kKvType);
  AIOSS_TRY(out.device, device_setting(config));
  out.prefill_chunk_tokens_max = static_cast<std::uint32_t>(config.number(Key::kPrefillChunk));
  out.tune = config.text(Key::kTune) == "auto";
  out.state_dir = state_directory(services);
  return out;
}

// The name that the catalogue gives to the file; the folder's other models stay in it, for their
// quantizations.
Result<std::string> name_of_file(const Services& services, const std::string& path) {
  if (!services.files.info(path)) return Error(Code::kNotFound, path + ": there is no such file");
  AIOSS_TRY(const auto alone, runtime::scan_catalogue(services.files, {"", {path}, true}));
  if (alone.models.empty()) return Error(Code::kNotFound, path + " is not a model");
  return alone.models.begin()->first;
}

Status check_wishes(const Invocation& invocation, const runtime::PlanAnswer& answer) {
  const auto engine = invocation.text("--engine");
  if (engine && *engine != answer.engine) {
    return Error(Code::kUnsupported, "this model is run by the engine '" + answer.engine +
                                         "', not by '" + one_line(*engine) + "'");
  }
  return ok();
}

Result<runtime::PlanAnswer> plan(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const Config config,
            load_config(services.files, services.environment, invocation.config));
  AIOSS_TRY(runtime::GatewayOptions options, plan_options(services, config, invocation));
  runtime::PlanCall call;
  call.model = invocation.operand(0);
  call.adapters = invocation.texts("--lora");
  // A flag is about this plan, and goes before what the model's own settings say.
  if (config.source(Key::kCtx) == Source::kFlag) call.context_tokens = config.number(Key::kCtx);
  if (config.source(Key::kParallel) == Source::kFlag) call.parallel = config.number(Key::kParallel);
  if (config.source(Key::kDevice) == Source::kFlag) call.device = config.text(Key::kDevice);
  if (config.source(Key::kKvType) == Source::kFlag) call.kv_type = config.text(Key::kKvType);
  if (looks_like_file(call.model)) {
    options.model_files = {call.model};
    AIOSS_TRY(call.model, name_of_file(services, call.model));
  }
  runtime::ChildPlanner planner(runtime::planner_options(options), services.clock);
  const runtime::EngineChoices pins(services.files, options.state_dir);
  runtime::TuningStore tunings(services.files, options.state_dir, options.worker_executable);
  tunings.read();
  runtime::Planning::Parts parts{services.files, options, planner};
  parts.engines = &pins;
  parts.tunings = &tunings;
  const runtime::Planning planning(std::move(parts));
  AIOSS_TRY(runtime::PlanAnswer answer, planning.answer(call));
  AIOSS_CHECK(check_wishes(invocation, answer));
  return answer;
}

}  // namespace

int plan_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto answer = plan(services, invocation);
  if (!answer) return console.fail(answer.error());
  const std::string text =
      invocation.has("--json")
          ? codec::dump_json(runtime::plan_json(*answer)) + "\n"
          : plan_text(*answer, console.table_columns(), console.facts().output_color);
  if (!console.out(text)) return static_cast<int>(ExitCode::kFailure);
  return static_cast<int>(answer->fits ? ExitCode::kOk : ExitCode::kUnavailable);
}

}  // namespace aioss::cli
