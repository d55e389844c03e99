// The thread `adapters`: takes the files of adapters into the memory from which workers load them,
// and computes their SHA-256 on the way. So what a worker gets are the bytes that were hashed,
// whoever writes to the file meanwhile. Jobs are carried out in the order of their coming;
// callbacks run on that thread and must not block. Stopping gives up what is under way, and so does
// who has ordered it: at the end of a read, for which a disk may take as long as it likes.
// Thread-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"
#include "base/bytes.h"
#include "base/result.h"
#include "os/file.h"
#include "os/memory_file.h"
#include "runtime/catalogue/catalogue.h"

namespace aioss::runtime {

class AdapterCopier final {
 public:
  // A worker has one job at a time: `jobs_max` is how many of them there can be. The file system
  // outlives it.
  AdapterCopier(os::FileSystem& fs, std::size_t jobs_max);
  ~AdapterCopier();
  AdapterCopier(const AdapterCopier&) = delete;
  AdapterCopier& operator=(const AdapterCopier&) = delete;

  using Done = std::function<void(Result<Digest>)>;
  using GivenUp = std::shared_ptr<const std::atomic<bool>>;  // never null
  // `entry.file` as the catalogue has it; `allowed` may be null. Without success the memory is left
  // empty. kBusy, at once and on this thread, if the queue is full.
  void copy(AdapterEntry entry, std::shared_ptr<os::MemoryFile> into,
            std::shared_ptr<const AllowList> allowed, GivenUp given_up, Done done);
  // Grows as long as something is done: who waits can tell a slow disk from one that hangs.
  std::uint64_t progress() const { return progress_; }

 private:
  struct Job {
    AdapterEntry entry;
    std::shared_ptr<os::MemoryFile> into;
    std::shared_ptr<const AllowList> allowed;
    GivenUp given_up;
    Done done;
  };
  void run();
  Result<Digest> carry_out(const Job& job);
  Result<Digest> copy_bytes(os::File& file, const Job& job);
  Status goes_on(const Job& job) const;

  os::FileSystem& fs_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> progress_{0};
  BoundedQueue<Job> jobs_;
  std::thread thread_;
};

}  // namespace aioss::runtime
