#include "ledger/writing/ledger.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/bounded_queue.h"
#include "base/strings.h"
#include "codec/hex.h"
#include "ledger/format/checkpoint.h"
#include "ledger/reading/history.h"
#include "ledger/writing/appender.h"
#include "ledger/writing/clock_watch.h"
#include "ledger/writing/opening.h"
#include "ledger/writing/rotation.h"
#include "os/thread.h"

namespace aioss::ledger {
namespace {

// A gateway has a few hundred requests under way, each with at most one record waiting here;
// sixteen thousand is a disk that stands still for a second under the fastest producers measured.
constexpr std::size_t kQueueRecordsMax = 16'384;
constexpr std::size_t kQueueBytesMax = 64U << 20;
constexpr std::size_t kGroupRecordsMax = 1'024;  // for the same reasons as kGroupBytesMax
// How often an idle writer looks whether the disk has space again.
constexpr std::chrono::seconds kIdleCheck{1};
// What is refused first when the disk fills: what begins new work, and what callers can cause
// without end, so that neither can use up the reserve.
bool leaves_the_reserve(RecordType type) {
  return type == RecordType::kInferRequest || type == RecordType::kModelLoad ||
         type == RecordType::kEngineStart || type == RecordType::kUpdate ||
         type == RecordType::kAuth || type == RecordType::kDecision ||
         type == RecordType::kHumanReview || type == RecordType::kAccess ||
         type == RecordType::kAnchor;
}

bool is_own_type(RecordType type) {
  return type == RecordType::kGenesis || type == RecordType::kSegmentOpen ||
         type == RecordType::kSegmentSeal || type == RecordType::kKeyRotate;
}

std::string low_space_reason(std::uint64_t reserve_bytes) {
  return "less than " + human_bytes(reserve_bytes) +
         " are free on the disk of the ledger; free some space there and it goes on by itself";
}

struct Entry {
  RecordType type{};
  EncodedBody body;
  Ledger::Done done;
  bool sign = false;  // no record: a checkpoint is asked for
  // Likewise: something that the ledger thread does between two groups.
  std::function<Result<Committed>()> job = nullptr;
};

// Calls `start` with a callback, and waits for that to be called.
template <typename Start>
Result<Committed> wait_for(const Start& start) {
  struct Answer {
    std::mutex mutex;
    std::condition_variable ready;
    std::optional<Result<Committed>> result;
  } answer;
  start([&answer](const Result<Committed>& result) {
    std::lock_guard lock(answer.mutex);
    answer.result = result;
    answer.ready.notify_one();  // with the lock held: `answer` is gone once its owner has it
  });
  std::unique_lock lock(answer.mutex);
  answer.ready.wait(lock, [&answer] { return answer.result.has_value(); });
  return *answer.result;
}

}  // namespace

class Ledger::Impl final {
 public:
  Impl(os::FileSystem& fs, const Clock& clock, const OpenOptions& options, Opened opened)
      : fs_(fs),
        clock_(clock),
        clock_watch_(clock),
        options_(options),
        directory_(std::move(opened.directory)),
        identity_(std::move(opened.identity)),
        controls_(std::move(opened.controls)),
        guard_(opened.signer->guard()),
        index_(std::move(opened.index)),
        history_(fs, options.directory, identity_.ledger_id, *index_),
        checkpoint_(std::move(opened.checkpoint)),
        signer_(std::move(opened.signer)),
        appender_(std::move(opened.appender)),
        signed_size_(opened.checkpoint_size) {
    health_.writable = true;
    health_.size = appender_->next_index();
    health_.checkpoint_size = signed_size_;
    if (options.drive == Drive::kThread) thread_ = std::thread([this] { run(); });
  }

  ~Impl() { stop(); }

  void append(RecordType type, const codec::Map& body, Done done) {
    ASSERT(!is_own_type(type));
    auto encoded = encode_own(body);
    if (!encoded) return done(std::move(encoded).error());
    push(Entry{type, std::move(*encoded), std::move(done)});
  }

  Result<Rotated> rotate_key(const RotateOptions& options) {
    const bool dual = controls_.policy().needs_approval(kRotateAction);
    if (dual && options.approvals.size() < 2) {
      return Error{Code::kForbidden,
                   "changing the key of this ledger needs two operators: one requests it, another "
                   "approves it"};
    }
    Rotated rotated;
    AIOSS_TRY(const Committed committed,
              do_between_groups([&] { return rotate_now(options, rotated); }));
    rotated.index = committed.index;
    return rotated;
  }

