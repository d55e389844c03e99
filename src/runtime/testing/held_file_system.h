// A real disk whose syncs can be held back, so that a test sees what happens before a record is
// durable, or fail, so that the ledger shuts; whose reads of one file can be held and are counted;
// and below which any other fault can be ordered. Thread-safe.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "os/testing/fault_file_system.h"

namespace aioss::runtime::testing {

class HeldFileSystem final : public os::FileSystem {
 public:
  void hold();     // from now on syncs wait
  void release();  // and go on
  void fail();     // from now on, those that wait too, syncs fail
  // Waits until a sync is held; false if none came in ten seconds.
  bool wait_until_held();
  // Reads of this file wait from now on, until release().
  void hold_reads(const std::string& path);
  bool wait_until_read_is_held();
  int reads(const std::string& path) const;  // so far, those that wait too
  os::FaultFileSystem& faults() { return faults_; }

  Result<std::unique_ptr<os::File>> open(const std::string& path, os::OpenMode mode,
                                         unsigned permissions = 0640) override;
  Result<os::FileInfo> info(const std::string& path) override { return faults_.info(path); }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    return faults_.list(directory);
  }
  Status make_directories(const std::string& path, unsigned permissions = 0750) override {
    return faults_.make_directories(path, permissions);
  }
  Status rename(const std::string& from, const std::string& to) override {
    return faults_.rename(from, to);
  }
  Status remove(const std::string& path) override { return faults_.remove(path); }
  Status set_permissions(const std::string& path, unsigned permissions) override {
    return faults_.set_permissions(path, permissions);
  }
  Status sync_directory(const std::string& path) override { return faults_.sync_directory(path); }
  Result<std::uint64_t> bytes_available(const std::string& path) override {
    return faults_.bytes_available(path);
  }
  Result<std::string> type_name(const std::string& path) override {
    return faults_.type_name(path);
  }

  Status before_sync();  // of a file
  void before_read(const std::string& path);

 private:
  os::RealFileSystem disk_;
  os::FaultFileSystem faults_{disk_};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false, failing_ = false;  // guarded by mutex_
  int waiting_ = 0;                      // guarded by mutex_
  std::string reads_held_of_;            // guarded by mutex_; "": none
  int reads_waiting_ = 0;                // guarded by mutex_
  std::map<std::string, int> reads_;     // guarded by mutex_
};

}  // namespace aioss::runtime::testing
