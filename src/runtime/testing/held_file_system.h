// A real disk whose syncs can be held back, so that a test sees what happens before a record is
// durable, or fail, so that the ledger shuts. Thread-safe.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "os/file.h"

namespace aioss::runtime::testing {

class HeldFileSystem final : public os::FileSystem {
 public:
  void hold();     // from now on syncs wait
  void release();  // and go on
  void fail();     // from now on, those that wait too, syncs fail
  // Waits until a sync is held; false if none came in ten seconds.
  bool wait_until_held();

  Result<std::unique_ptr<os::File>> open(const std::string& path, os::OpenMode mode,
                                         unsigned permissions = 0640) override;
  Result<os::FileInfo> info(const std::string& path) override { return real_.info(path); }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    return real_.list(directory);
  }
  Status make_directories(const std::string& path, unsigned permissions = 0750) override {
    return real_.make_directories(path, permissions);
  }
  Status rename(const std::string& from, const std::string& to) override {
    return real_.rename(from, to);
  }
  Status remove(const std::string& path) override { return real_.remove(path); }
  Status set_permissions(const std::string& path, unsigned permissions) override {
    return real_.set_permissions(path, permissions);
  }
  Status sync_directory(const std::string& path) override { return real_.sync_directory(path); }
  Result<std::uint64_t> bytes_available(const std::string& path) override {
    return real_.bytes_available(path);
  }
  Result<std::string> type_name(const std::string& path) override { return real_.type_name(path); }

  Status before_sync();  // of a file

 private:
  os::RealFileSystem real_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false, failing_ = false;  // guarded by mutex_
  int waiting_ = 0;                      // guarded by mutex_
};

}  // namespace aioss::runtime::testing
