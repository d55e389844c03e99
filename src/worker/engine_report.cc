#include "worker/engine_report.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "codec/json.h"
#include "engine/conformance.h"
#include "engine/plugin.h"
#include "os/cpu.h"
#include "os/file.h"
#include "os/limits.h"
#include "os/sandbox.h"
#include "os/thread.h"
#include "worker/device_choice.h"
#include "worker/gguf.h"

namespace aioss::worker {
namespace {

using codec::OrderedJson;

constexpr std::uint64_t kReportCpuSecondsMax = 30;
constexpr std::uint64_t kInspectAddressSpaceMax = std::uint64_t{8} << 30;  // libraries of drivers
// Of a check on the CPU: the model's files mapped, copied and repacked, and beside them its
// sessions, which are small.
constexpr std::uint64_t kCheckCopiesMax = 5;  // two models for a moment, and headroom
constexpr int kCheckOomScore = 1000;          // before anything that serves
constexpr std::uint64_t kCheckSessionsMax = std::uint64_t{8} << 30;

bool write_line(int fd, const OrderedJson& json) {
  const std::string line = codec::dump_json(json) + "\n";
  std::string_view text = line;
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno != EINTR) return false;
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

int fail(int fd, const Error& error) {
  OrderedJson out;
  out["error"] = {{"code", info(error.code).name}, {"message", error.message}};
  (void)write_line(fd, out);
  return static_cast<int>(info(error.code).exit_code);
}

OrderedJson profiles_of(const aioss_engine& engine) {
  OrderedJson out = OrderedJson::array();
  for (const aioss_profile profile :
       {AIOSS_PROFILE_FAST, AIOSS_PROFILE_REPRODUCIBLE, AIOSS_PROFILE_EVIDENCE}) {
    if ((engine.profiles() & (1U << static_cast<unsigned>(profile))) == 0) continue;
    out.push_back(engine::profile_name(profile));
  }
  return out;
}

template <std::size_t N>
std::string text_of(const char (&text)[N]) {
  return std::string(text, ::strnlen(text, N));
}

Result<OrderedJson> devices_of(const aioss_engine& engine) {
  OrderedJson out = OrderedJson::array();
  AIOSS_TRY(const auto devices, engine::devices(engine));
  for (const aioss_device& device : devices) {
    OrderedJson one;
    one["name"] = text_of(device.name);
    one["backend"] = text_of(device.backend);
    one["description"] = text_of(device.description);
    one["bytes_total"] = device.bytes_total;
    one["bytes_free"] = device.bytes_free;
    out.push_back(std::move(one));
  }
  return out;
}

// What the plugin takes must not be the machine's; drivers of GPUs reserve more than there is.
Status limit_check(const EngineCheck& check) {
  os::prefer_to_be_killed_for_memory(kCheckOomScore);
  if (check.device != "cpu") return ok();
  std::uint64_t bytes = kCheckSessionsMax;
  for (const int fd : check.model_fds) {
    AIOSS_TRY(const os::FileInfo file, os::descriptor_info(fd));
    bytes += kCheckCopiesMax * file.size;
  }
  return os::limit_address_space(bytes);
}

Result<const aioss_engine*> open_engine(const EngineSource& source) {
  if (source.linked != nullptr) return source.linked;
  return engine::open_plugin(source.plugin_fd);
}

Result<OrderedJson> describe(const EngineSource& source) {
  AIOSS_CHECK(os::limit_address_space(kInspectAddressSpaceMax));
  AIOSS_CHECK(os::limit_cpu_time(kReportCpuSecondsMax));
  AIOSS_CHECK(os::enter_stage_one(os::SandboxFor::kCpu, source.plugin_fd));
  AIOSS_TRY(const aioss_engine* const engine, open_engine(source));
  AIOSS_TRY(const engine::Identity who, engine::checked_identity(*engine));
  OrderedJson out;
  out["name"] = who.name;
  out["version"] = who.version;
  out["build_id"] = who.build_id;
  out["compiler"] = who.compiler;
  out["cpu_features"] = who.cpu_features;
  out["abi"] = who.abi_version;
  out["profiles"] = profiles_of(*engine);
  out["prefill_grid_tokens"] = engine->prefill_grid_tokens();
  out["adapters"] = engine::has_adapters(*engine);
  out["threads"] = os::thread_count();
  AIOSS_TRY(out["devices"], devices_of(*engine));
  return out;
}

struct CheckedPlugin {
  const aioss_engine* engine = nullptr;
  DeviceChoice devices;
};

Result<CheckedPlugin> open_confined(const EngineCheck& check) {
  const auto sandbox = check.device == "cpu" ? os::SandboxFor::kCpu : os::SandboxFor::kGpu;
  CheckedPlugin out;
  AIOSS_CHECK(os::enter_stage_one(sandbox, check.engine.plugin_fd));
  AIOSS_TRY(out.engine, open_engine(check.engine));
  AIOSS_TRY(out.devices, DeviceChoice::make(*out.engine, sandbox, check.device, {}));
  if (sandbox == os::SandboxFor::kCpu && os::thread_count() > 1) {
    return Error{
        Code::kUnsupported,
        "the engine starts threads as it is opened, so that its process cannot be confined "
        "any more; only engines for GPUs may, which are checked with --device"};
  }
  AIOSS_CHECK(os::enter_stage_two(sandbox));
  AIOSS_CHECK(gguf::read_headers(check.model_fds));
  return out;
}

struct Checked {
  bool passed = false;
  std::string engine;
};

Result<Checked> run_checks(const EngineCheck& check) {
  const std::uint32_t cores = os::cpu_budget().usable_cores();  // /proc is out of reach later
  AIOSS_CHECK(limit_check(check));
  AIOSS_TRY(const CheckedPlugin plugin, open_confined(check));
  AIOSS_TRY(const engine::Identity who, engine::checked_identity(*plugin.engine));
  engine::ConformanceOptions options;
  options.fds = check.model_fds;
  options.devices = plugin.devices.indices();
  if (!plugin.devices.is_cpu()) options.profiles = {AIOSS_PROFILE_FAST};  // GPUs keep no other
  options.threads = std::clamp(cores, 1U, 8U);
  if (check.quick) {
    options.prompt_lengths = {30, 79, 155};
    options.company_seeds = {1};
    options.measure_unpromised = false;
  }
  options.on_check = [&](const engine::ConformanceCheck& made) {
    OrderedJson line;
    line["profile"] = made.profile;
    line["name"] = made.name;
    line["verdict"] = engine::verdict_name(made.verdict);
    line["detail"] = made.detail;
    (void)write_line(check.out_fd, line);
  };
  return Checked{engine::run_conformance(*plugin.engine, options).passed(), who.name};
}

}  // namespace

int run_inspect_engine(const EngineSource& source, int out_fd) {
  Result<OrderedJson> report = Error{Code::kInternal, "inspect did not run"};
  try {
    report = describe(source);
  } catch (const std::exception& e) {
    report = Error{Code::kInternal, e.what()};
  }
  if (!report) return fail(out_fd, report.error());
  return write_line(out_fd, *report) ? 0 : static_cast<int>(ExitCode::kFailure);
}

int run_check_engine(const EngineCheck& check) {
  Result<Checked> checked = Error{Code::kInternal, "the check did not run"};
  try {
    checked = run_checks(check);
  } catch (const std::bad_alloc&) {
    checked =
        Error{Code::kNoMemory,
              "the engine has taken all the memory that a check has: 8 GiB and five times the "
              "model's files"};
  } catch (const std::exception& e) {
    checked = Error{Code::kInternal, e.what()};
  }
  if (!checked) return fail(check.out_fd, checked.error());
  OrderedJson last;
  last["passed"] = checked->passed;
  last["engine"] = checked->engine;
  if (!write_line(check.out_fd, last)) return static_cast<int>(ExitCode::kFailure);
  return checked->passed ? 0 : static_cast<int>(ExitCode::kFailure);
}

}  // namespace aioss::worker
