// `aioss worker --plan`: a dry run in a process of its own, confined as a worker is, because it
// parses the same untrusted file.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "ipc/channel.h"
#include "ipc/plan.h"
#include "os/cpu.h"
#include "os/heaps.h"
#include "os/limits.h"
#include "os/sandbox.h"
#include "worker/device_choice.h"
#include "worker/gguf.h"
#include "worker/plugin_choice.h"
#include "worker/setup.h"
#include "worker/vocabulary.h"
#include "worker/worker.h"

namespace aioss::worker {
namespace {

constexpr std::chrono::seconds kAskTimeout{60};
// Headers, vocabularies and graphs, with the binary itself; never weights.
constexpr std::uint64_t kPlanAddressSpaceMax = std::uint64_t{4} << 30;
constexpr std::uint64_t kPlanCpuSecondsMax = 30;
// Contexts are looked for in multiples of this: engines round up to it.
constexpr std::uint32_t kCellsStep = 256;

// One model, opened without its weights, and the question.
class DryRun final {
 public:
  DryRun(const EngineChoice& choice, const ipc::PlanAsk& ask, DeviceChoice devices,
         std::uint32_t threads_default)
      : choice_(choice), ask_(ask), devices_(std::move(devices)) {
    if (ask_.threads == 0) ask_.threads = threads_default;
  }

  Status open(const std::vector<int>& fds);
  // As many layers go to the devices as have room there; all, if nothing is said of room.
  Status place_layers();
  Result<ipc::PlanReport> report() const;

 private:
  Result<std::unique_ptr<engine::Model>> open_model() const;
  bool fits_on_devices(const ipc::PlannedSession& planned) const;
  Result<ipc::PlannedSession> plan_with(const ipc::Layers& layers);
  Result<bool> fits_with(const ipc::Layers& layers);
  Result<ipc::PlannedSession> plan(std::uint32_t streams, std::uint32_t cells,
                                   const std::string& kv_type) const;
  std::vector<ipc::PlannedSession> find_options(const ipc::PlannedSession& asked) const;
  Result<std::vector<ipc::PlanDevice>> describe_devices() const;
  std::optional<ipc::PlannedSession> if_fits(std::uint32_t streams, std::uint32_t cells,
                                             const std::string& kv_type) const;
  std::optional<ipc::PlannedSession> fewer_cells(std::uint32_t streams, std::uint32_t cells,
                                                 const std::string& kv_type) const;
  std::optional<ipc::PlannedSession> fewer_streams(const ipc::PlannedSession& asked) const;