  Status protect_keys(crypto::KeyGuard guard) {
    const auto job = [&]() -> Result<Committed> {
      AIOSS_CHECK(signer_->protect(std::move(guard)));
      return Committed{};
    };
    const auto done = do_between_groups(job);
    return done ? ok() : Status(done.error());
  }

  void drive() {
    if (options_.drive == Drive::kByHand) run_pending();
  }
  void run_pending() {
    ASSERT(options_.drive == Drive::kByHand);
    do {
      turn(std::chrono::seconds(0));
    } while (queue_.size() > 0);
  }
  std::size_t queued() const { return queue_.size(); }

  const ControlBook& controls() const { return controls_; }
  const crypto::KeyGuard& key_guard() const { return guard_; }

  void ask_for_checkpoint(Done done) { push(Entry{{}, {}, std::move(done), true}); }

  std::string checkpoint() const {
    std::lock_guard lock(mutex_);
    return checkpoint_;
  }
  const History& history() const { return history_; }

  Health health() const {
    std::lock_guard lock(mutex_);
    return health_;
  }
  const Identity& identity() const { return identity_; }
  const InstanceInfo& instance() const { return appender_->instance(); }
  const std::string& directory() const { return options_.directory; }

  Status close() {
    if (!stop()) return ok();
    // Everything up to tree().size() is durable: the thread has ended and did not fail.
    Status written = sign();
    if (!failed_) set_shut("the ledger is closed");
    directory_.unlock();
    return written;
  }

 private:
  using Queue = BoundedQueue<Entry>;

  // The entry's callback is called here if it cannot be queued, else on the ledger thread.
  void push(Entry entry) {
    const std::size_t bytes = entry.body.entries.size();
    Done done = std::move(entry.done);
    if (shut_.load()) return done(shut_error());
    if (queued_bytes_.fetch_add(bytes) + bytes > kQueueBytesMax) {
      queued_bytes_.fetch_sub(bytes);
      return done(busy_error());
    }
    // The queue takes the entry or leaves it to us, but try_push() moves it either way; the
    // callback therefore lives beside it until its fate is known.
    auto shared = std::make_shared<Done>(std::move(done));
    entry.done = [shared](const Result<Committed>& result) { (*shared)(result); };
    const auto pushed = queue_.try_push(std::move(entry));
    if (pushed == Queue::Push::kAccepted) return;
    queued_bytes_.fetch_sub(bytes);
    (*shared)(pushed == Queue::Push::kFull ? busy_error() : shut_error());
  }

  // `job` runs on the ledger thread; everything that was appended before is durable then.
  Result<Committed> do_between_groups(std::function<Result<Committed>()> job) {
    return wait_for([&](Done done) {
      push(Entry{{}, {}, std::move(done), false, std::move(job)});
      drive();
    });
  }

  // On the ledger thread.
  Result<Committed> rotate_now(const RotateOptions& options, Rotated& rotated) {
    if (space_out_) {
      return Error{Code::kLedgerUnavailable, low_space_reason(options_.reserve_bytes)};
    }
    stage_clock_jump();
    if (const Status clean = appender_->commit(); !clean) {
      fail(clean.error().message);
      return shut_error();
    }
    AIOSS_TRY(const EncodedBody body,
              prepare_rotation(*signer_, *appender_, identity_.ledger_id, options));
    auto done = carry_out_rotation(*signer_, *appender_, identity_.origin, body);
    if (!done) {
      fail(done.error().message);
      return shut_error();
    }
    publish_size();
    publish_checkpoint(std::move(done->note));
    rotated.verifier_key = format_verifier_key({identity_.origin, signer_->public_key()});
    return done->committed;
  }

  // Ends the thread after what is queued. False if that was done before.
  bool stop() {
    if (options_.drive == Drive::kByHand) {
      if (queue_.closed()) return false;
      queue_.close();
      run_pending();
      return true;
    }
    queue_.close();
    if (!thread_.joinable()) return false;
    ASSERT(std::this_thread::get_id() != thread_.get_id());
    thread_.join();
    return true;
  }

  // A checkpoint over everything, all of which is durable: called between groups only. A disk that
  // does not take it latches the ledger like one that does not take a record.
  Status sign() {
    if (failed_) return shut_error();
    if (appender_->tree().size() == signed_size_) return ok();
    auto note = signer_->write(checkpoint_of(*appender_, identity_.origin));
    if (!note) {
      fail(note.error().message);
      return std::move(note).error();
    }
    publish_checkpoint(std::move(*note));
    return ok();
  }

  // It covers everything that was written.
  void publish_checkpoint(std::string note) {
    signed_size_ = appender_->tree().size();
    std::lock_guard lock(mutex_);
    checkpoint_ = std::move(note);
    health_.checkpoint_size = signed_size_;
  }

