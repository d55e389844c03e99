#include "runtime/catalogue/hasher.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "crypto/hash.h"
#include "os/thread.h"
#include "runtime/calls/stopping.h"

namespace aioss::runtime {
namespace {

// The executable, and loads: at most one a worker, and workers are few.
constexpr std::size_t kJobsMax = 64;
constexpr std::size_t kWaitersMax = 64;  // of one file
constexpr std::size_t kReadBytes = std::size_t{1} << 20;
constexpr auto kIdleWait = std::chrono::seconds(60);  // only to have a deadline; a job wakes it

// As docs/formats/ledger.md has it: of one file its own, of several that of their digests.
Digest whole_digest(const std::vector<Digest>& parts) {
  if (parts.size() == 1) return parts.front();
  crypto::Hasher whole(crypto::HashAlgorithm::kSha256);
  for (const Digest& part : parts) whole.update(part);
  return whole.finish();
}

}  // namespace

Hasher::Hasher(os::FileSystem& fs, HashCache& cache, const Clock& clock, Drive drive)
    : fs_(fs), cache_(cache), clock_(clock) {
  if (drive == Drive::kThread) thread_ = std::thread([this] { run(); });
}

Hasher::~Hasher() {
  {
    std::lock_guard lock(mutex_);
    stopping_.store(true);
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  while (run_pending()) continue;  // what nobody has driven by hand
}

std::size_t Hasher::queued() {
  std::lock_guard lock(mutex_);
  return jobs_.size();
}

bool Hasher::run_pending() {
  JobPointer job;
  {
    std::lock_guard lock(mutex_);
    if (!jobs_.empty()) job = jobs_.front();
  }
  if (job) finish(job);
  return job != nullptr;
}

// ---- callers ------------------------------------------------------------------------------------

Hasher::JobPointer Hasher::find(const OpenModel& model) const {
  for (const JobPointer& job : jobs_) {
    // A sealed copy belongs to the one who asked for it.
    if (job->model && !job->seal &&
        std::equal(job->model->parts.begin(), job->model->parts.end(), model.parts.begin(),
                   model.parts.end(), is_same_file)) {
      return job;
    }
  }
  return nullptr;
}

Hasher::Ticket Hasher::hash_model(std::shared_ptr<OpenModel> model, ModelDone done) {
  return add(std::move(model), false, std::move(done));
}

Hasher::Ticket Hasher::seal_model(std::shared_ptr<OpenModel> model, ModelDone done) {
  return add(std::move(model), true, std::move(done));
}

Hasher::Ticket Hasher::add(std::shared_ptr<OpenModel> model, bool seal, ModelDone done) {
  {
    std::lock_guard lock(mutex_);
    const Ticket ticket = ++last_ticket_;
    JobPointer job = seal ? nullptr : find(*model);
    if (!job && jobs_.size() < kJobsMax) {
      job = jobs_.emplace_back(std::make_shared<Job>());
      job->model = std::move(model);
      job->seal = seal;
    }
    if (job && job->waiters.size() < kWaitersMax) {
      job->waiters.emplace_back(ticket, std::move(done));
      changed_.notify_all();
      return ticket;
    }
  }
  done(Error{Code::kBusy, "too many models are being hashed; try again later"});
  return 0;
}

// A job that is given up leaves the queue at once, even if it is under way: whoever asks for the
// file from now on needs a new one.
void Hasher::cancel(Ticket ticket) {
  std::lock_guard lock(mutex_);
  for (auto at = jobs_.begin(); at != jobs_.end(); ++at) {
    auto& waiters = (*at)->waiters;
    if (std::erase_if(waiters, [&](const auto& one) { return one.first == ticket; }) == 0) continue;
    if (!waiters.empty()) return;
    (*at)->given_up.store(true);
    jobs_.erase(at);
    return;
  }
}

void Hasher::hash_executable(std::string path, FileDone done) {
  {
    std::lock_guard lock(mutex_);
    if (jobs_.size() < kJobsMax) {
      const JobPointer& job = jobs_.emplace_back(std::make_shared<Job>());
      job->path = std::move(path);
      job->file_done = std::move(done);
      changed_.notify_all();
      return;
    }
  }
  done(Error{Code::kBusy, "the queue of files to hash is full"});
}

// ---- the thread ---------------------------------------------------------------------------------

void Hasher::run() {
  os::set_thread_name("hash");
  while (const JobPointer job = next()) finish(job);
}

Hasher::JobPointer Hasher::next() {
  std::unique_lock lock(mutex_);
  while (jobs_.empty() && !stopping_.load()) changed_.wait_for(lock, kIdleWait);
  return jobs_.empty() ? nullptr : jobs_.front();
}

void Hasher::finish(const JobPointer& job) {
  auto model = Result<ModelHash>(ModelHash{});
  if (job->model) model = job->seal ? sealed_hash(*job) : model_hash(*job);
  const auto file = job->model ? Result<Digest>(Digest{}) : executable_hash(*job);
  std::vector<std::pair<Ticket, ModelDone>> waiters;
  {
    std::lock_guard lock(mutex_);
    std::erase(jobs_, job);
    waiters = std::exchange(job->waiters, {});
  }
  for (const auto& [ticket, done] : waiters) done(model);
  if (job->file_done) job->file_done(file);
}

Result<Digest> Hasher::executable_hash(const Job& job) {
  AIOSS_TRY(const auto file, fs_.open(job.path, os::OpenMode::kRead));
  return file_hash(*file, true, job);
}

Result<Digest> Hasher::file_hash(os::File& file, bool sha3, const Job& job,
                                 os::SealedCopy* copy) const {
  crypto::Hasher hasher(sha3 ? crypto::HashAlgorithm::kSha3_256 : crypto::HashAlgorithm::kSha256);
  std::vector<std::uint8_t> buffer(kReadBytes);
  for (std::uint64_t offset = 0;;) {
    if (stopping_.load()) return gateway_stopping();
    if (job.given_up.load()) return Error{Code::kCancelled, "nobody waits for this hash any more"};
    AIOSS_TRY(const std::size_t got, file.read_at(offset, buffer));
    if (got == 0) return hasher.finish();
    const ByteView bytes(buffer.data(), got);
    hasher.update(bytes);
    if (copy != nullptr) {
      AIOSS_CHECK(copy->append(bytes));
      job.model->copied_bytes += got;
    }
    offset += got;
  }
}

Result<ModelHash> Hasher::model_hash(const Job& job) {
  OpenModel& model = *job.model;
  ModelHash result{{}, true};
  std::vector<Digest> digests;
  for (std::size_t i = 0; i < model.files.size(); ++i) {
    const os::FileInfo& part = model.parts[i];
    if (const std::optional<Digest> known = cache_.find(part)) {
      digests.push_back(*known);
      continue;
    }
    result.cached = false;
    AIOSS_TRY(const Digest digest, part_hash(job, i, nullptr));
    cache_.put(part, digest, clock_.wall_ns());
    digests.push_back(digest);
  }
  result.sha256 = whole_digest(digests);
  result.parts = std::move(digests);
  return result;
}

Result<Digest> Hasher::part_hash(const Job& job, std::size_t part, os::SealedCopy* copy) const {
  os::File& file = *job.model->files[part];
  const os::FileInfo& before = job.model->parts[part];
  AIOSS_TRY(const Digest digest, file_hash(file, false, job, copy));
  AIOSS_TRY(const os::FileInfo after, file.info());
  if (after.size == before.size && after.modified_ns == before.modified_ns) return digest;
  return Error{Code::kModelCorrupt,
               "the model file was changed while it was read; try again when it is whole"};
}

// The copy is what is hashed, so a write that the file's time does not tell changes nothing either.
Result<ModelHash> Hasher::sealed_hash(const Job& job) {
  ModelHash result;
  result.sealed = true;
  std::vector<os::Fd> sealed;
  for (std::size_t i = 0; i < job.model->files.size(); ++i) {
    if (auto fixed = os::verity_descriptor(job.model->files[i]->descriptor())) {
      AIOSS_TRY(const Digest digest, part_hash(job, i, nullptr));
      result.parts.push_back(digest);
      sealed.push_back(std::move(*fixed));
      continue;
    }
    AIOSS_TRY(os::SealedCopy copy, os::SealedCopy::create("model"));
    AIOSS_TRY(const Digest digest, part_hash(job, i, &copy));
    result.parts.push_back(digest);
    AIOSS_TRY(os::Fd fd, copy.seal());
    sealed.push_back(std::move(fd));
  }
  result.sha256 = whole_digest(result.parts);
  job.model->sealed = std::move(sealed);
  return result;
}

}  // namespace aioss::runtime
