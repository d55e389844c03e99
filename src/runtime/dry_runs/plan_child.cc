#include "runtime/dry_runs/plan_child.h"

#include <algorithm>
#include <csignal>
#include <memory>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "ipc/channel.h"
#include "os/process.h"
#include "os/read_some.h"
#include "runtime/calls/stopping.h"
#include "runtime/dry_runs/gpu_process.h"
#include "runtime/dry_runs/model_child.h"

namespace aioss::runtime {
namespace {

constexpr std::chrono::milliseconds kSlice{100};  // between two looks at `stop`
constexpr std::chrono::milliseconds kExitTime{1000};
constexpr std::size_t kLengthBytes = 4;  // in front of a frame (ipc/channel.h)

Error untrustworthy(std::string what, const PlanChildOptions& options) {
  if (plugins::plugin_descriptor(options.engine.get()) < 0) {
    return {Code::kModelCorrupt, std::move(what) + "; do not use this file"};
  }
  return {Code::kEngineFailed, std::move(what) + "; engine '" + options.engine->name +
                                   "' or this file is broken: try another engine"};
}

// All that the child writes, until it closes its end.
Result<Bytes> read_all(int descriptor, const PlanChildOptions& options, const Clock& clock,
                       const std::atomic<bool>& stop) {
  const std::int64_t deadline = clock.monotonic_ns() + options.time_max.count() * kNsPerMs;
  Bytes out;
  Bytes piece(4096);
  while (!stop.load()) {
    const std::int64_t left_ms = (deadline - clock.monotonic_ns()) / kNsPerMs;
    if (left_ms <= 0) {
      return untrustworthy(
          "planning it took over " + std::to_string(options.time_max.count() / 1000) + " s",
          options);
    }
    const auto count =
        os::read_some(descriptor, piece, std::min(kSlice, std::chrono::milliseconds(left_ms)));
    if (!count && count.error().code == Code::kTimeout) continue;
    if (!count || *count == 0) return out;  // a reset is an end, too
    out.insert(out.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(*count));
    if (out.size() > ipc::kPlanFrameBytesMax)
      return untrustworthy("its plan is absurdly long", options);
  }
  return gateway_stopping();
}

bool is_whole_frame(const Bytes& bytes) {
  if (bytes.size() < kLengthBytes) return false;
  std::uint32_t length = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) length = length << 8 | bytes[i];
  return length == bytes.size() - kLengthBytes;
}

// One that a disk holds in the kernel does not end when it is killed: it is left to init.
struct KillAndLeave {
  void operator()(os::Child* child) const {
    (void)child->send_signal(SIGKILL);
    if (child->wait_for(kExitTime)) delete child;
  }
};
using KilledChild = std::unique_ptr<os::Child, KillAndLeave>;

Result<ipc::PlanReport> parse(const Bytes& said, const PlanChildOptions& options,
                              os::Child& child) {
  if (said.empty()) {
    const auto status = child.wait_for(kExitTime);
    return untrustworthy(
        "the process that plans it ended with " + (status ? status->describe() : "no answer"),
        options);
  }
  const Error nonsense = untrustworthy("the process that plans it spoke nonsense", options);
  if (!is_whole_frame(said)) return nonsense;
  auto report = ipc::decode_plan_report(ByteView(said).subspan(kLengthBytes));
  if (!report) return nonsense;
  if (report->error)
    return error_of_child(*report->error, Code::kModelCorrupt, "the file cannot be planned");
  return report;
}

}  // namespace

Result<ipc::PlanReport> run_plan_child(const OpenModel& files, const ipc::PlanAsk& ask,
                                       const PlanChildOptions& options, const Clock& clock,
                                       const std::atomic<bool>& stop) {
  AIOSS_TRY(const auto models, open_again(files));
  AIOSS_TRY(auto sockets, os::socket_pair());
  os::SpawnOptions spawn =
      model_child(options.executable, "--plan", sockets.second.get(), models, options.engine.get());
  if (drives_gpus(ask.engine, ask.device)) start_for_gpus(spawn);
  AIOSS_TRY(os::Child spawned, os::Child::spawn(spawn));
  const KilledChild child(new os::Child(std::move(spawned)));
  sockets.second.reset();  // so that the child's end is the only one
  ipc::Channel channel(std::move(sockets.first));
  // Of some hundred bytes: the socket's buffer takes it, whether the child reads or not.
  (void)channel.send(ipc::encode(ask));  // a child that is gone is noticed by what it does not say
  AIOSS_TRY(const Bytes said, read_all(channel.descriptor(), options, clock, stop));
  return parse(said, options, *child);
}

}  // namespace aioss::runtime
