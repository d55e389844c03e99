// Start-up of a worker process: the order of these steps is the security argument. Whatever parses
// a byte of the model file comes after both stages of the sandbox.
#include "worker/worker.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <new>
#include <optional>
#include <utility>

#include "ipc/channel.h"
#include "ipc/limits.h"
#include "ipc/messages.h"
#include "os/cpu.h"
#include "os/file.h"
#include "os/limits.h"
#include "os/sandbox.h"
#include "os/shared_memory.h"
#include "worker/adapter_shelf.h"
#include "worker/device_choice.h"
#include "worker/gguf.h"
#include "worker/parked.h"
#include "worker/plugin_choice.h"
#include "worker/prefix_cache.h"
#include "worker/service.h"
#include "worker/setup.h"
#include "worker/vocabulary.h"

namespace aioss::worker {
namespace {

constexpr std::chrono::seconds kConfigureTimeout{60};
// What a gateway may configure is what every engine must be able to refuse or do.
static_assert(ipc::kStreamsMax == AIOSS_SEQUENCES_MAX && ipc::kThreadsMax == AIOSS_THREADS_MAX &&
              ipc::kCellsMax == AIOSS_CELLS_PER_SEQUENCE_MAX &&
              ipc::kPrefillChunkMax == AIOSS_BATCH_TOKENS_MAX);
static_assert(ipc::kPrefixesMax == StateArena::kEntriesMax);

constexpr int kOomScore = 500;  // of −1000 … 1000: before the gateway, which holds the ledger

// Progress is told when it moved by this much.
constexpr float kProgressStep = 0.01F;

struct LoadReporter {
  ipc::Channel& channel;
  float told = -1;

