#include "runtime/dry_runs/devices_child.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <utility>

#include "base/clock.h"
#include "base/strings.h"
#include "ipc/channel.h"
#include "os/environment.h"
#include "os/process.h"
#include "os/read_some.h"
#include "runtime/catalogue/engines.h"
#include "runtime/dry_runs/device_table.h"
#include "runtime/dry_runs/gpu_process.h"
#include "runtime/dry_runs/model_child.h"

namespace aioss::runtime {
namespace {

constexpr int kEngineInChild = 4;
constexpr std::chrono::milliseconds kAnswerTime{30'000};  // drivers may take seconds
constexpr std::chrono::milliseconds kExitTime{1000};
constexpr std::size_t kLengthBytes = 4;  // in front of a frame (ipc/channel.h)
constexpr std::size_t kMessageBytesMax = 500;
// The engine for tests has GPUs, too, where that says so.
constexpr std::string_view kFakeGpus = "AIOSS_FAKE_GPUS";

// One of an engine's GPUs: the name of its book, and in what settings may say.
bool names_one_gpu(const std::string& name) {
  return name.find(':') != std::string::npos && name.find(',') == std::string::npos &&
         is_device_setting(name);
}

// All that it writes until it closes its end; what came until its time is up.
Bytes read_all(int descriptor, const Clock& clock) {
  const std::int64_t deadline = clock.monotonic_ns() + kAnswerTime.count() * kNsPerMs;
  Bytes out;
  Bytes piece(4096);
  while (out.size() <= ipc::kDevicesFrameBytesMax) {
    const std::int64_t left_ms = (deadline - clock.monotonic_ns()) / kNsPerMs;
    if (left_ms <= 0) break;
    const auto count = os::read_some(descriptor, piece, std::chrono::milliseconds(left_ms));
    if (!count || *count == 0) break;
    out.insert(out.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(*count));
  }
  return out;
}

Result<std::vector<ipc::DeviceOfEngine>> parse(const Bytes& said) {
  if (said.size() < kLengthBytes) {
    return Error{Code::kEngineFailed, "its drivers crashed or hung when they were asked"};
  }
  auto report = ipc::decode_devices_report(ByteView(said).subspan(kLengthBytes));
  if (!report) return Error{Code::kEngineFailed, "what it said of its devices was nonsense"};
  if (!report->error) return std::move(report->devices);
  return Error{Code::kEngineFailed, one_line(report->error->message.substr(0, kMessageBytesMax))};
}

}  // namespace

std::vector<ipc::DeviceOfEngine> believable(std::vector<ipc::DeviceOfEngine> said,
                                            const plugins::EngineImage* asked) {
  std::vector<ipc::DeviceOfEngine> out;
  for (ipc::DeviceOfEngine& device : said) {
    // A plugin speaks for itself only; the process of those that are linked for all of them.
    if (asked != nullptr && !asked->is_linked) device.engine = asked->name;
    const bool is_known = std::any_of(out.begin(), out.end(), [&](const auto& known) {
      return known.engine == device.engine && known.name == device.name;
    });
    const bool is_of_asked = asked == nullptr || device.engine == asked->name;
    if (is_known || !is_of_asked || !(device.is_cpu || names_one_gpu(device.name))) continue;
    out.push_back(std::move(device));
  }
  return out;
}

Result<std::vector<ipc::DeviceOfEngine>> ask_devices(const plugins::EngineImage* engine,
                                                     const std::string& executable,
                                                     const Clock& clock) {
  AIOSS_TRY(auto sockets, os::socket_pair());
  os::SpawnOptions spawn;
  spawn.executable = executable;
  spawn.inherit_output = false;
  spawn.arguments = {"aioss", "worker", "--devices", "--socket", std::to_string(kSocketInChild)};
  spawn.descriptors = {{kSocketInChild, sockets.second.get()}};
  const int plugin = plugins::plugin_descriptor(engine);
  if (plugin >= 0) {
    spawn.descriptors.emplace_back(kEngineInChild, plugin);
    spawn.arguments.insert(spawn.arguments.end(),
                           {"--engine", std::to_string(kEngineInChild), "--name", engine->name});
  }
  start_for_gpus(spawn);
  AIOSS_TRY(os::Child child, os::Child::spawn(spawn));
  sockets.second.reset();  // so that the child's end is the only one
  auto devices = parse(read_all(sockets.first.get(), clock));
  (void)child.send_signal(SIGKILL);  // it has said all that it may
  (void)child.wait_for(kExitTime);
  if (!devices) return devices;
  return believable(std::move(*devices), engine);
}

DevicesOfEngines ask_all_devices(const plugins::EngineTable* engines, const std::string& executable,
                                 const Clock& clock) {
  DevicesOfEngines out;
  if (engines == nullptr) return out;
  for (const auto& engine : engines->all()) {
    const bool plays = engine->name == kFakeEngine && os::environment(std::string(kFakeGpus));
    if (!plays && (engine->is_linked || !plugins::is_for_gpus(engine->name))) continue;
    auto devices = ask_devices(engine.get(), executable, clock);
    if (!devices) {
      out.failures.push_back(std::move(devices).error().with_context("engine " + engine->name));
      continue;
    }
    for (ipc::DeviceOfEngine& device : *devices) {
      if (!device.is_cpu) out.gpus.push_back(std::move(device));
    }
  }
  return out;
}

}  // namespace aioss::runtime
