#include "ledger/ledger.h"

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
#include "ledger/appender.h"
#include "ledger/backup.h"
#include "ledger/checkpoint.h"
#include "ledger/directory.h"
#include "ledger/recovery.h"
#include "ledger/rotation.h"
#include "os/thread.h"

namespace aioss::ledger {
namespace {

// A gateway has a few hundred requests under way, each with at most one record waiting here;
// sixteen thousand is a disk that stands still for a second under the fastest producers measured.
constexpr std::size_t kQueueRecordsMax = 16'384;
constexpr std::size_t kQueueBytesMax = 64U << 20;
// A commit group: enough that a sync costs little a record, small enough to write in a few
// milliseconds.
constexpr std::size_t kGroupRecordsMax = 1'024;
constexpr std::size_t kGroupBytesMax = 1U << 20;
// How often an idle writer looks whether the disk has space again.
constexpr std::chrono::seconds kIdleCheck{1};
// The last sixteenth of the reserve is left for what ends the program.
constexpr std::uint64_t kReserveParts = 16;

// What begins new work; refused first when the disk fills.
bool begins_work(RecordType type) {
  return type == RecordType::kInferRequest || type == RecordType::kModelLoad ||
         type == RecordType::kEngineStart || type == RecordType::kUpdate;
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
  // Instead of a record: something that the ledger thread does between two groups.
  std::function<Result<Committed>()> job = nullptr;
};

struct Parts {  // of an opened ledger
  LockedDirectory directory;
  std::unique_ptr<Signer> signer;
  Identity identity;
  InstanceInfo instance;
  std::unique_ptr<Appender> appender;
  ControlBook controls;
};

// Runs `start` with a callback, and waits until it was called.
Result<Committed> wait_for(const std::function<void(Ledger::Done)>& start) {
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
  Impl(os::FileSystem& fs, const OpenOptions& options, Parts parts)
      : fs_(fs),
        options_(options),
        directory_(std::move(parts.directory)),
        identity_(std::move(parts.identity)),
        instance_(parts.instance),
        controls_(std::move(parts.controls)),
        guard_(parts.signer->guard()),
        signer_(std::move(parts.signer)),
        appender_(std::move(parts.appender)) {
    health_.writable = true;
    health_.size = appender_->next_index();
    thread_ = std::thread([this] { run(); });
  }

  ~Impl() { stop(); }

  void append(RecordType type, const codec::Map& body, Done done) {
    ASSERT(!is_own_type(type));
    auto encoded = encode_own(body);
    if (!encoded) return done(std::move(encoded).error());
    enqueue(Entry{type, std::move(*encoded), nullptr}, std::move(done));
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

  const ControlBook& controls() const { return controls_; }
  const crypto::KeyGuard& key_guard() const { return guard_; }

  Health health() const {
    std::lock_guard lock(mutex_);
    return health_;
  }
  const Identity& identity() const { return identity_; }
  const InstanceInfo& instance() const { return instance_; }

  Status close() {
    if (!stop()) return ok();
    Status written = sign();
    directory_.unlock();
    return written;
  }

 private:
  using Queue = BoundedQueue<Entry>;

  void enqueue(Entry entry, Done done) {
    const std::size_t bytes = entry.body.entries.size();
    if (shut_.load()) return done(shut_error());
    if (queued_bytes_.fetch_add(bytes) + bytes > kQueueBytesMax) {
      queued_bytes_.fetch_sub(bytes);
      return done(busy_error());
    }
    // The queue takes the entry or leaves it to us, but try_push() moves it either way; the
    // callback therefore lives beside it until its fate is known.
    auto shared = std::make_shared<Done>(std::move(done));
    entry.done = [shared](const Result<Committed>& result) { (*shared)(result); };
    const auto push = queue_.try_push(std::move(entry));
    if (push == Queue::Push::kAccepted) return;
    queued_bytes_.fetch_sub(bytes);
    (*shared)(push == Queue::Push::kFull ? busy_error() : shut_error());
  }

  // `job` runs on the ledger thread; everything that was appended before is durable then.
  Result<Committed> do_between_groups(std::function<Result<Committed>()> job) {
    return wait_for([&](Done done) {
      Entry entry;
      entry.job = std::move(job);
      enqueue(std::move(entry), std::move(done));
    });
  }

  // On the ledger thread.
  Result<Committed> rotate_now(const RotateOptions& options, Rotated& rotated) {
    if (space_out_) {
      return Error{Code::kLedgerUnavailable, low_space_reason(options_.reserve_bytes)};
    }
    AIOSS_TRY(const EncodedBody body,
              prepare_rotation(*signer_, *appender_, identity_.ledger_id, options));
    const auto committed = carry_out_rotation(*signer_, *appender_, identity_.origin, body);
    if (!committed) {
      fail(committed.error().message);
      return shut_error();
    }
    publish_size();
    rotated.verifier_key = format_verifier_key({identity_.origin, signer_->public_key()});
    return committed;
  }

  // Ends the thread after what is queued. False if that was done before.
  bool stop() {
    queue_.close();
    if (!thread_.joinable()) return false;
    ASSERT(std::this_thread::get_id() != thread_.get_id());
    thread_.join();
    return true;
  }

  // Everything up to tree().size() is durable: the thread has ended and did not fail.
  Status sign() {
    if (failed_) return shut_error();
    set_shut("the ledger is closed");
    return signer_->write(checkpoint_of(*appender_, identity_.origin));
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
    // Outside the try: whoever waits for one of it must hear of a failure.
    std::vector<Entry> batch;
    try {
      while (!(queue_.closed() && queue_.size() == 0)) {
        batch = queue_.drain_for(kIdleCheck, kGroupRecordsMax);
        for (const Entry& entry : batch) queued_bytes_.fetch_sub(entry.body.entries.size());
        check_space();
        write(batch);
      }
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
        if (space_out_ || (space_low_ && begins_work(entry.type))) {
          answer(entry, Error{Code::kLedgerUnavailable, low_space_reason(options_.reserve_bytes)});
          continue;
        }
        group.emplace_back(&entry, appender_->stage(entry.type, entry.body));
      }
      if (failed_) {
        for (; next < batch.size(); ++next) answer(batch[next], shut_error());
        return;
      }
      commit(group);
    }
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
    if (!full) return;
    if (auto status = appender_->rotate(); !status) return fail(status.error().message);
    publish_size();
  }

  void publish_size() {
    std::lock_guard lock(mutex_);
    health_.size = appender_->next_index();
  }

  os::FileSystem& fs_;
  const OpenOptions options_;
  LockedDirectory directory_;
  const Identity identity_;
  const InstanceInfo instance_;
  const ControlBook controls_;
  const crypto::KeyGuard guard_;
  Queue queue_{kQueueRecordsMax};
  std::atomic<std::size_t> queued_bytes_{0};
  std::atomic<bool> shut_{false};
  mutable std::mutex mutex_;
  Health health_;  // guarded by mutex_
  // Of the ledger thread; after stop(), of whoever stopped it.
  std::unique_ptr<Signer> signer_;
  std::unique_ptr<Appender> appender_;
  bool failed_ = false;
  bool space_low_ = false, space_out_ = false;
  std::thread thread_;
};

namespace {

Status write_recovered(Appender& appender, const Recovered& recovered,
                       const std::set<std::uint64_t>& open_requests) {
  const auto stage = [&appender](RecordType type, const codec::Map& body) -> Status {
    AIOSS_TRY(const EncodedBody encoded, encode_own(body));
    appender.stage(type, encoded);
    return appender.staged_bytes() < kGroupBytesMax ? ok() : appender.commit();
  };
  for (const codec::Map& body : recovered.recovery_bodies) {
    AIOSS_CHECK(stage(RecordType::kRecovery, body));
  }
  for (const std::uint64_t request : open_requests) {
    codec::Map body;
    body.set(key::kRefIndex, codec::Value::uint(request))
        .set(key::infer_abort::kCause, codec::Value::text(abort_cause::kCrash));
    AIOSS_CHECK(stage(RecordType::kInferAbort, body));
  }
  return appender.commit();
}

Status check_reserve(os::FileSystem& fs, const OpenOptions& options) {
  AIOSS_TRY(const std::uint64_t bytes, fs.bytes_available(options.directory));
  if (bytes >= options.reserve_bytes) return ok();
  return Error{Code::kLedgerUnavailable, "less than " + human_bytes(options.reserve_bytes) +
                                             " are free on the disk of the ledger; free some "
                                             "space there, then start aioss again"};
}

Status check_openable(os::FileSystem& fs, const OpenOptions& options) {
  if (auto found = fs.info(options.directory + '/' + std::string(kSegmentFolder)); !found) {
    return Error{Code::kNotFound, "there is no ledger in " + options.directory +
                                      "; make one with `aioss ledger init`"};
  }
  AIOSS_CHECK(refuse_backup(fs, options.directory));
  return check_file_system(fs, options.directory, options.allow_unsafe_file_system);
}

// What was recorded when the ledger was made is what holds; a file that says less was changed.
Status check_policy(const Policy& recorded, const Policy& file) {
  if (recorded == file) return ok();
  return Error{
      Code::kCorrupt,
      "the ledger's file 'policy' does not say what was recorded when the ledger was made; "
      "put it back as it was ('aioss ledger show 2' shows that record)"};
}

}  // namespace

Result<std::unique_ptr<Ledger>> Ledger::open(os::FileSystem& fs, const Clock& clock,
                                             crypto::Random& random, const OpenOptions& options) {
  const std::string& directory = options.directory;
  AIOSS_CHECK(check_openable(fs, options));
  AIOSS_TRY(LockedDirectory locked, LockedDirectory::lock(fs, directory));
  AIOSS_CHECK(check_reserve(fs, options));
  AIOSS_TRY(const Policy policy_file, read_policy(fs, directory));
  AIOSS_TRY(auto mark, read_restored_mark(fs, directory));
  RestoredWatch restored(std::move(mark));
  ControlBook controls;
  AIOSS_TRY(auto signer, Signer::load(fs, random, directory, options.ask_passphrase));
  RecoveryOptions recovering{directory, signer->candidates()};
  recovering.visit = [&](const Record& record) {
    restored.see(record);
    controls.see(record);
  };
  AIOSS_TRY(Recovered recovered, recover(fs, recovering));
  AIOSS_CHECK(check_policy(controls.policy(), policy_file));
  signer->choose(recovered.epochs.newest());
  Identity identity{recovered.origin, recovered.position.ledger_id, ""};
  const InstanceInfo instance = new_instance(random, options.boot_id);
  const std::set<std::uint64_t> open_requests = recovered.position.open_requests;
  auto appender =
      std::make_unique<Appender>(fs, clock, directory, instance, std::move(recovered.position));
  AIOSS_CHECK(recovered.needs_segment ? appender->start_segment() : appender->reopen());
  AIOSS_CHECK(signer->settle(checkpoint_of(*appender, identity.origin)));
  AIOSS_CHECK(begin_restored(fs, directory, restored, *signer, *appender, identity));
  AIOSS_CHECK(write_recovered(*appender, recovered, open_requests));
  identity.verifier_key = format_verifier_key({identity.origin, signer->public_key()});
  Parts parts{std::move(locked), std::move(signer),   std::move(identity),
              instance,          std::move(appender), std::move(controls)};
  return std::unique_ptr<Ledger>(new Ledger(std::make_unique<Impl>(fs, options, std::move(parts))));
}

Ledger::Ledger(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Ledger::~Ledger() = default;

void Ledger::append(RecordType type, codec::Map body, Done done) {
  impl_->append(type, body, std::move(done));
}

Result<Committed> Ledger::append_and_wait(RecordType type, codec::Map body) {
  return wait_for([&](Done done) { append(type, std::move(body), std::move(done)); });
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
Health Ledger::health() const {
  return impl_->health();
}
const Identity& Ledger::identity() const {
  return impl_->identity();
}
std::string Ledger::instance_id_hex() const {
  return codec::to_hex(impl_->instance().instance_id);
}
Status Ledger::close() {
  return impl_->close();
}

}  // namespace aioss::ledger
