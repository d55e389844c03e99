#include "runtime/hasher.h"

#include <span>
#include <utility>
#include <vector>

#include "crypto/hash.h"
#include "os/thread.h"

namespace aioss::runtime {
namespace {

// The executable, and loads: at most one a worker, and workers are few.
constexpr std::size_t kJobsMax = 64;
constexpr std::size_t kReadBytes = std::size_t{1} << 20;
constexpr auto kIdleWait = std::chrono::seconds(60);  // only to have a deadline; close() wakes it

}  // namespace

Hasher::Hasher(os::FileSystem& fs, HashCache& cache, const Clock& clock)
    : fs_(fs), cache_(cache), clock_(clock), jobs_(kJobsMax), thread_([this] { run(); }) {}

Hasher::~Hasher() {
  stopping_.store(true);
  jobs_.close();
  thread_.join();
}

void Hasher::run() {
  os::set_thread_name("hash");
  while (!jobs_.closed() || jobs_.size() > 0) {
    if (auto job = jobs_.pop_for(kIdleWait)) (*job)();
  }
}

void Hasher::hash_model(std::shared_ptr<OpenModel> model, ModelDone done) {
  const auto pushed = jobs_.try_push([this, model, done] { done(model_hash(*model)); });
  if (pushed != BoundedQueue<std::function<void()>>::Push::kAccepted) {
    done(Error{Code::kBusy, "too many models are being hashed; try again later"});
  }
}

void Hasher::hash_executable(std::string path, FileDone done) {
  const auto pushed = jobs_.try_push([this, path = std::move(path), done] {
    auto file = fs_.open(path, os::OpenMode::kRead);
    done(file ? file_hash(**file, true) : Result<Digest>(std::move(file).error()));
  });
  if (pushed != BoundedQueue<std::function<void()>>::Push::kAccepted) {
    done(Error{Code::kBusy, "the queue of files to hash is full"});
  }
}

Result<Digest> Hasher::file_hash(os::File& file, bool sha3) {
  crypto::Hasher hasher(sha3 ? crypto::HashAlgorithm::kSha3_256 : crypto::HashAlgorithm::kSha256);
  std::vector<std::uint8_t> buffer(kReadBytes);
  for (std::uint64_t offset = 0;;) {
    if (stopping_.load()) return Error{Code::kShuttingDown, "the gateway is stopping"};
    AIOSS_TRY(const std::size_t got, file.read_at(offset, buffer));
    if (got == 0) return hasher.finish();
    hasher.update(ByteView(buffer.data(), got));
    offset += got;
  }
}

Result<ModelHash> Hasher::model_hash(OpenModel& model) {
  ModelHash result{{}, true};
  std::vector<Digest> digests;
  for (std::size_t i = 0; i < model.files.size(); ++i) {
    const os::FileInfo& part = model.parts[i];
    if (const std::optional<Digest> known = cache_.find(part)) {
      digests.push_back(*known);
      continue;
    }
    result.cached = false;
    AIOSS_TRY(const Digest digest, file_hash(*model.files[i], false));
    AIOSS_TRY(const os::FileInfo after, model.files[i]->info());
    if (after.size != part.size || after.modified_ns != part.modified_ns) {
      return Error{Code::kModelCorrupt,
                   "the model file was changed while it was read; try again when it is whole"};
    }
    cache_.put(part, digest, clock_.wall_ns());
    digests.push_back(digest);
  }
  if (digests.size() == 1) {
    result.sha256 = digests.front();
    return result;
  }
  crypto::Hasher whole(crypto::HashAlgorithm::kSha256);
  for (const Digest& digest : digests) whole.update(digest);
  result.sha256 = whole.finish();
  return result;
}

}  // namespace aioss::runtime
