#include "os/testing/fault_file_system.h"

#include <algorithm>

namespace aioss::os {

class FaultFileSystem::FaultFile final : public File {
 public:
  FaultFile(FaultFileSystem& owner, std::unique_ptr<File> real)
      : owner_(owner), real_(std::move(real)) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> into) override {
    AIOSS_CHECK(owner_.check(FaultPoint::kRead, "cannot read"));
    return real_->read_at(offset, into);
  }
  Result<std::size_t> write_at(std::uint64_t offset, ByteView bytes) override {
    const std::optional<Fault> fault = owner_.enter(FaultPoint::kWrite);
    if (!fault) return real_->write_at(offset, bytes);
    std::size_t put = 0;
    if (fault->short_bytes) {
      AIOSS_TRY(put,
                real_->write_at(offset, bytes.first(std::min(*fault->short_bytes, bytes.size()))));
    }
    if (fault->error_number == 0) return put;
    return error_from_errno(fault->error_number, "cannot write");
  }
  Status sync_data() override {
    AIOSS_CHECK(owner_.check(FaultPoint::kSync, "cannot sync"));
    return real_->sync_data();
  }
  Status sync_all() override {
    AIOSS_CHECK(owner_.check(FaultPoint::kSync, "cannot sync"));
    return real_->sync_all();
  }
  Status truncate(std::uint64_t size) override {
    AIOSS_CHECK(owner_.check(FaultPoint::kTruncate, "cannot truncate"));
    return real_->truncate(size);
  }
  Result<FileInfo> info() override { return real_->info(); }
  Status lock_exclusive() override {
    AIOSS_CHECK(owner_.check(FaultPoint::kLock, "cannot lock"));
    return real_->lock_exclusive();
  }
  int descriptor() const override { return real_->descriptor(); }

 private:
  FaultFileSystem& owner_;
  std::unique_ptr<File> real_;
};

void FaultFileSystem::arm(FaultPoint point, Fault fault) {
  ASSERT(fault.call > 0);
  std::lock_guard lock(mutex_);
  points_[static_cast<std::size_t>(point)].fault = fault;
}

void FaultFileSystem::disarm() {
  std::lock_guard lock(mutex_);
  for (Point& point : points_) point.fault.reset();
}

std::uint64_t FaultFileSystem::calls(FaultPoint point) const {
  std::lock_guard lock(mutex_);
  return points_[static_cast<std::size_t>(point)].calls;
}

void FaultFileSystem::set_bytes_available(std::optional<std::uint64_t> bytes) {
  std::lock_guard lock(mutex_);
  bytes_available_ = bytes;
}

void FaultFileSystem::set_type_name(std::optional<std::string> name) {
  std::lock_guard lock(mutex_);
  type_name_ = std::move(name);
}

std::optional<Fault> FaultFileSystem::enter(FaultPoint point) {
  std::lock_guard lock(mutex_);
  Point& entry = points_[static_cast<std::size_t>(point)];
  ++entry.calls;
  if (!entry.fault) return std::nullopt;
  if (entry.fault->call > 0) --entry.fault->call;
  if (entry.fault->call > 0) return std::nullopt;
  const std::optional<Fault> fault = entry.fault;
  if (!fault->for_ever) entry.fault.reset();
  return fault;
}

Status FaultFileSystem::check(FaultPoint point, std::string_view what) {
  const std::optional<Fault> fault = enter(point);
  if (!fault || fault->error_number == 0) return ok();
  return error_from_errno(fault->error_number, what);
}

Result<std::unique_ptr<File>> FaultFileSystem::open(const std::string& path, OpenMode mode,
                                                    unsigned permissions) {
  AIOSS_CHECK(check(FaultPoint::kOpen, "cannot open"));
  AIOSS_TRY(auto real, real_.open(path, mode, permissions));
  return std::make_unique<FaultFile>(*this, std::move(real));
}

Result<FileInfo> FaultFileSystem::info(const std::string& path) {
  return real_.info(path);
}

Result<std::vector<std::string>> FaultFileSystem::list(const std::string& directory) {
  return real_.list(directory);
}

Status FaultFileSystem::make_directories(const std::string& path, unsigned permissions) {
  AIOSS_CHECK(check(FaultPoint::kMakeDirectories, "cannot create a directory"));
  return real_.make_directories(path, permissions);
}

Status FaultFileSystem::rename(const std::string& from, const std::string& to) {
  AIOSS_CHECK(check(FaultPoint::kRename, "cannot rename"));
  return real_.rename(from, to);
}

Status FaultFileSystem::remove(const std::string& path) {
  AIOSS_CHECK(check(FaultPoint::kRemove, "cannot remove"));
  return real_.remove(path);
}

Status FaultFileSystem::set_permissions(const std::string& path, unsigned permissions) {
  return real_.set_permissions(path, permissions);
}

Status FaultFileSystem::sync_directory(const std::string& path) {
  AIOSS_CHECK(check(FaultPoint::kSyncDirectory, "cannot sync a directory"));
  return real_.sync_directory(path);
}

Result<std::uint64_t> FaultFileSystem::bytes_available(const std::string& path) {
  {
    std::lock_guard lock(mutex_);
    if (bytes_available_) return *bytes_available_;
  }
  return real_.bytes_available(path);
}

Result<std::string> FaultFileSystem::type_name(const std::string& path) {
  {
    std::lock_guard lock(mutex_);
    if (type_name_) return *type_name_;
  }
  return real_.type_name(path);
}

}  // namespace aioss::os
