#include "worker/plugin_choice.h"

#include <chrono>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/plugin.h"
#include "ipc/limits.h"
#include "os/last_words.h"

namespace aioss::worker {
namespace {

// A machine of several GPUs that nobody has used since it was started takes its time; as much as
// whoever asks for devices waits (runtime/dry_runs/devices_child.cc).
constexpr std::chrono::seconds kDriverStartMax{30};

// Its rows of logits must be about the tokens that the file has.
Status check_vocabulary(const engine::Model& model, const engine::TextModel& text) {
  const std::uint32_t computed = model.facts().vocabulary_size;
  const std::uint32_t known = text.facts().vocabulary_size;
  if (computed == known) return ok();
  return Error{Code::kEngineFailed, "the engine computes logits of " + std::to_string(computed) +
                                        " tokens, and the model's file has " +
                                        std::to_string(known)};
}

Result<const aioss_engine*> open_named(int fd, const std::string& name) {
  AIOSS_TRY(const aioss_engine* const engine, engine::open_plugin(fd));
  AIOSS_TRY(const engine::Identity identity, engine::checked_identity(*engine));
  if (identity.name != name) {
    return Error{Code::kUnsupported, "the plugin that is installed as '" + name +
                                         "' calls itself '" + identity.name + "'"};
  }
  return engine;
}

}  // namespace

Result<EngineChoice> open_plugin_choice(const WorkerOptions& options, const std::string& name,
                                        const std::function<Bytes(const Error&)>& framed_failure) {
  const std::string what = "engine '" + name + "' ";
  AIOSS_TRY(
      const auto last_words,
      os::LastWords::arm(options.socket_fd, options.plugin_start_max,
                         static_cast<int>(WorkerExit::kLoadFailed), [&](std::string_view how) {
                           return framed_failure({Code::kEngineFailed, what + std::string(how) +
                                                                           " while it was opened"});
                         }));
  auto engine = open_named(options.engine_fd, name);
  if (!engine) return std::move(engine).error().with_context(what + "cannot be used");
  EngineChoice choice;
  choice.name = name;
  choice.engine = *engine;
  choice.holds_text = false;
  choice.open_text =
      [&options](engine::Model& model,
                 const std::vector<int>& fds) -> Result<std::unique_ptr<engine::TextModel>> {
    AIOSS_TRY(auto text, options.open_vocabulary(fds));
    AIOSS_CHECK(check_vocabulary(model, *text));
    return text;
  };
  return choice;
}

Result<std::vector<EngineChoice>> engines_of(
    const WorkerOptions& options, const std::string& name,
    const std::function<Bytes(const Error&)>& framed_failure) {
  if (options.engine_fd < 0) return options.engines;
  AIOSS_TRY(EngineChoice plugin, open_plugin_choice(options, name, framed_failure));
  return std::vector<EngineChoice>{std::move(plugin)};
}

Result<const EngineChoice*> find_engine(const std::vector<EngineChoice>& engines,
                                        const std::string& name) {
  for (const EngineChoice& choice : engines) {
    if (choice.name == name) return &choice;
  }
  return Error{Code::kUnsupported, "this binary has no engine named " + name};
}

Result<DeviceChoice> begin_devices(const WorkerOptions& options, const EngineChoice& choice,
                                   const std::string& names, const ipc::Layers& layers,
                                   const std::function<Bytes(const Error&)>& framed_failure) {
  const std::string what = "engine '" + choice.name + "' ";
  AIOSS_TRY(const auto last_words,
            os::LastWords::arm(
                options.socket_fd, kDriverStartMax, static_cast<int>(WorkerExit::kLoadFailed),
                [&](std::string_view how) {
                  return framed_failure({Code::kEngineFailed,
                                         what + std::string(how) + " while drivers were begun",
                                         std::string(ipc::kDeviceField)});
                }));
  return DeviceChoice::make(*choice.engine, options.device, names, layers);
}

Result<os::Confinement> confine_for_good(const WorkerOptions& options, const std::string& engine) {
  auto confined = os::enter_stage_two(options.device);
  if (confined || options.engine_fd < 0) return confined;
  return Error{Code::kEngineFailed, "engine '" + engine + "' was opened, but now its process " +
                                        "cannot be confined: " + confined.error().message};
}

}  // namespace aioss::worker
