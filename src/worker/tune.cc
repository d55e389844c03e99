// `aioss worker --tune`: opens a model and measures sessions of it as it is told to, in a process
// of its own, confined as a worker is: it parses the same untrusted file and runs the same engine.
// A candidate that crashes takes this process with it and nothing else.
#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "engine/text.h"
#include "ipc/channel.h"
#include "ipc/tune.h"
#include "os/cpu.h"
#include "os/limits.h"
#include "os/sandbox.h"
#include "worker/gguf.h"
#include "worker/plugin_choice.h"
#include "worker/setup.h"
#include "worker/tune_slot.h"
#include "worker/worker.h"

namespace aioss::worker {
namespace {

constexpr std::chrono::seconds kAskTimeout{60};
constexpr std::uint64_t kTuneCpuSecondsMax =
    3600;  // of all threads: what hangs is killed long before

// What is computed: English prose, some 300 tokens of most vocabularies, which is read again and
// again. Written for this.
constexpr std::string_view kText =
    "The harbour wakes before the town does. Gulls quarrel over the night's catch while the first "
    "boats come home, low in the water and loud with the voices of people who have not slept. On "
    "the quay a girl counts crates of herring: one, two, three, five; she laughs, begins again and "
    "arrives at twelve. Her grandfather mends a net with thread that is older than she is. He says "
    "that the sea gives what it likes and takes what it wants, and that a good knot is worth more "
    "than a good weather report. At seven the market bell rings. By eight the best fish is sold, "
    "the price of bread has been discussed, and somebody has forgotten a hat. The mayor walks by, "
    "as on every morning since 1987, greets everybody by name and asks for nothing. Later, when "
    "the tide turns, the children are allowed to jump from the old pier. The water is cold, clear "
    "and about four metres deep; they know each stone of it. In winter the same pier is empty, the "
    "wind comes from the north, and the only light that burns all night is the one in the tower, "
    "which blinks twice, waits for ten seconds, and blinks twice again.";

Bytes tune_failure(const Error& error) {
  ipc::TuneReport report;
  report.error = error;
  return ipc::encode(report);
}

// A model that is opened behind stage one, and what is measured of it behind stage two.
class Tuner final {
 public:
  Tuner(const WorkerOptions& options, std::uint32_t threads_default, const Clock& clock)
      : options_(options), threads_default_(threads_default), clock_(clock) {}

  Result<ipc::TuneReport> answer(const ipc::TuneAsk& ask) {
    return std::visit([this](const auto& one) { return carry_out(one); }, ask);
  }

 private:
  Result<ipc::TuneReport> carry_out(const ipc::TuneOpen& ask);
  Result<ipc::TuneReport> carry_out(const ipc::TuneBegin& ask);
  Result<ipc::TuneReport> carry_out(const ipc::TuneRun& ask);
  Result<ipc::TuneReport> carry_out(const ipc::TuneEnd& ask);
  Result<EngineChoice> choose_engine(const std::string& name) const;
  Result<aioss_session_options> session_of(const ipc::Knobs& knobs);

