#include "runtime/testing/held_file_system.h"

#include <chrono>
#include <utility>

namespace aioss::runtime::testing {
namespace {

class HeldFile final : public os::File {
 public:
  HeldFile(std::unique_ptr<os::File> real, std::string path, HeldFileSystem& owner)
      : real_(std::move(real)), path_(std::move(path)), owner_(owner) {}
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> into) override {
    owner_.before_read(path_);
    return real_->read_at(offset, into);
  }
  Result<std::size_t> write_at(std::uint64_t offset, ByteView bytes) override {
    return real_->write_at(offset, bytes);
  }
  Status sync_data() override {
    AIOSS_CHECK(owner_.before_sync());
    return real_->sync_data();
  }
  Status sync_all() override {
    AIOSS_CHECK(owner_.before_sync());
    return real_->sync_all();
  }
  Status truncate(std::uint64_t size) override { return real_->truncate(size); }
  Result<os::FileInfo> info() override { return real_->info(); }
  Status lock_exclusive() override { return real_->lock_exclusive(); }
  int descriptor() const override { return real_->descriptor(); }

 private:
  std::unique_ptr<os::File> real_;
  const std::string path_;
  HeldFileSystem& owner_;
};

}  // namespace

void HeldFileSystem::hold() {
  std::lock_guard lock(mutex_);
  held_ = true;
}

void HeldFileSystem::release() {
  std::lock_guard lock(mutex_);
  held_ = false;
  reads_held_of_.clear();
  changed_.notify_all();
}

void HeldFileSystem::hold_reads(const std::string& path) {
  std::lock_guard lock(mutex_);
  reads_held_of_ = path;
}

bool HeldFileSystem::wait_until_read_is_held() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return reads_waiting_ > 0; });
}

int HeldFileSystem::reads(const std::string& path) const {
  std::lock_guard lock(mutex_);
  const auto found = reads_.find(path);
  return found == reads_.end() ? 0 : found->second;
}

void HeldFileSystem::before_read(const std::string& path) {
  std::unique_lock lock(mutex_);
  ++reads_[path];
  if (reads_held_of_ != path) return;
  ++reads_waiting_;
  changed_.notify_all();
  changed_.wait(lock, [&] { return reads_held_of_ != path; });
  --reads_waiting_;
}

void HeldFileSystem::fail() {
  std::lock_guard lock(mutex_);
  failing_ = true;
  held_ = false;
  changed_.notify_all();
}

bool HeldFileSystem::wait_until_held() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return held_ && waiting_ > 0; });
}

Status HeldFileSystem::before_sync() {
  std::unique_lock lock(mutex_);
  ++waiting_;
  changed_.notify_all();
  changed_.wait(lock, [&] { return !held_; });
  --waiting_;
  if (failing_) return Error{Code::kIo, "the test's disk refuses to sync"};
  return ok();
}

Result<std::unique_ptr<os::File>> HeldFileSystem::open(const std::string& path, os::OpenMode mode,
                                                       unsigned permissions) {
  AIOSS_TRY(std::unique_ptr<os::File> real, faults_.open(path, mode, permissions));
  return std::make_unique<HeldFile>(std::move(real), path, *this);
}

}  // namespace aioss::runtime::testing
