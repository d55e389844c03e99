#include "runtime/dry_runs/model_child.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/strings.h"

namespace aioss::runtime {
namespace {

constexpr int kFirstModelInChild = 4;
constexpr std::size_t kMessageBytesMax = 500;

}  // namespace

Result<std::vector<std::unique_ptr<os::File>>> open_again(const OpenModel& files) {
  os::RealFileSystem real;
  std::vector<std::unique_ptr<os::File>> again;
  for (const int descriptor : files.descriptors()) {
    AIOSS_TRY(auto opened,
              real.open("/proc/self/fd/" + std::to_string(descriptor), os::OpenMode::kRead));
    again.push_back(std::move(opened));
  }
  return again;
}

os::SpawnOptions model_child(const std::string& executable, std::string_view mode, int socket,
                             const std::vector<std::unique_ptr<os::File>>& models,
                             const plugins::EngineImage* engine) {
  os::SpawnOptions spawn;
  spawn.executable = executable;
  spawn.inherit_output = false;
  spawn.descriptors = {{kSocketInChild, socket}};
  std::string numbers;
  int number = kFirstModelInChild;
  for (const auto& model : models) {
    numbers += (numbers.empty() ? "" : ",") + std::to_string(number);
    spawn.descriptors.emplace_back(number++, model->descriptor());
  }
  spawn.arguments = {
      "aioss",    "worker", std::string(mode), "--socket", std::to_string(kSocketInChild),
      "--models", numbers};
  if (const int plugin = plugins::plugin_descriptor(engine); plugin >= 0) {
    spawn.arguments.insert(spawn.arguments.end(), {"--engine", std::to_string(number)});
    spawn.descriptors.emplace_back(number, plugin);
  }
  return spawn;
}

Error error_of_child(const Error& error, Code implausible, std::string_view silent) {
  constexpr Code kPlausible[] = {Code::kModelCorrupt, Code::kIo,           Code::kNoMemory,
                                 Code::kUnsupported,  Code::kEngineFailed, Code::kInvalidArgument};
  const bool plausible =
      std::find(std::begin(kPlausible), std::end(kPlausible), error.code) != std::end(kPlausible);
  const std::string message = one_line(error.message.substr(0, kMessageBytesMax));
  Error out{plausible ? error.code : implausible, message.empty() ? std::string(silent) : message};
  if (error.field == ipc::kDeviceField) out.field = error.field;
  return out;
}

}  // namespace aioss::runtime
