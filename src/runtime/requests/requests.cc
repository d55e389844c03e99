#include "runtime/requests/requests.h"

#include <algorithm>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "codec/hex.h"
#include "runtime/calls/tenant_book.h"
#include "runtime/catalogue/engines.h"
#include "runtime/models/decide.h"
#include "runtime/planning/planning.h"

namespace aioss::runtime {
namespace {

// Requests are counted from 1 on and never come that far.
constexpr ipc::RequestId kAheadBit = ipc::RequestId{1} << 62;
constexpr std::int64_t kStopGraceNs = 2 * kNsPerSecond;
constexpr std::int64_t kTellNs = kNsPerSecond / 4;  // as fast as anybody shows it
// Below this, how long a load still takes cannot be told from how far it is.
constexpr float kFractionTelling = 0.02F;

std::uint32_t whole_seconds(std::int64_t ns) {
  return static_cast<std::uint32_t>(std::max<std::int64_t>(ns + kNsPerSecond - 1, 0) /
                                    kNsPerSecond);
}

Error overdue(const StreamState& stream) {
  return {Code::kTimeout, "the request had not ended after the " +
                              std::to_string(stream.request().deadline_ms / 1000) +
                              " s that it was given (X-Aioss-Deadline)"};
}

// With its build, its file if it is a plugin, which may say of itself what it likes, and what of a
// session's settings changes bits: what computes the same bytes.
std::string computation_of(const Life& life) {
  const ipc::EngineFacts& facts = life.ready->engine;
  const PlanWanted& session = life.room.wanted;
  std::string out = facts.name + "\n" + facts.version + "\n" + facts.build_id + "\n" +
                    codec::to_hex(file_digest(life.engine)) + "\n" + session.kv_type;
  for (const std::uint32_t number :
       {life.ready->threads, session.threads_batch, session.micro_batch_tokens_max,
        static_cast<std::uint32_t>(session.flash_attention)}) {
    out += "\n" + std::to_string(number);
  }
  return out;
}

Quarantine::Engine engine_in(const PlanWanted& wanted) {
  return {wanted.engine, wanted.engine_sha256};
}

}  // namespace

// ---- from their coming to their end -------------------------------------------------------------

Model& Requests::enter(const std::shared_ptr<StreamState>& stream, std::size_t prompt_bytes) {
  Model& model = models_.of(stream->model());
  running_.emplace(stream->id(), Running{stream, &model, prompt_bytes});
  if (const auto due = stream->deadline_ns()) deadlines_.emplace(*due, stream->id());
  if (const auto due = stream->load_wait_ns()) load_waits_.emplace(*due, stream->id());
  return model;
}

Requests::Left Requests::leave(ipc::RequestId id) {
  const auto found = running_.find(id);
  ASSERT(found != running_.end());
  const Running running = std::move(found->second);
  running_.erase(found);
  Model& model = *running.model;
  if (!running.is_handed_over()) std::erase(model.waiting, running.stream);
  if (running.stream->canary_of() == 0) model.last_used_ns = parts_.clock.monotonic_ns();
  if (const auto due = running.stream->deadline_ns()) deadlines_.erase({*due, id});
  if (const auto due = running.stream->load_wait_ns()) load_waits_.erase({*due, id});
  if (Life* const life = model.life(running.life)) parts_.adapters.left(*life, id);
  return {running.stream, running.prompt_bytes, model};
}

void Requests::wait(Model& model, const std::shared_ptr<StreamState>& stream) {
  model.waiting.push_back(stream);
  told_ns_ = 0;  // the newcomer need not wait to be told
}

// The worker that has it; null if it waits, or its worker has ended.
WorkerLink* Requests::link_of(const Running& running) const {
  if (!running.is_handed_over()) return nullptr;
  const Life* const life = running.model->life(running.life);
  return life == nullptr ? nullptr : life->link.get();
}

void Requests::stop(ipc::RequestId id) {
  const auto found = running_.find(id);
  if (found == running_.end()) return;  // it ended in the meantime
  Running& running = found->second;
  if (running.is_handed_over()) {
    if (WorkerLink* const link = link_of(running)) link->cancel(id);
    return;
  }
  std::erase(running.model->waiting, running.stream);
  running.stream->abort({Code::kCancelled, "the client left before its request started"});
}

void Requests::give_credit(ipc::RequestId id) {
  const auto found = running_.find(id);
  if (found == running_.end()) return;
  const Running& running = found->second;
  const std::uint64_t bytes = running.stream->take_credit();
  WorkerLink* const link = link_of(running);
  if (bytes > 0 && link != nullptr) link->give_credit({id, bytes});
}

// ---- refusals -----------------------------------------------------------------------------------

void Requests::refuse(const Model& model, StreamState& stream, const Error& error,
                      const std::vector<std::string>& details) {
  decide(parts_.tally, ledger::decision_kind::kAdmission, ledger::decision_outcome::kRefused,
         info(error.code).name, model, details);
  stream.abort(error);
}

bool Requests::is_quarantined(const Life& life, const StreamState& stream) {
  if (quarantine_.empty()) return false;
  return quarantine_.holds(content_of(stream.request(), stream.wishes(), models_.catalogue()),
                           engine_in(life.room.wanted), life.hash->sha256);
}

bool Requests::is_quarantined(const Model& model, const StreamState& stream) {
  if (quarantine_.empty()) return false;
  if (model.takes_requests()) return is_quarantined(*model.serving, stream);
  // A model's files are looked at only for a request that is known.
  const Digest content = content_of(stream.request(), stream.wishes(), models_.catalogue());
  const CatalogueEntry* const entry = models_.entry(model.name);
  if (entry == nullptr || !quarantine_.knows(content)) return false;
  const auto files = open_model(parts_.fs, *entry);
  const Quarantine::Engine engine = engine_in(wanted_of(*entry, parts_.options));
  return files && quarantine_.holds(content, engine, (*files)->parts);
}

bool Requests::refuse_quarantined(const Model& model, StreamState& stream) {
  if (!is_quarantined(model, stream)) return false;
  decide(parts_.tally, ledger::decision_kind::kAdmission, ledger::decision_outcome::kRefused,
         kQuarantinedReason, model);
  stream.abort({Code::kForbidden,
                "this request is quarantined: it ended every worker that computed it with this "
                "model; change it, have the model computed with another engine or its file "
                "replaced, or have the server restarted"});
  return true;
}

// True: told at once why, and when it may be tried again.
bool Requests::refuse_failed(Model& model, StreamState& stream) {
  const std::int64_t now = parts_.clock.monotonic_ns();
  if (!model.failures.must_wait(now)) return false;
  if (const CatalogueEntry* const entry = models_.entry(model.name)) {
    const auto files = open_model(parts_.fs, *entry);
    const std::vector<os::FileInfo> none;
    if (!model.failures.are_of(files ? (*files)->parts : none)) {
      model.failures.forget();  // it is another file
      return false;
    }
  }
  refuse(model, stream, model.failures.refusal(now));
  return true;
}

// ---- handing over -------------------------------------------------------------------------------

void Requests::hand_over(Life& life, const std::shared_ptr<StreamState>& stream) {
  ASSERT(life.phase == Phase::kReady && life.load_record && life.ready);
  Model& model = life.model;
  if (!stream->wants_to_run()) {
    stream->abort({Code::kCancelled, "the client left before its request started"});
    return;
  }
  if (refuse_quarantined(model, *stream)) return;
  // An answer that was begun by one model is not gone on with by another of the same name.
  if (stream->has_begun() && !stream->is_of(life.hash->sha256, computation_of(life))) {
    stream->abort(
        {Code::kWorkerDied,
         "the worker has died, and the model's file, engine or settings are others since; "
         "try again"});
    return;
  }
  if (parts_.host.end_if_changed(life)) {
    model.waiting.push_front(stream);  // for the next worker, which loads what the file is now
    return;
  }
  if (!life.link->admit(stream)) {
    model.waiting.push_front(stream);
    parts_.host.await_end(life);
    return;
  }
  model.last_used_ns = parts_.clock.monotonic_ns();
  life.room.was_used = true;
  running_.at(stream->id()).life = life.number;
  stream->set_model_wait(std::nullopt);
  if (stream->is_suspect()) life.suspect = stream->id();
  std::vector<LoadedAdapter> adapters = parts_.adapters.use(life, *stream);
  const bool begun = stream->has_begun() ||
                     stream->begin({*life.load_record, life.ready->cells_per_stream,
                                    life.hash->sha256, computation_of(life), std::move(adapters)});
  if (!begun) return;
  parts_.prefixes.note_owner(model, *stream);
  life.link->submit(*stream);
}

// Also one that has ended, as long as its worker has not let go of it.
bool Requests::has_suspect(const Life& life) {
  return life.suspect && life.link && life.link->has(*life.suspect);
}

// A suspect shares a worker with nobody: what happens to it then is its own doing.
bool Requests::must_wait(const Life& life, const StreamState& stream) {
  return has_suspect(life) || (stream.is_suspect() && life.link->outstanding() > 0);
}

bool Requests::must_wait_for_adapters(Life& life, const std::shared_ptr<StreamState>& stream,
                                      std::optional<Error>& refused) {
  if (stream->wishes().empty() || !stream->wants_to_run()) return false;
  const Result<Adapters::Stand> stand = parts_.adapters.stand(life, *stream);
  if (!stand) refused = stand.error();
  return stand.has_value() && *stand == Adapters::Stand::kWaits;
}

void Requests::hand_over_waiting(Model& model) {
  std::size_t waiting = 0;  // for their adapters, or to be let go
  while (model.takes_requests() && waiting < model.waiting.size()) {
    const std::shared_ptr<StreamState> next = model.waiting[waiting];
    if (must_wait(*model.serving, *next)) return;
    // It was taken from this very worker, which has not let go of it yet.
    if (model.serving->link->has(next->id())) {
      ++waiting;
      continue;
    }
    std::optional<Error> refused;
    if (must_wait_for_adapters(*model.serving, next, refused)) {
      ++waiting;
      continue;
    }
    model.waiting.erase(model.waiting.begin() + static_cast<std::ptrdiff_t>(waiting));
    if (!refused) {
      hand_over(*model.serving, next);
    } else if (next->has_begun()) {
      next->abort(*refused);
    } else {
      refuse(model, *next, *refused);
    }
  }
}

void Requests::try_out(const std::shared_ptr<StreamState>& canary) {
  Life* const life = models_.life(canary->canary_of());
  if (life == nullptr || life->phase != Phase::kReady || !life->link->admit(canary)) {
    canary->abort({Code::kWorkerDied, "its worker has ended"});
    return;
  }
  running_.at(canary->id()).life = life->number;
  if (canary->begin({*life->load_record, life->ready->cells_per_stream, life->hash->sha256,
                     computation_of(*life)})) {
    life->link->submit(*canary);
  }
}

// ---- moving -------------------------------------------------------------------------------------

// In the order in which they came.
std::vector<ipc::RequestId> Requests::movable(const Life& life) const {
  std::vector<ipc::RequestId> ids;
  for (const auto& [id, running] : running_) {
    const bool may = running.life == life.number && running.stream->canary_of() == 0 &&
                     running.stream->wishes().empty() && running.stream->wants_to_run();
    if (may) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

bool Requests::is_for_a_suspect(const Life& life) const {
  const auto& waiting = life.model.waiting;
  return has_suspect(life) || std::any_of(waiting.begin(), waiting.end(),
                                          [](const auto& stream) { return stream->is_suspect(); });
}

std::optional<Requests::Ahead> Requests::compute_ahead(const Life& to, ipc::RequestId id) {
  const StreamState& stream = *running_.at(id).stream;
  const ipc::RequestId number = id | kAheadBit;
  const std::uint64_t tokens = stream.token_count();
  const bool helps = to.room.prefix_bytes_max > 0 && tokens > 0;
  if (!helps || stream.is_suspect() || to.link->has(number)) return std::nullopt;
  const ipc::Submit request = stream.request_ahead(number);
  if (is_quarantined(to, stream) || !request.leaves_prefix || !to.link->submit_ahead(request)) {
    return std::nullopt;
  }
  return Ahead{number, tokens, stream.request().choices > 1};
}

void Requests::blame(ipc::RequestId id) {
  const auto found = running_.find(id);
  if (found != running_.end()) (void)found->second.stream->worker_ended(true, false);
}

std::shared_ptr<StreamState> Requests::move(Life& from, ipc::RequestId id) {
  if (!from.link) return nullptr;
  std::shared_ptr<StreamState> stream = from.link->release(id);
  if (!stream) return nullptr;
  Model& model = from.model;
  running_.at(id).life = 0;
  if (from.suspect == id) from.suspect.reset();
  parts_.adapters.left(from, id);
  decide(parts_.tally, ledger::decision_kind::kRouting, ledger::decision_outcome::kChosen,
         ledger::engine_switch_reason::kMoved, model);
  model.waiting.push_front(stream);
  hand_over_waiting(model);
  return stream;
}

// ---- a worker is lost ---------------------------------------------------------------------------

// They have begun: before those that have not.
void Requests::take_back(Life& life, LinkLost lost) {
  Model& model = life.model;
  for (auto stream = lost.survivors.rbegin(); stream != lost.survivors.rend(); ++stream) {
    const auto found = running_.find((*stream)->id());
    if (found == running_.end()) continue;  // it has ended since
    found->second.life = 0;
    if ((*stream)->canary_of() != 0) {
      (*stream)->abort({Code::kWorkerDied, "the worker that was tried has ended"});
    } else if ((*stream)->wants_to_run()) {
      model.waiting.push_front(*stream);
    } else {
      (*stream)->abort({Code::kCancelled, "the client left"});
    }
  }
  std::erase_if(lost.survivors, [](const auto& stream) { return stream->canary_of() != 0; });
  if (lost.survivors.empty()) return;
  life.survivors = std::move(lost.survivors);
  decide(parts_.tally, ledger::decision_kind::kRouting, ledger::decision_outcome::kChosen,
         ledger::unload_reason::kWorkerDied, model);
  log::info("requests go on with another worker",
            {{"model", model.name}, {"requests", life.survivors.size()}});
}

// Any of them may be the cause, until one was alone.
void Requests::find_the_cause(Life& life, const LinkEnded& ended) {
  for (const auto& stream : life.survivors) {
    note_loss(life, *stream);
    if (!stream->worker_ended(ended.from_inside, life.survivors.size() == 1)) continue;
    std::erase(life.model.waiting, stream);
    quarantine(life, *stream);
    // From inside: with the CPU, for of a life that loses a device nothing else is said.
    if (ended.from_inside) give_losses_back(life.model, *stream);
    stream->abort({Code::kWorkerDied,
                   "this request ends every worker that computes it, and is not tried again: " +
                       ended.error.message});
  }
}

void Requests::note_loss(const Life& life, const StreamState& stream) {
  const auto found = running_.find(stream.id());
  if (life.room.loss.names.empty() || found == running_.end()) return;
  found->second.losses.push_back(life.room.loss);
}

void Requests::give_losses_back(const Model& model, const StreamState& stream) {
  const auto found = running_.find(stream.id());
  if (found == running_.end()) return;
  for (const auto& loss : std::exchange(found->second.losses, {}))
    parts_.host.give_back(model, loss);
}

// Proven while it was computed, so the model was ready: its hash is known, its files are open. One
// that has ended in the meantime has no prompt any more.
void Requests::quarantine(const Life& life, const StreamState& stream) {
  if (!life.hash || !life.files || !running_.contains(stream.id())) return;
  const Digest content = content_of(stream.request(), stream.wishes(), models_.catalogue());
  quarantine_.add(content, engine_in(life.room.wanted), life.hash->sha256, life.files->parts);
}

// ---- all of them --------------------------------------------------------------------------------

void Requests::abort_waiting(Model& model, const Error& error) {
  for (const auto& stream : std::exchange(model.waiting, {})) stream->abort(error);
  for (const auto& answer : std::exchange(model.load_waiters, {})) answer->give(error);
  for (const auto& life : model.lives) {
    for (const auto& answer : std::exchange(life->probe_waiters, {})) answer->give(error);
  }
}

void Requests::refuse_waiting(Model& model, const Error& error,
                              const std::vector<std::string>& details) {
  for (const auto& stream : std::exchange(model.waiting, {})) {
    refuse(model, *stream, error, details);
  }
  abort_waiting(model, error);
}

void Requests::abort_of(const Model& model, const Error& error) {
  for (auto& [id, running] : running_) {
    if (running.model == &model) running.stream->abort(error);
  }
}

void Requests::abort_all(const Error& error) {
  for (const auto& [name, model] : models_.models()) abort_waiting(*model, error);
  for (auto& [id, running] : running_) {
    running.stream->abort(error);
    if (WorkerLink* const link = link_of(running)) link->cancel(id);
  }
}

void Requests::ledger_failed(const Error& error) {
  for (auto& [id, running] : running_) running.stream->ledger_failed(error);
}

// ---- time ---------------------------------------------------------------------------------------

void Requests::look(std::int64_t now_ns) {
  end_overdue(now_ns);
  end_load_waits(now_ns);
  tell_waiting(now_ns);
}

// The first whose time has come and that has not ended; null: none.
std::shared_ptr<StreamState> Requests::take_due(Times& times, std::int64_t now_ns) {
  while (!times.empty() && times.begin()->first <= now_ns) {
    const auto found = running_.find(times.begin()->second);
    times.erase(times.begin());
    if (found != running_.end()) return found->second.stream;
  }
  return nullptr;
}

// Wherever they are: the stream asks for its worker to stop, or leaves the queue. An engine stops
// between two graphs; one that hangs does not, and is not waited for.
void Requests::end_overdue(std::int64_t now_ns) {
  while (const auto stream = take_due(deadlines_, now_ns)) {
    stream->give_up(overdue(*stream));
    overdue_.emplace(now_ns + kStopGraceNs, stream->id());
  }
  while (const auto stream = take_due(overdue_, now_ns)) stream->abort(overdue(*stream));
}

// Until something is due, `most` at most.
std::chrono::milliseconds Requests::patience(std::chrono::milliseconds most) const {
  const std::int64_t now_ns = parts_.clock.monotonic_ns();
  for (const Times* times : {&deadlines_, &overdue_}) {
    if (times->empty()) continue;
    const std::int64_t left = times->begin()->first - now_ns;
    const std::int64_t ms = std::max<std::int64_t>(left / kNsPerMs + 1, 0);
    most = std::min(most, std::chrono::milliseconds(ms));
  }
  return most;
}

ModelWait Requests::wait_of(const Model& model, std::size_t position) const {
  ModelWait wait;
  wait.position = static_cast<std::uint32_t>(position);
  wait.state = "loading";
  if (model.serving == nullptr) return wait;
  const Life& life = *model.serving;
  if (life.phase == Phase::kStopping || life.drains) {
    wait.state = "unloading";  // the last one of its workers
    return wait;
  }
  // Before its need is known it waits for nobody else.
  const bool waits = life.phase == Phase::kWaitingForRoom && !life.room.planning;
  if (waits || life.phase == Phase::kWaitingToWake) wait.state = "waiting_for_room";
  const std::int64_t so_far = parts_.clock.monotonic_ns() - life.wanted_ns;
  wait.seconds = static_cast<std::uint32_t>(so_far / kNsPerSecond);
  if (life.phase != Phase::kLoading || !life.link) return wait;
  wait.fraction = std::clamp(life.link->load_fraction(), 0.0F, 1.0F);
  if (wait.fraction >= kFractionTelling) {
    const double rest =
        (1.0 - static_cast<double>(wait.fraction)) / static_cast<double>(wait.fraction);
    wait.estimate_seconds =
        whole_seconds(static_cast<std::int64_t>(static_cast<double>(so_far) * rest));
  } else if (model.last_load_ns > so_far) {
    wait.estimate_seconds = whole_seconds(model.last_load_ns - so_far);
  }
  return wait;
}

// Those that a worker has, or had, have not waited in vain.
void Requests::end_load_waits(std::int64_t now_ns) {
  while (const auto stream = take_due(load_waits_, now_ns)) {
    const Running& running = running_.at(stream->id());
    if (running.is_handed_over()) continue;
    Model& model = *running.model;
    const auto place = std::find(model.waiting.begin(), model.waiting.end(), stream);
    const bool waits = place != model.waiting.end() && !stream->has_begun();
    if (!waits || model.takes_requests()) continue;
    const auto before = static_cast<std::size_t>(place - model.waiting.begin());
    model.waiting.erase(place);
    refuse(model, *stream,
           Error{Code::kLoading, "model '" + model.name +
                                     "' is not ready yet; it goes on loading: try again later, or "
                                     "wait longer (X-Aioss-Load-Wait)"}
               .with_wait(wait_of(model, before)));
  }
}

void Requests::tell_waiting(std::int64_t now_ns) {
  if (now_ns - told_ns_ < kTellNs) return;
  told_ns_ = now_ns;
  for (const auto& [name, model] : models_.models()) {
    if (model->takes_requests() || model->phase() == Phase::kCold) continue;
    for (std::size_t i = 0; i < model->waiting.size(); ++i) {
      model->waiting[i]->set_model_wait(wait_of(*model, i));
    }
  }
}

}  // namespace aioss::runtime
