#include "tests/sim/worker_actor.h"

#include <csignal>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "engines/fake/fake_engine.h"
#include "worker/parked.h"
#include "worker/setup.h"
#include "worker/vocabulary.h"

namespace aioss::sim {
namespace {

// The process ends in the middle of an engine's call: what would follow there never happens.
struct EndsInCall {};

// Whose engine computes: the table of an engine has no place for it.
WorkerActor* g_computing = nullptr;

aioss_status timed_decode(aioss_session* session, const aioss_batch* batch, aioss_error* error) {
  if (g_computing != nullptr) g_computing->computes(batch->token_count);
  return engines::fake::entry()->decode(session, batch, error);
}

aioss_status timed_copy(aioss_session* session, std::int32_t source, std::int32_t target,
                        aioss_error* error) {
  if (g_computing != nullptr) g_computing->copies_state();
  return engines::fake::entry()->sequence_copy(session, source, target, error);
}

aioss_status timed_save(aioss_session* session, std::int32_t sequence, std::uint8_t* data,
                        std::size_t* size, aioss_error* error) {
  if (g_computing != nullptr && data != nullptr) g_computing->copies_state();
  return engines::fake::entry()->sequence_save(session, sequence, data, size, error);
}

aioss_status timed_load(aioss_session* session, std::int32_t sequence, const std::uint8_t* data,
                        std::size_t size, aioss_error* error) {
  if (g_computing != nullptr) g_computing->copies_state();
  return engines::fake::entry()->sequence_load(session, sequence, data, size, error);
}

const aioss_engine& timed_engine() {
  static const aioss_engine engine = [] {
    aioss_engine timed = *engines::fake::entry();
    timed.decode = timed_decode;
    timed.sequence_copy = timed_copy;
    timed.sequence_save = timed_save;
    timed.sequence_load = timed_load;
    return timed;
  }();
  return engine;
}

constexpr int kExitProtocol = static_cast<int>(worker::WorkerExit::kProtocol);
constexpr int kExitEngineFailed = static_cast<int>(worker::WorkerExit::kEngineFailed);
constexpr int kExitLoadFailed = static_cast<int>(worker::WorkerExit::kLoadFailed);
constexpr std::int64_t kIdleTurn = kSecond / 2;  // as the engine thread's patience

Error gone() {
  return {Code::kWorkerDied, "the other end of the channel is closed"};
}

}  // namespace

// In the order in which it may be destroyed, last first.
struct WorkerActor::Model {
  worker::AbortBoard board;
  std::unique_ptr<engine::Model> text_model;  // opened by the engine itself, as its text side asks
  std::unique_ptr<engine::Model> model;
  std::unique_ptr<engine::Session> session;
  std::unique_ptr<engine::TextModel> text;
  std::unique_ptr<const worker::Vocabulary> vocabulary;
  std::unique_ptr<worker::Service> service;  // null: it is parked
  ipc::Ready ready;
};

std::int64_t WorkerActor::LocalClock::wall_ns() const {
  return owner_.parts_.world.wall_ns() + owner_.elapsed_;
}
std::int64_t WorkerActor::LocalClock::monotonic_ns() const {
  return owner_.local_now();
}

Status WorkerActor::Socket::send_all(std::span<const Bytes> frames) {
  for (const Bytes& frame : frames) AIOSS_CHECK(owner_.send(frame));
  return ok();
}

WorkerActor::WorkerActor(const Parts& parts, const runtime::LinkOptions& options, Load load)
    : parts_(parts),
      number_(options.number),
      model_(options.model),
      model_fd_(options.model_fds.front()),
      load_(load),
      dice_(parts.scenario.seed, 100 + options.number) {
  if (options.prefix_fd >= 0) prefixes_ = std::move(*os::SharedMapping::map(options.prefix_fd));
}

WorkerActor::~WorkerActor() = default;

void WorkerActor::note(const std::string& what) const {
  parts_.world.note("worker " + std::to_string(number_) + " " + what);
}

void WorkerActor::begin(runtime::WorkerLink* link) {
  link_ = link;
  parts_.world.after(dice_.between(1, 20) * kMilli, [self = shared_from_this()] {
    if (self->exit_) return;
    ipc::Hello hello;
    hello.engine_abi_version = AIOSS_ENGINE_ABI_VERSION;
    hello.binary_version = "simulated";
    hello.confinement = "none";
    self->say(hello);
  });
}

// Its link is gone, and would have killed it.
void WorkerActor::let_go() {
  link_ = nullptr;
  if (!exit_) die({true, SIGKILL}, parts_.world.now());
}

// ---- the gateway's end --------------------------------------------------------------------------

Status WorkerActor::deliver(ByteView frame) {
  if (shut_ || (exit_ && exit_at_ <= parts_.world.now())) return gone();
  const std::int64_t soonest = to_worker_.empty() ? 0 : to_worker_.back().due;
  const std::int64_t delay =
      dice_.percent(5) ? dice_.between(0, 20 * kMilli) : dice_.between(5 * kMicro, 200 * kMicro);
  const std::int64_t due = std::max(soonest, parts_.world.now() + delay);
  to_worker_.push_back({Bytes(frame.begin(), frame.end()), due, parts_.world.now()});
  parts_.world.at(due, [self = shared_from_this()] { self->read_due(); });
  return ok();
}

Result<Bytes> WorkerActor::receive() {
  const bool there = !to_gateway_.empty() && to_gateway_.front().due <= parts_.world.now();
  if (!there || (shut_ && drops_rest_)) {
    if (!std::exchange(told_end_, true)) drop_what_is_in_flight();
    return gone();
  }
  Bytes frame = std::move(to_gateway_.front().bytes);
  to_gateway_.pop_front();
  if (const auto message = ipc::decode_from_worker(frame)) parts_.watch.arrived(*message);
  return frame;
}

void WorkerActor::shut_down() {
  if (std::exchange(shut_, true)) return;
  drops_rest_ = dice_.percent(50);
  const auto self = shared_from_this();
  step_link_at(parts_.world.now());
  if (exit_) return;
  // A healthy one sees it and ends; one that hangs is killed after a while, as its link would do.
  const std::int64_t patience = hangs_ ? 2 * kSecond : dice_.between(1, 30) * kMilli;
  parts_.world.after(patience, [self] {
    if (!self->exit_) self->die({self->hangs_, self->hangs_ ? SIGKILL : 0}, self->local_now());
  });
}

Status WorkerActor::send_signal(int signal) {
  if (ended()) return Error{Code::kNotFound, "the process has ended"};
  parts_.world.after(dice_.between(1, 20'000) * kMicro, [self = shared_from_this(), signal] {
    if (!self->ended()) self->die({true, signal}, self->parts_.world.now());
  });
  return ok();
}

std::optional<os::ExitStatus> WorkerActor::ended() const {
  return exit_ && exit_at_ <= parts_.world.now() ? exit_ : std::nullopt;
}

void WorkerActor::flush_soon() {
  if (link_ == nullptr || std::exchange(flush_armed_, true)) return;
  parts_.world.after(dice_.between(2, 150) * kMicro, [self = shared_from_this()] {
    self->flush_armed_ = false;
    if (self->link_ != nullptr) self->link_->flush();
  });
}

void WorkerActor::step_link_at(std::int64_t when) {
  parts_.world.at(when, [self = shared_from_this()] { self->step_link(); });
}

void WorkerActor::step_link() {
  if (link_ == nullptr) return;
  const bool frame = !to_gateway_.empty() && to_gateway_.front().due <= parts_.world.now();
  const bool end = shut_ || (ended() && to_gateway_.empty());
  if (!frame && !end && !told_end_) return;
  link_->step();
  if (!told_end_ || !ended() || std::exchange(looks_again_, true)) return;
  step_link_at(parts_.world.now() +
               dice_.between(10, 30'000) * kMicro);  // the process is gone, too
}

// ---- the process --------------------------------------------------------------------------------

Status WorkerActor::send(ByteView frame) {
  if (exit_ || shut_ || hangs_) return gone();
  const std::int64_t soonest = to_gateway_.empty() ? 0 : to_gateway_.back().due;
  const std::int64_t due = std::max(soonest, local_now() + dice_.between(5, 300) * kMicro);
  to_gateway_.push_back({Bytes(frame.begin(), frame.end()), due, local_now()});
  if (const auto message = ipc::decode_from_worker(frame)) {
    parts_.watch.said(number_, *message);
  } else {
    parts_.world.violated("a worker sent a frame that cannot be read: " + message.error().message);
  }
  step_link_at(due);
  return ok();
}

void WorkerActor::say(const ipc::FromWorker& message) {
  (void)send(ipc::encode(message));
}

void WorkerActor::read_due() {
  // Until it is configured and has loaded it reads nothing; while it computes, computes() reads.
  const bool listens = !configured_ || model_state_ != nullptr;
  while (!exit_ && !hangs_ && listens && !to_worker_.empty() &&
         to_worker_.front().due <= local_now()) {
    const Bytes frame = std::move(to_worker_.front().bytes);
    to_worker_.pop_front();
    if (!configured_) {
      configured_ = true;
      const auto message = ipc::decode_to_worker(frame);
      const auto* configure = message ? std::get_if<ipc::Configure>(&*message) : nullptr;
      return configure != nullptr ? load(*configure) : die({false, kExitProtocol}, local_now());
    }
    model_state_->service ? take(frame) : take_parked(frame);
  }
}

void WorkerActor::take(const Bytes& frame) {
  if (const auto message = ipc::decode_to_worker(frame)) {
    parts_.watch.given(number_, *message);
    const auto* submit = std::get_if<ipc::Submit>(&*message);
    if (submit != nullptr && parts_.watch.is_poison(submit->id)) poison_calls_ = dice_.size(0, 12);
    if (submit != nullptr) {
      was_given_work_ = true;
      note("gets request " + std::to_string(submit->id) +
           (submit->resume.empty() ? "" : " to go on with"));
      parts_.world.after(elapsed_ + dice_.between(10, 3'000) * kMicro, [self = shared_from_this()] {
        if (self->exit_ || self->hangs_ || !self->model_state_->service) return;
        self->model_state_->service->text_turn(std::chrono::milliseconds(0));
        self->arm_engine(self->parts_.world.now());
      });
    }
  }
  if (const auto exit = model_state_->service->take_frame(frame)) {
    if (model_state_->service->is_parked()) return park();
    return die({false, static_cast<int>(*exit)}, local_now());
  }
  arm_engine(local_now());
}

void WorkerActor::load(const ipc::Configure& configure) {
  const std::int64_t takes = dice_.between(2, dice_.percent(20) ? 3'000 : 100) * kMilli;
  parts_.world.after(takes / 2, [self = shared_from_this()] {
    if (!self->exit_) self->say(ipc::LoadProgress{0.5F});
  });
  parts_.world.after(takes, [self = shared_from_this(), configure] {
    if (self->exit_ || self->hangs_) return;
    if (self->load_ == Load::kDies) return self->crash();
    if (self->load_ == Load::kFails) {
      self->say(ipc::LoadFailed{{Code::kNoMemory, "the model does not fit"}});
      return self->die({false, kExitLoadFailed}, self->local_now());
    }
    auto model = std::make_unique<Model>();
    const int fd = self->model_fd_;
    aioss_model_options options = {};
    options.struct_size = sizeof options;
    options.profile = static_cast<std::uint32_t>(configure.profile);
    options.fds = &fd;
    options.fd_count = 1;
    model->model = std::move(*engine::Model::open(timed_engine(), options));
    model->text_model = std::move(*engine::Model::open(*engines::fake::entry(), options));
    model->text = std::move(*engines::fake::open_text(*model->text_model));
    self->model_state_ = std::move(model);
    self->configure_ = configure;
    self->ready();
  });
}

// What the engine's thread does before it ends, and then the reader alone is there.
void WorkerActor::park() {
  ASSERT(!computing_);
  note("parks");
  Model& model = *model_state_;
  while (model.service->scheduler().can_step()) {
    (void)model.service->engine_turn(std::chrono::milliseconds(0));
  }
  armed_for_ = -1;
  model.service.reset();
  model.session.reset();
  say(ipc::Parked{});
}

void WorkerActor::take_parked(const Bytes& frame) {
  const auto next = worker::take_parked_frame(socket_, prefixes_ ? &*prefixes_ : nullptr, frame);
  if (!next) return;
  if (const auto* exit = std::get_if<worker::WorkerExit>(&*next)) {
    return die({false, static_cast<int>(*exit)}, local_now());
  }
  note("wakes");
  configure_ = std::get<ipc::Wake>(*next).session;
  compute();
}

void WorkerActor::ready() {
  compute();
  read_due();
}

// From a session on.
void WorkerActor::compute() {
  Model& model = *model_state_;
  const aioss_model_facts facts = model.model->facts();
  const worker::SchedulerOptions options =
      worker::scheduler_options(configure_, facts, timed_engine());
  const aioss_session_options session =
      *worker::session_options(options, configure_, configure_.threads, model.board);
  model.session = std::move(*engine::Session::create(*model.model, session));
  if (!model.vocabulary) {
    model.vocabulary = std::move(*worker::Vocabulary::create(*model.text, facts.vocabulary_size));
  }
  model.service = std::make_unique<worker::Service>(
      socket_, *model.session, *model.text, *model.vocabulary, options, clock_, model.board,
      prefixes_ ? std::make_unique<worker::PrefixCache>(prefixes_->borrow()) : nullptr);
  const engine::Identity identity = engine::identity(timed_engine());
  ipc::Ready ready;
  ready.engine = {identity.name, identity.version, identity.build_id, identity.compiler,
                  identity.cpu_features};
  ready.architecture = "fake";
  ready.vocabulary_size = facts.vocabulary_size;
  ready.context_tokens_train = facts.context_tokens_train;
  ready.has_chat_template = true;
  ready.profile = configure_.profile;
  ready.streams = options.streams;
  ready.cells_per_stream = options.cells_per_stream;
  ready.threads = 1;
  note("is ready");
  say(ready);
}

// ---- the engine's thread ------------------------------------------------------------------------

void WorkerActor::arm_engine(std::int64_t when) {
  when = std::max({when, busy_until_, parts_.world.now()});
  if (computing_ || (armed_for_ >= 0 && armed_for_ <= when)) return;
  armed_for_ = when;
  parts_.world.at(when, [self = shared_from_this(), when] {
    if (self->armed_for_ == when) self->turn();
  });
}

void WorkerActor::turn() {
  armed_for_ = -1;
  if (exit_ || hangs_ || !model_state_->service) return;
  computing_ = true;
  elapsed_ = 0;
  g_computing = this;
  bool goes_on = false;
  try {
    goes_on = model_state_->service->engine_turn(std::chrono::milliseconds(0));
  } catch (const EndsInCall&) {
    ASSERT(exit_);
  }
  g_computing = nullptr;
  computing_ = false;
  busy_until_ = local_now();
  if (exit_) {
    model_state_.reset();
    elapsed_ = 0;
    return;
  }
  const worker::Scheduler& scheduler = model_state_->service->scheduler();
  const bool has_more = scheduler.can_step();
  const std::int64_t idle = scheduler.idle_ns();
  if (!goes_on) {
    die({false, kExitEngineFailed}, busy_until_);
  } else if (has_more) {
    arm_engine(busy_until_);
  } else if (idle < std::numeric_limits<std::int64_t>::max()) {
    arm_engine(busy_until_ + std::min(idle, kIdleTurn));
  }
  elapsed_ = 0;
}

void WorkerActor::computes(std::uint32_t tokens) {
  const std::int64_t cost = parts_.scenario.call_ns + tokens * parts_.scenario.token_ns;
  spend(cost + dice_.between(0, cost / 4));
}

void WorkerActor::copies_state() {
  spend(dice_.between(0, 2 * parts_.scenario.call_ns));
}

void WorkerActor::spend(std::int64_t cost) {
  const std::int64_t until = local_now() + cost + std::exchange(stall_ns_, 0);
  while (!exit_ && !hangs_ && !to_worker_.empty() && to_worker_.front().due <= until) {
    const Frame frame = std::move(to_worker_.front());
    to_worker_.pop_front();
    elapsed_ = std::max(elapsed_, frame.due - parts_.world.now());
    take(frame.bytes);
  }
  elapsed_ = until - parts_.world.now();
  if (!exit_ && poison_calls_ && (*poison_calls_)-- == 0) die({true, SIGSEGV}, local_now());
  if (exit_) throw EndsInCall();
}

bool WorkerActor::is_settled() const {
  return exit_ || model_state_ == nullptr || model_state_->service == nullptr ||
         model_state_->service->scheduler().is_settled();
}

// ---- its end ------------------------------------------------------------------------------------

void WorkerActor::crash() {
  if (!exit_) die({true, SIGSEGV}, local_now());
}

void WorkerActor::hang() {
  if (exit_ || hangs_) return;
  note("hangs");
  if (!was_given_work_) parts_.watch.load_died();
  hangs_ = true;
}

void WorkerActor::die(os::ExitStatus status, std::int64_t when) {
  ASSERT(!exit_ ||
         when <= exit_at_);  // one that would die in the middle of a call is killed before
  note("ends: " + status.describe());
  exit_ = status;
  exit_at_ = when;
  if (!was_given_work_ && status.value != SIGKILL) parts_.watch.load_died();
  // What it would have sent later, in the step that it was in, was never sent.
  while (!to_gateway_.empty() && to_gateway_.back().sent > when) to_gateway_.pop_back();
  const std::int64_t last = to_gateway_.empty() ? when : std::max(when, to_gateway_.back().due);
  step_link_at(last + 1);
  if (!computing_) model_state_.reset();
}

void WorkerActor::drop_what_is_in_flight() {
  to_gateway_.clear();
  parts_.watch.lost(number_);
}

}  // namespace aioss::sim
