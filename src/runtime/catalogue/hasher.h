// One background thread, `hash`, that computes SHA-256 of model files and SHA3-256 of the
// executable, so that hashing overlaps the worker's load. Callbacks run on that thread and must not
// block. Whoever asks for a file that is queued or under way already shares that job: the same file
// is one of equal device, inode, size and modification time. Stopping does not wait for a large
// file, nor is one read to its end that nobody waits for any more: reading is given up at the next
// mebibyte. Thread-safe.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/drive.h"
#include "base/result.h"
#include "os/file.h"
#include "os/fixed_content.h"
#include "runtime/catalogue/catalogue.h"
#include "runtime/catalogue/hash_cache.h"

namespace aioss::runtime {

struct ModelHash {
  Digest sha256{};      // of the file; of several: of the parts' digests, one after the other
  bool cached = false;  // every part's digest was remembered, not computed
  bool sealed = false;  // computed over the very bytes that the worker is given
  std::vector<Digest> parts = {};
};

class Hasher final {
 public:
  // The references outlive the hasher.
  Hasher(os::FileSystem& fs, HashCache& cache, const Clock& clock, Drive drive = Drive::kThread);
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  using ModelDone = std::function<void(Result<ModelHash>)>;
  using FileDone = std::function<void(Result<Digest>)>;
  using Ticket = std::uint64_t;
  // kBusy, at once and on this thread, if the queue is full.
  Ticket hash_model(std::shared_ptr<OpenModel> model, ModelDone done);
  // The same, never from the cache, and what was hashed is what `model->sealed` then holds: a copy
  // in memory, which nobody can change, or the file itself if it has fs-verity.
  Ticket seal_model(std::shared_ptr<OpenModel> model, ModelDone done);
  // Its callback is not called, unless that has begun. Tickets of jobs that ended are ignored.
  void cancel(Ticket ticket);
  void hash_executable(std::string path, FileDone done);
  // Driven by hand: carries out one job. False: there is none.
  bool run_pending();
  std::size_t queued();  // those under way included

 private:
  struct Job {
    std::shared_ptr<OpenModel> model;  // null: the executable
    bool seal = false;
    std::string path;  // of the executable
    FileDone file_done;
    std::vector<std::pair<Ticket, ModelDone>> waiters;  // guarded by mutex_
    std::atomic<bool> given_up{false};
  };
  using JobPointer = std::shared_ptr<Job>;  // of the queue and of the thread at work on it

  void run();
  JobPointer next();  // null: nothing more will come
  void finish(const JobPointer& job);
  JobPointer find(const OpenModel& model) const;  // with mutex_ held
  Ticket add(std::shared_ptr<OpenModel> model, bool seal, ModelDone done);
  Result<ModelHash> model_hash(const Job& job);
  Result<Digest> executable_hash(const Job& job);
  Result<ModelHash> sealed_hash(const Job& job);
  Result<Digest> part_hash(const Job& job, std::size_t part, os::SealedCopy* copy) const;
  Result<Digest> file_hash(os::File& file, bool sha3, const Job& job,
                           os::SealedCopy* copy = nullptr) const;

  os::FileSystem& fs_;
  HashCache& cache_;
  const Clock& clock_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<JobPointer> jobs_;  // guarded by mutex_; the one under way is in it, too
  Ticket last_ticket_ = 0;       // guarded by mutex_
  std::thread thread_;
};

}  // namespace aioss::runtime