  const WorkerOptions& options_;
  const std::uint32_t threads_default_;
  const Clock& clock_;
  AbortBoard board_;
  ipc::TuneOpen opened_;
  std::optional<EngineChoice> choice_;
  std::unique_ptr<engine::Model> model_;
  std::vector<ipc::Token> text_;
  std::array<std::unique_ptr<TuneSlot>, ipc::kTuneSlots> slots_;  // before their model
};

Result<ipc::TuneReport> Tuner::carry_out(const ipc::TuneOpen& ask) {
  if (model_) return Error{Code::kInvalidArgument, "a model is open already"};
  if (choice_) return Error{Code::kInvalidArgument, "opening a model has failed before"};
  AIOSS_TRY(choice_, choose_engine(ask.engine));
  AIOSS_CHECK(os::enter_stage_two());
  opened_ = ask;
  const auto profile = static_cast<aioss_profile>(ask.profile);
  AIOSS_CHECK(engine::validate(*choice_->engine, profile));
  if (choice_->needs_gguf) AIOSS_CHECK(gguf::read_headers(options_.model_fds));
  aioss_model_options options = {};
  options.struct_size = sizeof options;
  options.profile = static_cast<std::uint32_t>(profile);
  options.fds = options_.model_fds.data();
  options.fd_count = static_cast<std::uint32_t>(options_.model_fds.size());
  AIOSS_TRY(model_, engine::Model::open(*choice_->engine, options));
  AIOSS_TRY(const auto text, choice_->open_text(*model_, options_.model_fds));
  AIOSS_TRY(text_, text->tokenize(kText, false, false));
  const auto vocabulary = model_->facts().vocabulary_size;
  std::erase_if(text_, [&](ipc::Token token) {
    return token < 0 || static_cast<std::uint32_t>(token) >= vocabulary;
  });
  if (text_.empty()) return Error{Code::kUnsupported, "this vocabulary has no English"};
  const engine::Identity who = engine::identity(*choice_->engine);
  AIOSS_TRY(const aioss_session_options session, session_of({}));
  ipc::TuneReport report;
  report.engine_build = who.version + " " + who.build_id;
  report.streams = session.sequences_max;
  return report;
}

Result<EngineChoice> Tuner::choose_engine(const std::string& name) const {
  const auto framed = [](const Error& error) { return ipc::framed(tune_failure(error)); };
  AIOSS_TRY(const std::vector<EngineChoice> engines, engines_of(options_, name, framed));
  AIOSS_TRY(const EngineChoice* const choice, find_engine(engines, name));
  return *choice;
}

// As a worker's session would be, but for what is not needed to measure it.
Result<aioss_session_options> Tuner::session_of(const ipc::Knobs& knobs) {
  ipc::Configure configure;
  configure.engine = opened_.engine;
  configure.profile = opened_.profile;
  configure.streams = opened_.streams;
  configure.cells_per_stream = opened_.cells_per_stream;
  configure.kv_type = opened_.kv_type;
  configure.speculation = opened_.speculation;
  configure.prefill_chunk_tokens_max = opened_.prefill_chunk_tokens_max;
  configure.threads_batch = knobs.threads_batch;
  configure.micro_batch_tokens_max = knobs.micro_batch_tokens_max;
  configure.flash_attention = knobs.flash_attention;
  SchedulerOptions scheduler = scheduler_options(configure, model_->facts(), *choice_->engine);
  scheduler.streams = std::min(scheduler.streams, kTuneSequencesMax);
  scheduler.cells_per_stream = std::min(scheduler.cells_per_stream, kTuneCellsMax);
  const std::uint32_t threads = knobs.threads > 0 ? knobs.threads : threads_default_;
  return session_options(scheduler, configure, threads, board_);
}

Result<ipc::TuneReport> Tuner::carry_out(const ipc::TuneBegin& ask) {
  if (!model_) return Error{Code::kInvalidArgument, "no model is open"};
  slots_[ask.slot].reset();
  AIOSS_TRY(const aioss_session_options options, session_of(ask.knobs));
  AIOSS_TRY(slots_[ask.slot], TuneSlot::create(*model_, options, text_, clock_));
  auto canary = slots_[ask.slot]->canary();
  if (!canary) {
    slots_[ask.slot].reset();
    return std::move(canary).error();
  }
  ipc::TuneReport report;
  report.canary = std::move(*canary);
  return report;
}

Result<ipc::TuneReport> Tuner::carry_out(const ipc::TuneRun& ask) {
  if (!slots_[ask.slot]) return Error{Code::kInvalidArgument, "this slot has no session"};
  AIOSS_TRY(const TuneFigures figures, slots_[ask.slot]->run(ask.regime, ask.tokens));
  ipc::TuneReport report;
  report.tokens = figures.tokens;
  report.ns = std::min(static_cast<std::uint64_t>(std::max<std::int64_t>(figures.ns, 1)),
                       ipc::kTuneRunNsMax);
  return report;
}

Result<ipc::TuneReport> Tuner::carry_out(const ipc::TuneEnd& ask) {
  slots_[ask.slot].reset();
  return ipc::TuneReport();
}

bool send(ipc::Channel& channel, const Result<ipc::TuneReport>& answer) {
  return channel.send(answer ? ipc::encode(*answer) : tune_failure(answer.error())).has_value();
}

Status confine(const WorkerOptions& options) {
  AIOSS_CHECK(os::limit_cpu_time(kTuneCpuSecondsMax));
  AIOSS_CHECK(os::enter_stage_one(os::SandboxFor::kCpu, options.engine_fd));
  return ok();
}

WorkerExit serve(const WorkerOptions& options, std::uint32_t threads, ipc::Channel& channel,
                 const Clock& clock) {
  if (const Status confined = confine(options); !confined) {
    (void)send(channel, confined.error());
    return WorkerExit::kConfinement;
  }
  Tuner tuner(options, threads, clock);
  for (;;) {
    const Result<Bytes> frame = channel.receive(kAskTimeout);
    if (!frame) return WorkerExit::kOk;  // it was all that was wanted
    const Result<ipc::TuneAsk> ask = ipc::decode_tune_ask(*frame);
    if (!ask) return WorkerExit::kProtocol;
    if (!send(channel, tuner.answer(*ask))) return WorkerExit::kOk;
  }
}

}  // namespace

int run_tune(const WorkerOptions& options, const Clock& clock) {
  ipc::Channel channel{os::Fd(options.socket_fd)};
  const std::uint32_t threads = os::cpu_budget().usable_cores();  // /proc is out of reach later
  WorkerExit exit = WorkerExit::kInternal;
  try {
    exit = serve(options, threads, channel, clock);
  } catch (const std::bad_alloc&) {
    std::fputs("aioss worker: out of memory\n", stderr);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "aioss worker: %s\n", e.what());
  }
  return static_cast<int>(exit);
}

}  // namespace aioss::worker
