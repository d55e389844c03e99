// One background thread, `hash`, that computes SHA-256 of model files and SHA3-256 of the
// executable, so that hashing overlaps the worker's load. Callbacks run on that thread and must not
// block. Stopping does not wait for a large file: reading is given up at the next mebibyte.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/bounded_queue.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "os/file.h"
#include "runtime/catalogue.h"
#include "runtime/hash_cache.h"

namespace aioss::runtime {

struct ModelHash {
  Digest sha256{};      // of the file; of several: of the parts' digests, one after the other
  bool cached = false;  // every part's digest was remembered, not computed
};

class Hasher final {
 public:
  // The references outlive the hasher.
  Hasher(os::FileSystem& fs, HashCache& cache, const Clock& clock);
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  using ModelDone = std::function<void(Result<ModelHash>)>;
  using FileDone = std::function<void(Result<Digest>)>;
  // kBusy, at once, if the queue is full.
  void hash_model(std::shared_ptr<OpenModel> model, ModelDone done);
  void hash_executable(std::string path, FileDone done);

 private:
  void run();
  Result<ModelHash> model_hash(OpenModel& model);
  Result<Digest> file_hash(os::File& file, bool sha3);

  os::FileSystem& fs_;
  HashCache& cache_;
  const Clock& clock_;
  std::atomic<bool> stopping_{false};
  BoundedQueue<std::function<void()>> jobs_;
  std::thread thread_;
};

}  // namespace aioss::runtime
