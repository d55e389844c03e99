// A FileSystem that goes wrong on command: fail the Nth write with ENOSPC, cut the third one short,
// let every sync fail from the second on. For tests of what must survive a bad disk. Thread-safe;
// files it opened must not outlive it.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>

#include "os/file.h"

namespace aioss::os {

enum class FaultPoint {
  kOpen,  // open() that may create a file counts too
  kRead,
  kWrite,
  kSync,  // sync_data() and sync_all()
  kTruncate,
  kLock,
  kRename,
  kRemove,
  kMakeDirectories,
  kSyncDirectory,
};
inline constexpr int kFaultPointCount = static_cast<int>(FaultPoint::kSyncDirectory) + 1;

struct Fault {
  std::uint64_t call = 1;  // which call of this point from now on: 1 is the next
  int error_number = 0;    // EIO, ENOSPC, …; 0: only `short_bytes` applies
  bool for_ever = false;   // every later call too
  // kWrite: the bytes that do reach the file before the failure (or, without an error number, that
  // the call reports as written).
  std::optional<std::size_t> short_bytes = std::nullopt;
};

class FaultFileSystem final : public FileSystem {
 public:
  explicit FaultFileSystem(FileSystem& real) : real_(real) {}  // outlives this object

  // Replaces an earlier fault at the same point.
  void arm(FaultPoint point, Fault fault);
  void disarm();  // all; counts stay
  std::uint64_t calls(FaultPoint point) const;
  // What bytes_available() answers from now on; nothing: the truth.
  void set_bytes_available(std::optional<std::uint64_t> bytes);
  // What type_name() answers from now on; nothing: the truth.
  void set_type_name(std::optional<std::string> name);

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode,
                                     unsigned permissions = 0640) override;
  Result<FileInfo> info(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Status make_directories(const std::string& path, unsigned permissions = 0750) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status set_permissions(const std::string& path, unsigned permissions) override;
  Status sync_directory(const std::string& path) override;
  Result<std::uint64_t> bytes_available(const std::string& path) override;
  Result<std::string> type_name(const std::string& path) override;

 private:
  class FaultFile;
  struct Point {
    std::uint64_t calls = 0;
    std::optional<Fault> fault;  // its `call` counts down to 0
  };
  // Counts a call; the fault if this one is to fail.
  std::optional<Fault> enter(FaultPoint point);
  Status check(FaultPoint point, std::string_view what);

  FileSystem& real_;
  mutable std::mutex mutex_;
  std::array<Point, kFaultPointCount> points_;    // guarded by mutex_
  std::optional<std::uint64_t> bytes_available_;  // guarded by mutex_
  std::optional<std::string> type_name_;          // guarded by mutex_
};

}  // namespace aioss::os