  void sign_when_due() {
    if (failed_ || appender_->tree().size() == signed_size_) {
      unsigned_since_ns_.reset();
      return;
    }
    const std::int64_t now = clock_.monotonic_ns();
    if (!unsigned_since_ns_) unsigned_since_ns_ = now;
    if (now - *unsigned_since_ns_ < options_.checkpoint_interval_ns) return;
    unsigned_since_ns_.reset();
    (void)sign();  // a failure has latched
  }

  static Error busy_error() {
    return {Code::kBusy, "the ledger's queue is full; try again in a moment"};
  }
  Error shut_error() const {
    const std::string reason = health().reason;
    return {Code::kLedgerUnavailable, reason.empty() ? "the ledger is closed" : reason};
  }

  void set_shut(std::string reason) {
    std::lock_guard lock(mutex_);
    health_.writable = false;
    health_.shut = true;
    health_.reason = std::move(reason);
    shut_ = true;
  }

  // Latches. The records of the group that failed may or may not be on the disk; only a new
  // process, which reads it again, can know.
  void fail(const std::string& why) {
    failed_ = true;
    set_shut("the ledger could not be written (" + why +
             "); see that its disk works and has space, then restart aioss");
  }

  void run() {
    os::set_thread_name("ledger");
    while (!(queue_.closed() && queue_.size() == 0)) turn(kIdleCheck);
  }

  void turn(std::chrono::nanoseconds patience) {
    // Outside the try: whoever waits for one of it must hear of a failure.
    std::vector<Entry> batch;
    try {
      batch = queue_.drain_for(patience, kGroupRecordsMax);
      for (const Entry& entry : batch) queued_bytes_.fetch_sub(entry.body.entries.size());
      check_space();
      write(batch);
      answer_signing(batch);
      sign_when_due();
    } catch (const std::exception& problem) {  // the edge: only memory can be short here
      fail(problem.what());
      queue_.close();
      for (Entry& entry : batch) {
        if (entry.done) answer(entry, shut_error());
      }
      while (auto entry = queue_.try_pop()) entry->done(shut_error());
    }
  }

  void check_space() {
    if (failed_ || options_.reserve_bytes == 0) return;
    const auto available = fs_.bytes_available(options_.directory);
    // If the file system does not say, a write that finds no space will.
    const std::uint64_t bytes = available ? *available : options_.reserve_bytes;
    space_low_ = bytes < options_.reserve_bytes;
    space_out_ = bytes < options_.reserve_bytes / kReserveParts;
    std::lock_guard lock(mutex_);
    health_.writable = !space_low_;
    health_.reason = space_low_ ? low_space_reason(options_.reserve_bytes) : "";
  }

  // Once: an entry that has been answered has no callback any more.
  static void answer(Entry& entry, const Result<Committed>& result) {
    const Ledger::Done done = std::exchange(entry.done, nullptr);
    done(result);
  }

  void write(std::vector<Entry>& batch) {
    std::size_t next = 0;
    while (next < batch.size()) {
      if (batch[next].job && !failed_) {
        Entry& entry = batch[next++];
        answer(entry, entry.job());
        continue;
      }
      std::vector<std::pair<Entry*, Committed>> group;
      while (next < batch.size() && appender_->staged_bytes() < kGroupBytesMax && !failed_ &&
             !batch[next].job) {
        Entry& entry = batch[next++];
        if (entry.sign) continue;
        if (space_out_ || (space_low_ && leaves_the_reserve(entry.type))) {
          answer(entry, Error{Code::kLedgerUnavailable, low_space_reason(options_.reserve_bytes)});
          continue;
        }
        if (group.empty()) stage_clock_jump();
        group.emplace_back(&entry, appender_->stage(entry.type, entry.body));
      }
      if (failed_) {
        for (; next < batch.size(); ++next) {
          if (!batch[next].sign) answer(batch[next], shut_error());
        }
        return;
      }
      commit(group);
    }
  }

  // After the batch's records, so that one signature serves all who asked.
  void answer_signing(std::vector<Entry>& batch) {
    for (Entry& entry : batch) {
      if (!entry.sign) continue;
      const Status written = sign();
      answer(entry, written ? Result<Committed>(Committed{signed_size_, {}})
                            : Result<Committed>(written.error()));
    }
  }

  void stage_clock_jump() {
    const auto jump = clock_watch_.look();
    if (!jump) return;
    const auto body = encode_own(clock_body(*jump, clock_source::kRunning));
    ASSERT(body.has_value());  // three small fields
    appender_->stage(RecordType::kClock, *body);
  }

