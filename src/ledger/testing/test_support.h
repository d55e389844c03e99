// For the tests of this folder: a disk in memory that can be copied, broken and looked into, a
// clock and a random source that always say the same, and small ledgers made with them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "crypto/counting_random.h"
#include "ledger/reading/verify.h"
#include "ledger/writing/ledger.h"
#include "os/file.h"

namespace aioss::ledger::test {

class FixedClock final : public Clock {
 public:
  std::int64_t wall_ns() const override { return wall; }
  std::int64_t monotonic_ns() const override { return 1'000; }
  std::int64_t wall = 1'750'000'000'000'000'000;
};

using crypto::CountingRandom;

// Files and folders in memory; syncs do nothing, locks are always granted. Thread-safe. Files keep
// their content alive after they are removed, as on a real disk.
class MemoryFileSystem final : public os::FileSystem {
 public:
  using Content = std::shared_ptr<Bytes>;

  MemoryFileSystem() = default;
  std::unique_ptr<MemoryFileSystem> copy() const;
  Bytes& content(const std::string& path);  // aborts if there is no such file
  bool has(const std::string& path) const;
  unsigned permissions(const std::string& path) const;

  Result<std::unique_ptr<os::File>> open(const std::string& path, os::OpenMode mode,
                                         unsigned permissions = 0640) override;
  Result<os::FileInfo> info(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Status make_directories(const std::string& path, unsigned permissions = 0750) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status set_permissions(const std::string& path, unsigned permissions) override;
  Status sync_directory(const std::string&) override { return ok(); }
  Result<std::uint64_t> bytes_available(const std::string&) override { return 1ULL << 40; }
  Result<std::string> type_name(const std::string&) override { return std::string("ext4"); }

 private:
  class MemoryFile;
  struct Node {
    Content content;
    unsigned permissions = 0;
  };
  mutable std::mutex mutex_;
  std::map<std::string, Node> files_;  // guarded by mutex_
};

inline constexpr const char* kDirectory = "ledger";
inline constexpr const char* kOrigin = "example.test/ledger";

OpenOptions open_options(std::uint64_t segment_bytes_max = 256ULL << 20);
std::string segment_path(std::uint64_t first_index);
std::vector<std::string> segment_paths(MemoryFileSystem& fs);

codec::Map request_body();
codec::Map result_body(std::uint64_t request_index);

// Three segments: requests with their results, a last request left open. Closed, the checkpoint
// covers everything; otherwise it is the first one, over two records.
struct SmallLedger {
  std::unique_ptr<MemoryFileSystem> fs;
  std::string verifier_key;
  std::uint64_t records = 0;
};
SmallLedger make_small_ledger(bool close);

VerifyReport verify_ledger(os::FileSystem& fs, const std::string& verifier_key);

struct FrameAt {  // of a good segment file
  std::size_t offset = 0;
  std::size_t bytes = 0;
};
std::vector<FrameAt> frames_of(ByteView segment);
// Leaves of a sealed segment what a retention drop leaves of it, and writes no record that says so.
void prune_by_hand(MemoryFileSystem& fs, std::uint64_t first_index);
// Makes the checksum of the frame at `offset` right again after a change.
void repair_checksum(Bytes& segment, std::size_t offset);

// Whether the environment asks for the long form of the tests (AIOSS_LONG=1).
bool long_form();

}  // namespace aioss::ledger::test
