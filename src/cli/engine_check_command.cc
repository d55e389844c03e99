// `aioss engine inspect` and `aioss engine check`: what an engine is, and whether it keeps what it
// promises. It runs in a confined child only.
#include <algorithm>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "cli/command_list.h"
#include "cli/engine_child.h"
#include "cli/engine_setup.h"
#include "cli/model_store.h"
#include "cli/progress.h"
#include "cli/term.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "plugins/engine_store.h"
#include "plugins/engine_table.h"
#include "plugins/plugin_file.h"

namespace aioss::cli {
namespace {

using codec::OrderedJson;

// For the bar: about as many as the suite has of an engine with two profiles.
constexpr float kChecksAbout = 260;

bool is_path(const std::string& text, std::string_view suffix) {
  return text.find('/') != std::string::npos || text.ends_with(suffix);
}

struct Opened {
  plugins::EngineImage image;  // of a file without name and version, which it has not said yet
  std::uint64_t bytes = 0;     // of its file
  EngineSource source() const {
    return {plugins::plugin_descriptor(&image), image.is_linked ? image.name : ""};
  }
};

Opened opened_file(plugins::PluginFile file, const std::string& path) {
  Opened out;
  out.image.file = std::move(file.file);
  out.image.sha256 = file.sha256;
  out.image.origin = path;
  out.bytes = file.bytes;
  return out;
}

// Nothing: the binary has no engine of this name.
Result<std::optional<Opened>> open_own(const Services& services, const std::string& name) {
  if (!is_own_engine(services, name)) return std::optional<Opened>();
  const auto image = own_engines(services, true)->find(name);
  if (image == nullptr) {
    return Error{Code::kUnsupported, "aioss has the engine '" + name +
                                         "' in itself, but this machine cannot run it; the log "
                                         "says why"};
  }
  Opened out{*image};
  if (!image->is_linked) {
    AIOSS_TRY(const os::FileInfo file, os::descriptor_info(image->file->get()));
    out.bytes = file.size;
  }
  return std::optional<Opened>(std::move(out));
}

Result<Opened> open_engine(const Services& services, const Config& config,
                           const std::string& given) {
  if (is_path(given, ".so")) {
    AIOSS_TRY(plugins::PluginFile file, plugins::read_plugin(services.files, given));
    return opened_file(std::move(file), given);
  }
  if (!plugins::is_plugin_name(given)) return Error{Code::kUsage, "no engine can have this name"};
  AIOSS_TRY(std::optional<Opened> own, open_own(services, given));
  if (own) return std::move(*own);
  const std::string path = plugins::plugin_path(config.text(Key::kEnginesDir), given);
  auto file = plugins::read_plugin(services.files, path);
  if (file) return opened_file(std::move(*file), path);
  if (file.error().code != Code::kNotFound) return std::move(file).error();
  return Error{Code::kNotFound, "there is no engine '" + given +
                                    "'; 'aioss engine list' lists them, and a file's path must "
                                    "end in .so"};
}

// ---- inspect ------------------------------------------------------------------------------------

std::string checked_text(const EngineReport& report, const Opened& opened, const Console& console) {
  Table table({{"FIELD"}, {"VALUE"}});
  table.add({"name", report.name});
  table.add({"version", report.version});
  table.add({"build", report.build_id});
  table.add({"compiler", report.compiler});
  table.add({"CPU features", report.cpu_features});
  table.add({"ABI", std::to_string(report.abi)});
  table.add({"profiles", comma_separated(report.profiles)});
  table.add({"prefill grid", std::to_string(report.prefill_grid_tokens) + " tokens"});
  table.add({"adapters", report.adapters ? "yes" : "no"});
  for (const EngineDevice& device : report.devices) {
    table.add({"device", device.name + " (" + device.backend + ") " + device.description});
  }
  table.add({"origin", opened.image.origin});
  if (!opened.image.is_linked) {
    table.add({"file", human_bytes(opened.bytes)});
    table.add({"SHA-256", codec::to_hex(opened.image.sha256)});
  }
  return table.render(console.table_columns(), console.facts().output_color);
}

std::string checked_json(const EngineReport& report, const Opened& opened) {
  OrderedJson out;
  out["name"] = report.name;
  out["version"] = report.version;
  out["build_id"] = report.build_id;
  out["compiler"] = report.compiler;
  out["cpu_features"] = report.cpu_features;
  out["abi"] = report.abi;
  out["profiles"] = report.profiles;
  out["prefill_grid_tokens"] = report.prefill_grid_tokens;
  out["adapters"] = report.adapters;
  out["devices"] = OrderedJson::array();
  for (const EngineDevice& device : report.devices) {
    OrderedJson one;
    one["name"] = device.name;
    one["backend"] = device.backend;
    one["description"] = device.description;
    one["bytes_total"] = device.bytes_total;
    one["bytes_free"] = device.bytes_free;
    out["devices"].push_back(std::move(one));
  }
  out["origin"] = opened.image.origin;
  out["file_bytes"] = opened.bytes;
  out["sha256"] = opened.image.is_linked ? "" : codec::to_hex(opened.image.sha256);
  return codec::dump_json(out) + "\n";
}

// ---- check --------------------------------------------------------------------------------------

using OpenFiles = std::vector<std::unique_ptr<os::File>>;

Result<OpenFiles> open_model_files(const Services& services, const Config& config,
                                   const std::string& given) {
  std::vector<std::string> paths = {given};
  if (!is_path(given, ".gguf")) {
    AIOSS_TRY(const ModelStore store, open_store(services, config));
    AIOSS_TRY(const runtime::CatalogueEntry* const entry, find_model(store, given));
    if (entry->problem) return *entry->problem;
    paths = entry->paths;
  }
  OpenFiles files;
  for (const std::string& path : paths) {
    AIOSS_TRY(auto file, services.files.open(path, os::OpenMode::kRead));
    files.push_back(std::move(file));
  }
  return files;
}

Result<CheckedEngine> check(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const Config config,
            load_config(services.files, services.environment, invocation.config));
  const auto model = invocation.text("--model");
  if (!model) return Error{Code::kUsage, "which model is it to be tried with? Give --model"};
  AIOSS_TRY(const Opened opened, open_engine(services, config, invocation.operand(0)));
  AIOSS_TRY(const OpenFiles files, open_model_files(services, config, *model));
  CheckRequest request;
  request.engine = opened.source();
  request.quick = invocation.has("--quick");
  for (const auto& file : files) request.models.push_back(file->descriptor());
  if (const auto device = invocation.text("--device")) request.device = *device;
  Progress progress(services.console, services.clock, "checking");
  std::size_t made = 0;
  auto checked = check_engine(request, services.clock, [&](const EngineCheckLine&) {
    progress.update(std::min(0.99F, static_cast<float>(++made) / kChecksAbout));
  });
  if (!checked) {
    const bool is_the_models = checked.error().code == Code::kModelCorrupt;
    return std::move(checked).error().with_context(is_the_models ? *model : invocation.operand(0));
  }
  if (request.device == "cpu" && plugins::is_for_gpus(checked->engine)) {
    checked->lines.push_back(
        {"", "device", "skipped", "no GPU was tried; name one of 'aioss devices' with --device"});
  }
  return checked;
}

std::string check_text(const CheckedEngine& checked, const Console& console) {
  Table table({{"VERDICT"}, {"PROFILE"}, {"CHECK"}, {"DETAIL"}});
  std::size_t failed = 0;
  for (const EngineCheckLine& line : checked.lines) {
    table.add({line.verdict, line.profile, line.name, line.detail});
    failed += line.verdict == "FAIL" ? 1 : 0;
  }
  const char* const verdict =
      checked.ended_by ? "ENDED on the way: " : (checked.passed ? "passed: " : "FAILED: ");
  return table.render(console.table_columns(), console.facts().output_color) + verdict +
         std::to_string(checked.lines.size()) + " checks, " + std::to_string(failed) + " failed\n";
}

std::string check_json(const CheckedEngine& checked) {
  OrderedJson out;
  out["passed"] = checked.passed;
  if (checked.ended_by) out["ended_by"] = checked.ended_by->message;
  out["checks"] = OrderedJson::array();
  for (const EngineCheckLine& line : checked.lines) {
    OrderedJson one;
    one["profile"] = line.profile;
    one["name"] = line.name;
    one["verdict"] = line.verdict;
    one["detail"] = line.detail;
    out["checks"].push_back(std::move(one));
  }
  return codec::dump_json(out) + "\n";
}

}  // namespace

int engine_inspect_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const std::string given = invocation.operand(0);
  const auto config = load_config(services.files, services.environment, invocation.config);
  if (!config) return console.fail(config.error());
  const auto opened = open_engine(services, *config, given);
  if (!opened) return console.fail(opened.error());
  auto report = inspect_engine(opened->source(), services.clock);
  if (!report) return console.fail(std::move(report).error().with_context(given));
  const std::string text = invocation.has("--json") ? checked_json(*report, *opened)
                                                    : checked_text(*report, *opened, console);
  return console.print(text);
}

int engine_check_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto checked = check(services, invocation);
  if (!checked) return console.fail(checked.error());
  const std::string text =
      invocation.has("--json") ? check_json(*checked) : check_text(*checked, console);
  if (!console.out(text)) return static_cast<int>(ExitCode::kFailure);
  if (checked->ended_by) {
    return console.fail(Error(*checked->ended_by).with_context(invocation.operand(0)));
  }
  return checked->passed ? 0 : static_cast<int>(ExitCode::kFailure);
}

}  // namespace aioss::cli