  void commit(const std::vector<std::pair<Entry*, Committed>>& group) {
    if (group.empty()) return;
    if (auto status = appender_->commit(); !status) {
      fail(status.error().message);
      for (const auto& [entry, committed] : group) answer(*entry, shut_error());
      return;
    }
    publish_size();
    for (const auto& [entry, committed] : group) answer(*entry, committed);
    const bool full = appender_->segment_bytes() >= options_.segment_bytes_max ||
                      appender_->segment_age_ns() >= options_.segment_age_max_ns;
    if (full) next_segment();
  }

  // The checkpoint covers the sealed segment and nothing behind it, so that a next one whose
  // beginning is lost can still be put aside.
  void next_segment() {
    if (auto status = appender_->seal(); !status) return fail(status.error().message);
    publish_size();
    if (!sign()) return;  // and latched
    if (auto status = appender_->start_segment(); !status) return fail(status.error().message);
    publish_size();
  }

  void publish_size() {
    index_->publish(appender_->next_index());
    std::lock_guard lock(mutex_);
    health_.size = appender_->next_index();
  }

  os::FileSystem& fs_;
  const Clock& clock_;
  ClockWatch clock_watch_;  // of the ledger thread
  const OpenOptions options_;
  LockedDirectory directory_;
  const Identity identity_;
  const ControlBook controls_;
  const crypto::KeyGuard guard_;
  const std::unique_ptr<HistoryIndex> index_;
  const History history_;
  Queue queue_{kQueueRecordsMax};
  std::atomic<std::size_t> queued_bytes_{0};
  std::atomic<bool> shut_{false};
  mutable std::mutex mutex_;
  Health health_;           // guarded by mutex_
  std::string checkpoint_;  // guarded by mutex_
  // Of the ledger thread; after stop(), of whoever stopped it.
  std::unique_ptr<Signer> signer_;
  std::unique_ptr<Appender> appender_;
  bool failed_ = false;
  bool space_low_ = false, space_out_ = false;
  std::uint64_t signed_size_ = 0;                       // covered by checkpoint_
  std::optional<std::int64_t> unsigned_since_ns_ = {};  // since when there is more
  std::thread thread_;
};

Result<std::unique_ptr<Ledger>> Ledger::open(os::FileSystem& fs, const Clock& clock,
                                             crypto::Random& random, const OpenOptions& options) {
  AIOSS_TRY(Opened opened, open_directory(fs, clock, random, options));
  const std::optional<Program> last_program = opened.last_program;
  Standing standing = std::move(opened.standing);
  std::unique_ptr<Ledger> ledger(
      new Ledger(std::make_unique<Impl>(fs, clock, options, std::move(opened))));
  ledger->last_program_ = last_program;
  ledger->standing_ = std::move(standing);
  return ledger;
}

Ledger::Ledger(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Ledger::~Ledger() = default;

void Ledger::append(RecordType type, codec::Map body, Done done) {
  impl_->append(type, body, std::move(done));
}

Result<Committed> Ledger::append_and_wait(RecordType type, codec::Map body) {
  return wait_for([&](Done done) {
    append(type, std::move(body), std::move(done));
    impl_->drive();
  });
}

Result<Rotated> Ledger::rotate_key(RotateOptions options) {
  return impl_->rotate_key(options);
}
Status Ledger::protect_keys(crypto::KeyGuard guard) {
  return impl_->protect_keys(std::move(guard));
}
const crypto::KeyGuard& Ledger::key_guard() const {
  return impl_->key_guard();
}
const ControlBook& Ledger::controls() const {
  return impl_->controls();
}

Result<std::string> Ledger::checkpoint_now() {
  const auto asked = wait_for([this](Done done) {
    impl_->ask_for_checkpoint(std::move(done));
    impl_->drive();
  });
  if (!asked) return asked.error();
  return impl_->checkpoint();  // at least as new as the one that was asked for
}

std::string Ledger::checkpoint() const {
  return impl_->checkpoint();
}
const History& Ledger::history() const {
  return impl_->history();
}

Health Ledger::health() const {
  return impl_->health();
}
const Identity& Ledger::identity() const {
  return impl_->identity();
}
const Standing& Ledger::standing() const {
  return standing_;
}
std::string Ledger::instance_id_hex() const {
  return codec::to_hex(impl_->instance().instance_id);
}
const std::string& Ledger::directory() const {
  return impl_->directory();
}
Status Ledger::close() {
  return impl_->close();
}
void Ledger::run_pending() {
  impl_->run_pending();
}
std::size_t Ledger::queued() const {
  return impl_->queued();
}

}  // namespace aioss::ledger
