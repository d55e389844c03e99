#include "cli/engine_child.h"

#include <algorithm>
#include <csignal>
#include <span>
#include <utility>

#include "base/clock.h"
#include "base/strings.h"
#include "codec/json.h"
#include "os/process.h"
#include "os/read_some.h"
#include "plugins/engine_table.h"
#include "plugins/manifest.h"
#include "runtime/dry_runs/gpu_process.h"

namespace aioss::cli {
namespace {

using codec::Json;

constexpr std::chrono::seconds kInspectTime{60};
constexpr std::chrono::milliseconds kExitTime{2000};
constexpr std::size_t kReportLineBytesMax = 64U << 10;
constexpr std::size_t kLinesMax = 10'000;
constexpr std::size_t kTextBytesMax = 600;
constexpr std::size_t kDevicesMax = 16;

Error broken(const std::string& what) {
  return {Code::kEngineFailed, what};
}

// A child whose output is read line by line. Killed when it goes.
class EngineChild final {
 public:
  // `drives_gpus`: with what workers that do are started with, too.
  static Result<std::unique_ptr<EngineChild>> start(std::vector<std::string> arguments,
                                                    const EngineSource& engine,
                                                    const std::vector<int>& models,
                                                    bool drives_gpus, const Clock& clock);
  ~EngineChild() {
    (void)child_.send_signal(SIGKILL);
    (void)child_.wait_for(kExitTime);
  }
  EngineChild(const EngineChild&) = delete;
  EngineChild& operator=(const EngineChild&) = delete;

  // Its next line; nothing at its end. kTimeout, kEngineFailed.
  Result<std::optional<Json>> next(std::chrono::milliseconds wait_max);
  std::string ending();

 private:
  EngineChild(os::Child child, os::Fd output, const Clock& clock)
      : child_(std::move(child)), output_(std::move(output)), clock_(clock) {}
  Result<std::optional<std::string>> next_line(std::chrono::milliseconds wait_max);

  os::Child child_;
  os::Fd output_;
  const Clock& clock_;
  std::string pending_;
  std::size_t lines_ = 0;
};

Result<std::unique_ptr<EngineChild>> EngineChild::start(std::vector<std::string> arguments,
                                                        const EngineSource& engine,
                                                        const std::vector<int>& models,
                                                        bool drives_gpus, const Clock& clock) {
  AIOSS_TRY(auto sockets, os::socket_pair());
  os::SpawnOptions spawn;
  spawn.executable = "/proc/self/exe";
  if (!engine.linked.empty()) {
    arguments.insert(arguments.end(), {"--linked", engine.linked});
  }
  spawn.arguments = std::move(arguments);
  spawn.environment = {"LANG=C.UTF-8"};
  if (drives_gpus) {
    for (std::string& one : runtime::gpu_environment()) spawn.environment.push_back(std::move(one));
  }
  spawn.inherit_output = false;
  spawn.descriptors = {{kEngineOutputFd, sockets.second.get()}};
  if (engine.linked.empty()) spawn.descriptors.emplace_back(kEngineFd, engine.plugin);
  int number = kEngineModelFd;
  for (const int model : models) spawn.descriptors.emplace_back(number++, model);
  AIOSS_TRY(os::Child child, os::Child::spawn(spawn));
  sockets.second.reset();  // so that the child's end is the only one
  return std::unique_ptr<EngineChild>(
      new EngineChild(std::move(child), std::move(sockets.first), clock));
}

Result<std::optional<std::string>> EngineChild::next_line(std::chrono::milliseconds wait_max) {
  const std::int64_t deadline = clock_.monotonic_ns() + wait_max.count() * kNsPerMs;
  std::vector<std::uint8_t> bytes(4096);
  for (;;) {
    if (const std::size_t end = pending_.find('\n'); end != std::string::npos) {
      std::string line = pending_.substr(0, end);
      pending_.erase(0, end + 1);
      return std::optional<std::string>(std::move(line));
    }
    if (pending_.size() > kReportLineBytesMax) return broken("what it says is absurdly long");
    const std::int64_t left_ms = (deadline - clock_.monotonic_ns()) / kNsPerMs;
    if (left_ms <= 0) return Error{Code::kTimeout, ""};
    const auto count = os::read_some(output_.get(), bytes, std::chrono::milliseconds(left_ms));
    if (!count && count.error().code == Code::kTimeout) continue;
    if (!count || *count == 0) return std::optional<std::string>();  // a reset is an end, too
    pending_ += as_text(std::span(bytes).first(*count));
  }
}

Result<std::optional<Json>> EngineChild::next(std::chrono::milliseconds wait_max) {
  AIOSS_TRY(const std::optional<std::string> line, next_line(wait_max));
  if (!line) return std::optional<Json>();
  codec::JsonLimits limits;
  limits.bytes_max = kReportLineBytesMax;
  limits.depth_max = 4;
  limits.nodes_max = 1000;
  auto json = codec::parse_json(*line, limits);
  if (!json || !json->is_object() || ++lines_ > kLinesMax) return broken("it speaks nonsense");
  return std::optional<Json>(std::move(*json));
}

std::string EngineChild::ending() {
  const auto status = child_.wait_for(kExitTime);
  if (!status) return "no answer";
  const bool is_illegal = status->signaled && status->value == SIGILL;
  return status->describe() + (is_illegal ? ": it may be built for another processor" : "");
}

std::string text_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_string()) return "";
  return one_line(std::string_view(found->get_ref<const std::string&>()).substr(0, kTextBytesMax));
}

