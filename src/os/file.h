// Files through one narrow interface, so that tests can inject short writes, EIO, ENOSPC, failed
// syncs and power cuts. The real one is RealFileSystem. Paths are UTF-8. Calls may block; never
// call them on the io thread except at start-up. An object may be used by one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace aioss::os {

// Owns a file descriptor. Movable, closes itself.
class Fd final {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset();

 private:
  int fd_ = -1;
};

struct FileInfo {
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool is_directory = false;
  bool is_regular = false;
};

enum class OpenMode { kRead, kCreateNew, kReadWrite, kReadWriteCreate };

// Of an open descriptor, whoever opened it.
Result<FileInfo> descriptor_info(int descriptor);

class File {
 public:
  virtual ~File() = default;
  // Reads up to into.size() bytes at offset; fewer only at the end of the file.
  virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> into) = 0;
  // One attempt; may write fewer bytes than given. Callers loop, or treat a short write as failure.
  virtual Result<std::size_t> write_at(std::uint64_t offset, ByteView bytes) = 0;
  virtual Status sync_data() = 0;  // fdatasync
  virtual Status sync_all() = 0;   // fsync
  virtual Status truncate(std::uint64_t size) = 0;
  virtual Result<FileInfo> info() = 0;
  // Exclusive lock of this open file (OFD); kConflict if another holds it. Ends with the object.
  virtual Status lock_exclusive() = 0;
  virtual int descriptor() const = 0;  // -1 if it has none (in-memory)
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode,
                                             unsigned permissions = 0640) = 0;
  virtual Result<FileInfo> info(const std::string& path) = 0;
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;  // sorted names
  virtual Status make_directories(const std::string& path, unsigned permissions = 0750) = 0;
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  virtual Status remove(const std::string& path) = 0;
  virtual Status set_permissions(const std::string& path, unsigned permissions) = 0;
  virtual Status sync_directory(const std::string& path) = 0;
  virtual Result<std::uint64_t> bytes_available(const std::string& path) = 0;
  // "ext4", "nfs", "tmpfs", …; "unknown" if the kernel's magic is not in our table.
  virtual Result<std::string> type_name(const std::string& path) = 0;
};

class RealFileSystem final : public FileSystem {
 public:
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
};

// That there is none is no error.
Status remove_if_there(FileSystem& fs, const std::string& path);
// Whole small files; kTooLarge over `limit` bytes.
Result<Bytes> read_file(FileSystem& fs, const std::string& path, std::uint64_t limit);
// Writes path.tmp, syncs, renames over path, syncs the directory. After an error nothing of `bytes`
// is left in path.tmp, as far as the disk still takes writes (os/destroy.h).
Status replace_file(FileSystem& fs, const std::string& path, ByteView bytes,
                    unsigned permissions = 0640);

}  // namespace aioss::os
