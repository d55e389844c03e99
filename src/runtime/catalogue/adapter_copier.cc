#include "runtime/catalogue/adapter_copier.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "crypto/hash.h"
#include "ipc/limits.h"
#include "os/fixed_content.h"
#include "os/thread.h"
#include "runtime/calls/stopping.h"

namespace aioss::runtime {
namespace {

constexpr std::size_t kStepBytes = std::size_t{1} << 20;
constexpr auto kPatience = std::chrono::seconds(60);  // only to have a deadline; close() wakes it

// The path stays out of the message: it reaches clients.
Error of_adapter(Code code, const AdapterEntry& entry, const std::string& what) {
  return {code, "the file of adapter '" + entry.name + "' " + what};
}

}  // namespace

AdapterCopier::AdapterCopier(os::FileSystem& fs, std::size_t jobs_max)
    : fs_(fs), jobs_(jobs_max), thread_([this] { run(); }) {}

AdapterCopier::~AdapterCopier() {
  stopping_ = true;
  jobs_.close();
  thread_.join();
}

void AdapterCopier::copy(AdapterEntry entry, std::shared_ptr<os::MemoryFile> into,
                         std::shared_ptr<const AllowList> allowed, GivenUp given_up, Done done) {
  Job job{std::move(entry), std::move(into), std::move(allowed), std::move(given_up), done};
  if (jobs_.try_push(std::move(job)) == BoundedQueue<Job>::Push::kAccepted) return;
  done(Error{Code::kBusy, "too many adapters are being loaded; try again later"});
}

void AdapterCopier::run() {
  os::set_thread_name("adapters");
  while (!jobs_.closed() || jobs_.size() > 0) {
    auto job = jobs_.pop_for(kPatience);
    if (!job) continue;
    Result<Digest> digest = carry_out(*job);
    if (!digest) (void)job->into->resize(0);
    ++progress_;
    job->done(std::move(digest));
  }
}

Status AdapterCopier::goes_on(const Job& job) const {
  if (stopping_) return gateway_stopping();
  if (*job.given_up) return Error{Code::kCancelled, "nobody waits for it any more"};
  return ok();
}

Result<Digest> AdapterCopier::carry_out(const Job& job) {
  const AdapterEntry& entry = job.entry;
  AIOSS_CHECK(goes_on(job));
  if (entry.problem) return *entry.problem;
  auto file = fs_.open(entry.path, os::OpenMode::kRead);
  if (!file) return of_adapter(Code::kNotFound, entry, "cannot be opened; check that it is there");
  AIOSS_TRY(const os::FileInfo info, (*file)->info());
  if (!is_same_file(info, entry.file)) {
    return of_adapter(Code::kModelCorrupt, entry, "was changed or replaced just now; try again");
  }
  if (info.size == 0 || info.size > ipc::kAdapterBytesMax) {
    return of_adapter(Code::kModelCorrupt, entry, "is empty or larger than 16 GiB");
  }
  const int descriptor = (*file)->descriptor();
  if (descriptor >= 0 && os::is_open_for_writing(descriptor).value_or(false)) {
    return of_adapter(Code::kModelCorrupt, entry, "is still being written; try again later");
  }
  AIOSS_TRY(const Digest digest, copy_bytes(**file, job));
  if (job.allowed) AIOSS_CHECK(job.allowed->check({entry.path}, {digest}));
  return digest;
}

Result<Digest> AdapterCopier::copy_bytes(os::File& file, const Job& job) {
  const std::uint64_t size = job.entry.file.size;
  AIOSS_CHECK(job.into->resize(size));
  crypto::Hasher hasher(crypto::HashAlgorithm::kSha256);
  Bytes step(std::min<std::uint64_t>(kStepBytes, size));
  for (std::uint64_t at = 0; at < size;) {
    AIOSS_CHECK(goes_on(job));
    const std::size_t wanted = std::min<std::uint64_t>(step.size(), size - at);
    AIOSS_TRY(const std::size_t got, file.read_at(at, std::span(step).first(wanted)));
    if (got == 0) return of_adapter(Code::kModelCorrupt, job.entry, "became shorter; try again");
    const ByteView bytes = std::span(step).first(got);
    hasher.update(bytes);
    AIOSS_CHECK(job.into->write_at(at, bytes));
    at += got;
    ++progress_;
  }
  return hasher.finish();
}

}  // namespace aioss::runtime