  const EngineChoice& choice_;
  ipc::PlanAsk ask_;
  DeviceChoice devices_;
  std::vector<int> fds_;
  std::unique_ptr<engine::Model> model_;
  // Of tokens, beside the engine's: a plugin's model brings no text of its own.
  std::uint64_t text_bytes_ = 0, table_bytes_ = 0;
};

Result<std::unique_ptr<engine::Model>> DryRun::open_model() const {
  aioss_model_options options = {};
  options.struct_size = sizeof options;
  options.profile = static_cast<std::uint32_t>(ask_.profile);
  options.fds = fds_.data();
  options.fd_count = static_cast<std::uint32_t>(fds_.size());
  options.flags = AIOSS_MODEL_DRY_RUN;
  devices_.apply(options);
  return engine::Model::open(*choice_.engine, options);
}

Status DryRun::open(const std::vector<int>& fds) {
  AIOSS_CHECK(engine::validate(*choice_.engine, static_cast<aioss_profile>(ask_.profile)));
  if (choice_.needs_gguf) AIOSS_CHECK(gguf::read_headers(fds));
  fds_ = fds;
  AIOSS_TRY(model_, open_model());
  const std::uint64_t before = os::heap_bytes();
  AIOSS_TRY(const auto text, choice_.open_text(*model_, fds));
  const std::uint64_t after = os::heap_bytes();
  if (!choice_.holds_text) text_bytes_ = after - std::min(before, after);
  AIOSS_TRY(const auto vocabulary, Vocabulary::create(*text, model_->facts().vocabulary_size));
  table_bytes_ = vocabulary->heap_bytes();
  return ok();
}

bool DryRun::fits_on_devices(const ipc::PlannedSession& planned) const {
  for (std::size_t i = 0; i < planned.devices.size() && i < ask_.device_rooms.size(); ++i) {
    if (planned.devices[i].total() > ask_.device_rooms[i]) return false;
  }
  return true;
}

Result<ipc::PlannedSession> DryRun::plan_with(const ipc::Layers& layers) {
  devices_.set_layers(layers);
  AIOSS_TRY(model_, open_model());
  return plan(ask_.streams, ask_.cells_per_stream, ask_.kv_type);
}

Result<bool> DryRun::fits_with(const ipc::Layers& layers) {
  AIOSS_TRY(const auto planned, plan_with(layers));
  return fits_on_devices(planned);
}

std::uint64_t bytes_on_devices(const ipc::PlannedSession& planned) {
  std::uint64_t bytes = 0;
  for (const ipc::DeviceNeeds& device : planned.devices) bytes += device.total();
  return bytes;
}

// By halves: the first number in (low, high] that fits, where `high` does.
template <typename Fits>
Result<std::uint32_t> first_that(std::uint32_t low, std::uint32_t high, Fits fits) {
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    AIOSS_TRY(const bool does, fits(middle));
    (does ? high : low) = middle;
  }
  return high;
}

// Bytes there fall with each layer whose experts stay with the CPU, and then with each layer that
// does. Experts go first: they are most of such a model, and a token needs few of them. If not one
// layer fits, the CPU has them all.
Status DryRun::place_layers() {
  if (devices_.is_cpu() || ask_.device_rooms.empty()) return ok();
  AIOSS_TRY(const auto all, plan(ask_.streams, ask_.cells_per_stream, ask_.kv_type));
  if (fits_on_devices(all)) return ok();
  const std::uint32_t count = std::min(model_->facts().layer_count, ipc::kGpuLayersMax);
  AIOSS_TRY(const auto without_experts, plan_with({{}, count}));
  const bool has_experts = bytes_on_devices(without_experts) < bytes_on_devices(all);
  ipc::Layers layers{{}, has_experts ? count : 0};
  if (has_experts && fits_on_devices(without_experts)) {
    const auto fits = [this](std::uint32_t experts) { return fits_with({{}, experts}); };
    AIOSS_TRY(layers.experts_on_cpu, first_that(0, count, fits));
  } else {
    const std::uint32_t most = count + 1;  // with the output
    const auto fits = [&](std::uint32_t stay) {
      return fits_with({most - stay, layers.experts_on_cpu});
    };
    AIOSS_TRY(const std::uint32_t stay, first_that(0, most, fits));
    layers.on_devices = most - stay;
    if (stay == most) devices_ = DeviceChoice();
  }
  devices_.set_layers(layers);
  AIOSS_TRY(model_, open_model());
  return ok();
}

Result<ipc::PlannedSession> DryRun::plan(std::uint32_t streams, std::uint32_t cells,
                                         const std::string& kv_type) const {
  ipc::Configure configure;
  configure.engine = ask_.engine;
  configure.profile = ask_.profile;
  configure.streams = streams;
  configure.cells_per_stream = cells;
  configure.kv_type = kv_type;
  configure.threads_batch = ask_.threads_batch;
  configure.micro_batch_tokens_max = ask_.micro_batch_tokens_max;
  configure.flash_attention = ask_.flash_attention;
  configure.speculation = ask_.speculation;
  configure.prefill_chunk_tokens_max = ask_.prefill_chunk_tokens_max;
  const SchedulerOptions scheduler = scheduler_options(configure, model_->facts(), *choice_.engine);
  AbortBoard board;
  AIOSS_TRY(const aioss_session_options session,
            session_options(scheduler, configure, ask_.threads, board));
  AIOSS_TRY(const aioss_plan bytes, model_->plan(session));
  ipc::PlannedSession out;
  out.streams = scheduler.streams;
  out.cells_per_stream = scheduler.cells_per_stream;
  out.kv_type = kv_type;
  out.exact = bytes.exact != 0;
  out.needs.weights = bytes.weight_bytes;
  out.needs.kv = bytes.kv_bytes;
  out.needs.compute = bytes.compute_bytes;
  out.needs.output = bytes.output_bytes;
  out.needs.vocabulary = bytes.vocabulary_bytes + text_bytes_ + table_bytes_;
  out.needs.overhead = bytes.overhead_bytes;
  out.device = devices_.text();
  if (!devices_.is_cpu()) out.layers = devices_.layers();
  const std::size_t planned = std::min<std::size_t>(bytes.device_count, AIOSS_DEVICES_MAX);
  for (std::size_t i = 0; i < planned && i < devices_.names().size(); ++i) {
    const aioss_plan_device& device = bytes.devices[i];
    out.devices.push_back(
        {devices_.names()[i], device.weight_bytes, device.kv_bytes, device.compute_bytes});
  }
  return out;
}

// What cannot be done at all is no option, either.
std::optional<ipc::PlannedSession> DryRun::if_fits(std::uint32_t streams, std::uint32_t cells,
                                                   const std::string& kv_type) const {
  auto planned = plan(streams, cells, kv_type);
  if (!planned || planned->needs.committed() > ask_.room_bytes) return std::nullopt;
  return std::move(*planned);
}

// The most that fit and are fewer than `cells`: bytes grow with cells, so by halves.
std::optional<ipc::PlannedSession> DryRun::fewer_cells(std::uint32_t streams, std::uint32_t cells,
                                                       const std::string& kv_type) const {
  std::optional<ipc::PlannedSession> best;
  std::uint32_t low = 1;  // in steps; what is below fits, what is from `high` on does not
  std::uint32_t high = (cells + kCellsStep - 1) / kCellsStep;
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    auto planned = if_fits(streams, middle * kCellsStep, kv_type);
    if (planned) {
      best = std::move(planned);
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return best;
}

std::optional<ipc::PlannedSession> DryRun::fewer_streams(const ipc::PlannedSession& asked) const {
  std::optional<ipc::PlannedSession> best;
  std::uint32_t low = 1;
  std::uint32_t high = asked.streams;
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    auto planned = if_fits(middle, asked.cells_per_stream, asked.kv_type);
    if (planned) {
      best = std::move(planned);
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return best;
}

// One thing changed, each as little as will do: KV type, context, sequences. If none of them alone
// is enough, the smallest KV for one sequence.
std::vector<ipc::PlannedSession> DryRun::find_options(const ipc::PlannedSession& asked) const {
  std::vector<ipc::PlannedSession> options;
  const auto add = [&](std::optional<ipc::PlannedSession> option) {
    if (option) options.push_back(std::move(*option));
  };
  for (const char* kv_type : {"q8_0", "q4_0"}) {
    if (asked.kv_type != "f16" || !options.empty()) continue;
    add(if_fits(asked.streams, asked.cells_per_stream, kv_type));
  }
  add(fewer_cells(asked.streams, asked.cells_per_stream, asked.kv_type));
  add(fewer_streams(asked));
  if (!options.empty()) return options;
  for (const std::string kv_type : {"q8_0", "q4_0"}) {
    auto whole = if_fits(1, asked.cells_per_stream, kv_type);
    add(whole ? std::move(whole) : fewer_cells(1, asked.cells_per_stream, kv_type));
  }
  if (options.empty()) add(fewer_cells(1, asked.cells_per_stream, asked.kv_type));
  return options;
}

Result<ipc::PlanReport> DryRun::report() const {
  ipc::PlanReport report;
  AIOSS_TRY(report.asked, plan(ask_.streams, ask_.cells_per_stream, ask_.kv_type));
  report.context_tokens_train = model_->facts().context_tokens_train;
  const bool fits = report.asked.needs.committed() <= ask_.room_bytes;
  if (ask_.room_bytes > 0 && !fits) report.options = find_options(report.asked);
  AIOSS_TRY(report.devices, describe_devices());
  return report;
}

// Those on which nothing is to be are only named.
Result<std::vector<ipc::PlanDevice>> DryRun::describe_devices() const {
  std::vector<ipc::PlanDevice> out;
  AIOSS_TRY(auto devices, engine::devices(*choice_.engine, engine::DeviceDetail::kNames));
  devices.resize(std::min(devices.size(), ipc::kPlanDevicesMax));
  for (std::uint32_t i = 0; i < devices.size(); ++i) {
    const std::vector<std::uint32_t>& chosen = devices_.indices();
    const bool is_used = devices[i].kind == AIOSS_DEVICE_CPU ||
                         std::find(chosen.begin(), chosen.end(), i) != chosen.end();
    if (is_used) {
      AIOSS_TRY(devices[i], engine::device(*choice_.engine, i));
    }
    out.push_back(
        {devices[i].name, devices[i].description, devices[i].bytes_total, devices[i].bytes_free});
  }
  return out;
}

Bytes plan_failure(const Error& error) {
  ipc::PlanReport report;
  report.error = error;
  return ipc::encode(report);
}

// Behind stage one; enters stage two before a byte of the model is read.
Result<ipc::PlanReport> dry_run(const WorkerOptions& options, ipc::Channel& channel,
                                std::uint32_t threads, WorkerExit& exit) {
  AIOSS_TRY(const Bytes frame, channel.receive(kAskTimeout));
  AIOSS_TRY(const ipc::PlanAsk ask, ipc::decode_plan_ask(frame));
  exit = WorkerExit::kLoadFailed;
  const auto framed = [](const Error& error) { return ipc::framed(plan_failure(error)); };
  AIOSS_TRY(const std::vector<EngineChoice> engines, engines_of(options, ask.engine, framed));
  AIOSS_TRY(const EngineChoice* const choice, find_engine(engines, ask.engine));
  AIOSS_TRY(DeviceChoice devices, begin_devices(options, *choice, ask.device, {}, framed));
  DryRun run(*choice, ask, std::move(devices), threads);
  exit = WorkerExit::kConfinement;
  AIOSS_CHECK(confine_for_good(options, ask.engine));
  exit = WorkerExit::kLoadFailed;
  AIOSS_CHECK(run.open(options.model_fds));
  AIOSS_CHECK(run.place_layers());
  return run.report();
}

Status confine(const WorkerOptions& options) {
  // Drivers of GPUs map the memory of all of them, and more.
  if (options.device == os::SandboxFor::kCpu)
    AIOSS_CHECK(os::limit_address_space(kPlanAddressSpaceMax));
  AIOSS_CHECK(os::limit_cpu_time(kPlanCpuSecondsMax));
  AIOSS_CHECK(os::enter_stage_one(options.device, options.engine_fd));
  return ok();
}

}  // namespace

int run_plan(const WorkerOptions& options) {
  ipc::Channel channel{os::Fd(options.socket_fd)};
  const std::uint32_t threads = os::cpu_budget().usable_cores();  // /proc is out of reach later
  Result<ipc::PlanReport> report = Error{Code::kInternal, "the dry run did not run"};
  WorkerExit exit = WorkerExit::kConfinement;
  try {
    if (const Status confined = confine(options); confined) {
      report = dry_run(options, channel, threads, exit);
      if (report) exit = WorkerExit::kOk;
    } else {
      report = confined.error();
    }
  } catch (const std::bad_alloc&) {
    report = Error{Code::kNoMemory, "the dry run takes too much memory; do not use this file"};
  } catch (const std::exception& e) {
    report = Error{Code::kInternal, e.what()};
  }
  const Bytes answer = report ? ipc::encode(*report) : plan_failure(report.error());
  if (!channel.send(answer)) exit = WorkerExit::kInternal;
  return static_cast<int>(exit);
}

}  // namespace aioss::worker