  static int report(float fraction, void* user) {
    auto& self = *static_cast<LoadReporter*>(user);
    const float value = std::clamp(fraction, 0.0F, 1.0F);
    if (value < 1.0F && value - self.told < kProgressStep) return 1;
    self.told = value;
    // A gateway that is gone needs no model.
    return self.channel.send(ipc::encode(ipc::FromWorker{ipc::LoadProgress{value}})) ? 1 : 0;
  }
};

// What stays while the worker is parked, in the order in which it may be destroyed (last first).
struct Loaded {
  const EngineChoice* choice = nullptr;
  ipc::Profile profile = ipc::Profile::kFast;
  std::unique_ptr<engine::Model> model;
  std::unique_ptr<engine::TextModel> text;
  std::unique_ptr<const Vocabulary> vocabulary;
};

// What it computes with, and gives back when it is parked.
struct Computing {
  AbortBoard board;
  AdapterSource adapters;
  SchedulerOptions scheduler;
  std::unique_ptr<engine::Session> session;
  ipc::Ready ready;
};

// Without them prompts are computed anew: no reason not to serve.
std::optional<os::SharedMapping> map_prefixes(int fd) {
  if (fd < 0) return std::nullopt;
  const os::Fd memory(fd);
  Result<os::SharedMapping> mapped = os::SharedMapping::map(memory.get());
  if (mapped) return std::move(*mapped);
  std::fprintf(stderr, "aioss worker: %s\n", mapped.error().message.c_str());
  return std::nullopt;
}

Result<ipc::Configure> receive_configure(ipc::Channel& channel) {
  AIOSS_TRY(const Bytes frame, channel.receive(kConfigureTimeout));
  AIOSS_TRY(ipc::ToWorker message, ipc::decode_to_worker(frame));
  auto* configure = std::get_if<ipc::Configure>(&message);
  if (configure == nullptr) return Error{Code::kCorrupt, "the first frame must be Configure"};
  if (configure->protocol_version != ipc::kProtocolVersion) {
    return Error{Code::kUnsupported, "gateway and worker speak different protocol versions"};
  }
  return std::move(*configure);
}

ipc::EngineFacts facts_of(const aioss_engine& engine) {
  const engine::Identity identity = engine::identity(engine);
  return {identity.name, identity.version, identity.build_id, identity.compiler,
          identity.cpu_features};
}

ipc::Ready describe(const Loaded& loaded, const SchedulerOptions& scheduler,
                    std::uint32_t threads) {
  const aioss_model_facts facts = loaded.model->facts();
  const engine::TextFacts text = loaded.text->facts();
  ipc::Ready ready;
  ready.engine = facts_of(*loaded.choice->engine);
  ready.architecture = facts.architecture != nullptr ? facts.architecture : "";
  ready.description = facts.description != nullptr ? facts.description : "";
  ready.parameter_count = facts.parameter_count;
  ready.weight_bytes = facts.weight_bytes;
  ready.vocabulary_size = facts.vocabulary_size;
  ready.context_tokens_train = facts.context_tokens_train;
  ready.has_chat_template = text.has_chat_template;
  ready.chat_template_sha3 = text.chat_template_sha3;
  ready.profile = loaded.profile;
  ready.streams = scheduler.streams;
  ready.cells_per_stream = scheduler.cells_per_stream;
  ready.threads = threads;
  return ready;
}

Bytes framed_failure(const Error& error) {
  return ipc::framed(ipc::encode(ipc::FromWorker{ipc::LoadFailed{error}}));
}

Result<Loaded> load(const WorkerOptions& options, const EngineChoice& choice,
                    const ipc::Configure& configure, const DeviceChoice& devices,
                    ipc::Channel& channel) {
  Loaded loaded;
  loaded.choice = &choice;
  loaded.profile = configure.profile;
  const auto profile = static_cast<aioss_profile>(configure.profile);
  AIOSS_CHECK(engine::validate(*loaded.choice->engine, profile));
  if (loaded.choice->needs_gguf) AIOSS_CHECK(gguf::read_headers(options.model_fds));

  LoadReporter reporter{channel};
  aioss_model_options model_options = {};
  model_options.struct_size = sizeof model_options;
  model_options.profile = static_cast<std::uint32_t>(profile);
  model_options.fds = options.model_fds.data();
  model_options.fd_count = static_cast<std::uint32_t>(options.model_fds.size());
  model_options.progress = &LoadReporter::report;
  model_options.progress_user = &reporter;
  devices.apply(model_options);

  AIOSS_TRY(loaded.model, engine::Model::open(*loaded.choice->engine, model_options));
  AIOSS_TRY(loaded.text, loaded.choice->open_text(*loaded.model, options.model_fds));
  const std::uint32_t vocabulary_size = loaded.model->facts().vocabulary_size;
  AIOSS_TRY(loaded.vocabulary, Vocabulary::create(*loaded.text, vocabulary_size));
  return loaded;
}

Status start_session(const Loaded& loaded, const ipc::Configure& configure,
                     std::uint32_t threads_default, int adapter_fd, Computing& out) {
  if (configure.engine != loaded.choice->name || configure.profile != loaded.profile) {
    return Error{Code::kInvalidArgument, "a parked worker keeps its engine and its profile"};
  }
  out.scheduler = scheduler_options(configure, loaded.model->facts(), *loaded.choice->engine);
  const std::uint32_t threads = configure.threads > 0 ? configure.threads : threads_default;
  AIOSS_TRY(const aioss_session_options session,
            session_options(out.scheduler, configure, threads, out.board));
  AIOSS_TRY(out.session, engine::Session::create(*loaded.model, session));
  constexpr std::uint32_t kGraphTokens = 512;  // more are not computed in one graph
  out.adapters = {loaded.model.get(), adapter_fd, loaded.choice->needs_gguf,
                  std::min(session.batch_tokens_max, kGraphTokens)};
  out.ready = describe(loaded, out.scheduler, threads);
  return ok();
}

WorkerExit fail_load(ipc::Channel& channel, const Error& error, WorkerExit exit) {
  (void)channel.send(ipc::encode(ipc::FromWorker{ipc::LoadFailed{error}}));
  return exit;
}

// From Ready until the worker ends, or is parked: then nothing is returned.
std::optional<WorkerExit> compute(ipc::Channel& channel, const Loaded& loaded,
                                  const ipc::Configure& configure, std::uint32_t threads_default,
                                  int adapter_fd, const std::optional<os::SharedMapping>& prefixes,
                                  const Clock& clock) {
  Computing computing;
  const Status started = start_session(loaded, configure, threads_default, adapter_fd, computing);
  if (!started) return fail_load(channel, started.error(), WorkerExit::kLoadFailed);
  if (!channel.send(ipc::encode(ipc::FromWorker{computing.ready}))) return WorkerExit::kOk;
  const bool later = configure.prefixes_later;
  const auto when = later ? PrefixCache::TakeOver::kWhenTold : PrefixCache::TakeOver::kNow;
  Service service(channel, *computing.session, *loaded.text, *loaded.vocabulary,
                  computing.scheduler, clock, computing.board,
                  prefixes ? std::make_unique<PrefixCache>(prefixes->borrow(), when) : nullptr,
                  std::make_unique<AdapterShelf>(computing.adapters));
  if (later) service.expect_take_over();
  const WorkerExit exit = service.run();
  if (service.is_parked()) return std::nullopt;
  return exit;
}

WorkerExit serve(const WorkerOptions& options, const Clock& clock) {
  ipc::Channel channel{os::Fd(options.socket_fd)};
  const std::uint32_t threads = os::cpu_budget().usable_cores();  // /proc is out of reach later
  os::prefer_to_be_killed_for_memory(kOomScore);
  // Mapped now, while that is allowed; what is in it is read behind both stages.
  const std::optional<os::SharedMapping> prefixes = map_prefixes(options.prefix_fd);
  const Result<os::Confinement> stage_one = os::enter_stage_one(options.device, options.engine_fd);
  ipc::Hello hello;
  hello.engine_abi_version = AIOSS_ENGINE_ABI_VERSION;
  hello.binary_version = AIOSS_VERSION;
  hello.confinement = stage_one ? stage_one->describe() : "none";
  if (!channel.send(ipc::encode(ipc::FromWorker{hello}))) return WorkerExit::kOk;
  if (!stage_one) return fail_load(channel, stage_one.error(), WorkerExit::kConfinement);

  Result<ipc::Configure> configure = receive_configure(channel);
  if (!configure) {
    if (configure.error().code == Code::kWorkerDied) return WorkerExit::kOk;  // the gateway left
    return fail_load(channel, configure.error(), WorkerExit::kProtocol);
  }
  const auto engines = engines_of(options, configure->engine, framed_failure);
  if (!engines) return fail_load(channel, engines.error(), WorkerExit::kLoadFailed);
  const auto choice = find_engine(*engines, configure->engine);
  if (!choice) return fail_load(channel, choice.error(), WorkerExit::kLoadFailed);
  const auto devices =
      begin_devices(options, **choice, configure->device, configure->layers, framed_failure);
  if (!devices) return fail_load(channel, devices.error(), WorkerExit::kLoadFailed);
  const Result<os::Confinement> stage_two = confine_for_good(options, configure->engine);
  if (!stage_two) return fail_load(channel, stage_two.error(), WorkerExit::kConfinement);

  // Never destroyed: when the process ends the system takes all of it back at once, while another
  // model may be waiting for the room.
  static const auto& loaded =
      *new Result<Loaded>(load(options, **choice, *configure, *devices, channel));
  if (!loaded) return fail_load(channel, loaded.error(), WorkerExit::kLoadFailed);
  for (;;) {
    const auto exit =
        compute(channel, *loaded, *configure, threads, options.adapter_fd, prefixes, clock);
    if (exit) return *exit;
    auto next = stay_parked(channel, prefixes ? &*prefixes : nullptr);
    if (const auto* end = std::get_if<WorkerExit>(&next)) return *end;
    *configure = std::move(std::get<ipc::Wake>(next).session);
  }
}

}  // namespace

int run_worker(const WorkerOptions& options, const Clock& clock) {
  WorkerExit exit = WorkerExit::kInternal;
  try {
    exit = serve(options, clock);
  } catch (const std::bad_alloc&) {
    std::fputs("aioss worker: out of memory\n", stderr);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "aioss worker: %s\n", e.what());
  }
  return static_cast<int>(exit);
}

}  // namespace aioss::worker