std::uint64_t number_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

std::uint32_t small_number_of(const Json& json, const char* key) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(number_of(json, key), UINT32_MAX));
}

std::optional<Error> error_in(const Json& json) {
  const auto found = json.find("error");
  if (found == json.end() || !found->is_object()) return std::nullopt;
  const std::string code = text_of(*found, "code");
  const std::string message = text_of(*found, "message");
  for (const Code known : {Code::kUnsupported, Code::kModelCorrupt, Code::kIo, Code::kNoMemory,
                           Code::kInvalidArgument}) {
    if (code == info(known).name) return Error{known, message};
  }
  return broken(message);
}

EngineReport report_of(const Json& json) {
  EngineReport out;
  out.name = text_of(json, "name");
  out.version = text_of(json, "version");
  out.build_id = text_of(json, "build_id");
  out.compiler = text_of(json, "compiler");
  out.cpu_features = text_of(json, "cpu_features");
  out.abi = small_number_of(json, "abi");
  out.prefill_grid_tokens = small_number_of(json, "prefill_grid_tokens");
  out.threads = small_number_of(json, "threads");
  out.adapters = json.contains("adapters") && json["adapters"] == true;
  if (json.contains("profiles") && json["profiles"].is_array()) {
    for (const Json& one : json["profiles"]) {
      if (one.is_string() && out.profiles.size() < 3) {
        out.profiles.push_back(one_line(one.get_ref<const std::string&>()));
      }
    }
  }
  if (json.contains("devices") && json["devices"].is_array()) {
    for (const Json& one : json["devices"]) {
      if (!one.is_object() || out.devices.size() == kDevicesMax) break;
      out.devices.push_back({text_of(one, "name"), text_of(one, "backend"),
                             text_of(one, "description"), number_of(one, "bytes_total"),
                             number_of(one, "bytes_free")});
    }
  }
  return out;
}

}  // namespace

Result<EngineReport> inspect_engine(const EngineSource& engine, const Clock& clock) {
  AIOSS_TRY(const auto child,
            EngineChild::start({"aioss", "worker", "--inspect-engine"}, engine, {}, false, clock));
  auto said = child->next(kInspectTime);
  if (!said && said.error().code == Code::kTimeout) {
    return broken("the engine did not come back within " + std::to_string(kInspectTime.count()) +
                  " s; do not use it");
  }
  if (!said) return std::move(said).error();
  if (!*said) {
    return broken("the process that opened the engine ended with " + child->ending() +
                  "; do not use it");
  }
  if (auto error = error_in(**said)) return *error;
  EngineReport report = report_of(**said);
  if (!plugins::is_plugin_name(report.name)) return broken("the engine says no name");
  if (report.threads > 1 && !plugins::is_for_gpus(report.name)) {
    return Error{
        Code::kUnsupported,
        "the engine starts threads as it is opened, so that its process cannot be confined "
        "any more; only engines for GPUs may, others start them with their first model"};
  }
  return report;
}

namespace {

// The next word of a check: a line, or its last one, or why there is none.
Result<Json> next_of_check(EngineChild& child, std::chrono::seconds silence_max,
                           const std::string& after) {
  auto said = child.next(silence_max);
  if (!said && said.error().code == Code::kTimeout) {
    return broken("the engine hangs " + after + ": nothing came for " +
                  std::to_string(silence_max.count()) + " s");
  }
  if (!said) return std::move(said).error();
  if (!*said) return broken("the engine ended its process " + after + ": " + child.ending());
  if (auto error = error_in(**said)) return std::move(*error);
  return std::move(**said);
}

}  // namespace

Result<CheckedEngine> check_engine(const CheckRequest& request, const Clock& clock,
                                   const std::function<void(const EngineCheckLine&)>& on_line) {
  std::string models;
  for (std::size_t i = 0; i < request.models.size(); ++i) {
    models += (i > 0 ? "," : "") + std::to_string(kEngineModelFd + static_cast<int>(i));
  }
  std::vector<std::string> arguments{"aioss", "worker", "--check-engine", models, request.device};
  if (request.quick) arguments.emplace_back("--quick");
  AIOSS_TRY(const auto child, EngineChild::start(std::move(arguments), request.engine,
                                                 request.models, request.device != "cpu", clock));
  CheckedEngine out;
  for (;;) {
    const std::string after =
        out.lines.empty() ? "before the first check" : "after " + out.lines.back().name;
    auto line = next_of_check(*child, request.silence_max, after);
    if (!line && out.lines.empty()) return std::move(line).error();
    if (!line) {
      out.ended_by = std::move(line).error();
      return out;
    }
    if (line->contains("passed")) {
      out.passed = (*line)["passed"] == true;
      out.engine = text_of(*line, "engine");
      return out;
    }
    out.lines.push_back({text_of(*line, "profile"), text_of(*line, "name"),
                         text_of(*line, "verdict"), text_of(*line, "detail")});
    if (on_line) on_line(out.lines.back());
  }
}

}  // namespace aioss::cli
