#include "os/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <limits>

#include "os/destroy.h"

namespace aioss::os {
namespace {

// Errors name the file, not the folder: the message may reach a client (base/error.h). Whoever
// knows the folder and talks to the operator adds it.
Error file_error(int error_number, std::string_view verb, std::string_view path) {
  const std::size_t slash = path.substr(0, path.size() - (path.ends_with('/') ? 1 : 0)).rfind('/');
  if (slash != std::string_view::npos && path.size() > 1) path.remove_prefix(slash + 1);
  std::string what = "cannot " + std::string(verb) + ' ' + std::string(path);
  Error error = error_from_errno(error_number, what);
  if (error_number == EEXIST) error.code = Code::kConflict;
  return error;
}

FileInfo to_info(const struct stat& about) {
  FileInfo out;
  out.size = static_cast<std::uint64_t>(about.st_size);
  out.modified_ns =
      static_cast<std::int64_t>(about.st_mtim.tv_sec) * 1'000'000'000 + about.st_mtim.tv_nsec;
  out.device = about.st_dev;
  out.inode = about.st_ino;
  out.is_directory = S_ISDIR(about.st_mode);
  out.is_regular = S_ISREG(about.st_mode);
  return out;
}

Result<off_t> to_offset(std::uint64_t offset, std::uint64_t length) {
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
  if (offset > kMax || length > kMax - offset) {
    return Error{Code::kInvalidArgument, "a file offset is out of range"};
  }
  return static_cast<off_t>(offset);
}

class RealFile final : public File {
 public:
  RealFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> into) override {
    AIOSS_TRY(off_t at, to_offset(offset, into.size()));
    std::size_t done = 0;
    while (done < into.size()) {
      const ssize_t got = ::pread(fd_.get(), into.data() + done, into.size() - done, at);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return file_error(errno, "read", path_);
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
      at += got;
    }
    return done;
  }

  Result<std::size_t> write_at(std::uint64_t offset, ByteView bytes) override {
    AIOSS_TRY(const off_t at, to_offset(offset, bytes.size()));
    for (;;) {
      const ssize_t put = ::pwrite(fd_.get(), bytes.data(), bytes.size(), at);
      if (put >= 0) return static_cast<std::size_t>(put);
      if (errno != EINTR) return file_error(errno, "write", path_);
    }
  }

  // A sync that failed is never repeated here: the kernel may have thrown the pages away, and a
  // second sync would then report a success that did not happen.
  Status sync_data() override {
    if (::fdatasync(fd_.get()) != 0) return file_error(errno, "sync", path_);
    return ok();
  }
  Status sync_all() override {
    if (::fsync(fd_.get()) != 0) return file_error(errno, "sync", path_);
    return ok();
  }

  Status truncate(std::uint64_t size) override {
    AIOSS_TRY(const off_t at, to_offset(size, 0));
    int failed = 0;
    do {
      failed = ::ftruncate(fd_.get(), at);
    } while (failed != 0 && errno == EINTR);
    if (failed != 0) return file_error(errno, "truncate", path_);
    return ok();
  }

  Result<FileInfo> info() override {
    struct stat about{};
    if (::fstat(fd_.get(), &about) != 0) return file_error(errno, "inspect", path_);
    return to_info(about);
  }

  Status lock_exclusive() override {
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;  // with a length of 0: the whole file, however it grows
    if (::fcntl(fd_.get(), F_OFD_SETLK, &lock) == 0) return ok();
    if (errno == EAGAIN || errno == EACCES) {
      return Error{Code::kConflict, "another process is using it; stop that process first"};
    }
    return file_error(errno, "lock", path_);
  }

  int descriptor() const override { return fd_.get(); }

 private:
  Fd fd_;
  const std::string path_;
};

struct FileSystemName {
  std::uint32_t magic;
  const char* name;
};
// The kernel's numbers; those missing from <linux/magic.h> of Debian 12 are spelled out.
constexpr std::array kFileSystemNames = std::to_array<FileSystemName>({
    {EXT4_SUPER_MAGIC, "ext4"},
    {XFS_SUPER_MAGIC, "xfs"},
    {BTRFS_SUPER_MAGIC, "btrfs"},
    {F2FS_SUPER_MAGIC, "f2fs"},
    {TMPFS_MAGIC, "tmpfs"},
    {RAMFS_MAGIC, "ramfs"},
    {OVERLAYFS_SUPER_MAGIC, "overlay"},
    {NFS_SUPER_MAGIC, "nfs"},
    {SMB_SUPER_MAGIC, "smb"},
    {CIFS_SUPER_MAGIC, "cifs"},
    {SMB2_SUPER_MAGIC, "smb2"},
    {FUSE_SUPER_MAGIC, "fuse"},
    {V9FS_MAGIC, "9p"},
    {CEPH_SUPER_MAGIC, "ceph"},
    {MSDOS_SUPER_MAGIC, "vfat"},
    {EXFAT_SUPER_MAGIC, "exfat"},
    {ISOFS_SUPER_MAGIC, "iso9660"},
    {SQUASHFS_MAGIC, "squashfs"},
    {AFS_SUPER_MAGIC, "afs"},
    {OCFS2_SUPER_MAGIC, "ocfs2"},
    {ECRYPTFS_SUPER_MAGIC, "ecryptfs"},
    {REISERFS_SUPER_MAGIC, "reiserfs"},
    {NILFS_SUPER_MAGIC, "nilfs2"},
    {PROC_SUPER_MAGIC, "proc"},
    {SYSFS_MAGIC, "sysfs"},
    {0x2FC12FC1, "zfs"},
    {0xCA451A4E, "bcachefs"},
    {0x3153464A, "jfs"},
    {0x01161970, "gfs2"},
    {0x0BD00BD0, "lustre"},
    {0x5346544E, "ntfs"},
    {0x7366746E, "ntfs3"},
    {0x47504653, "gpfs"},
    {0xAAD7AAEA, "panfs"},
});

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Status make_one_directory(const std::string& path, unsigned permissions) {
  if (::mkdir(path.c_str(), permissions) == 0) return ok();
  const int failed = errno;
  struct stat about{};
  if (failed == EEXIST && ::stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode)) return ok();
  return file_error(failed, "create the directory", path);
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

void Fd::reset() {
  // Linux closes the descriptor even when close() reports EINTR or EIO: trying again would close
  // somebody else's. Data that must be on the disk was synced before.
  if (valid()) ::close(release());
}

Result<std::unique_ptr<File>> RealFileSystem::open(const std::string& path, OpenMode mode,
                                                   unsigned permissions) {
  int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;  // not to wait for the other end of a named pipe
  if (mode == OpenMode::kRead) flags |= O_RDONLY;
  if (mode == OpenMode::kReadWrite) flags |= O_RDWR;
  if (mode == OpenMode::kReadWriteCreate) flags |= O_RDWR | O_CREAT;
  if (mode == OpenMode::kCreateNew) flags |= O_RDWR | O_CREAT | O_EXCL;
  int descriptor = -1;
  do {
    descriptor = ::open(path.c_str(), flags, permissions);
  } while (descriptor < 0 && errno == EINTR);
  Fd fd(descriptor);
  if (!fd.valid()) {
    return file_error(errno, mode == OpenMode::kCreateNew ? "create" : "open", path);
  }
  const int status = ::fcntl(fd.get(), F_GETFL);
  if (status < 0 || ::fcntl(fd.get(), F_SETFL, status & ~O_NONBLOCK) != 0) {
    return file_error(errno, "open", path);
  }
  return std::make_unique<RealFile>(std::move(fd), path);
}

Result<FileInfo> descriptor_info(int descriptor) {
  struct stat about{};
  if (::fstat(descriptor, &about) != 0) return error_from_errno(errno, "cannot look at the file");
  return to_info(about);
}

Result<FileInfo> RealFileSystem::info(const std::string& path) {
  struct stat about{};
  if (::stat(path.c_str(), &about) != 0) return file_error(errno, "inspect", path);
  return to_info(about);
}

Result<std::vector<std::string>> RealFileSystem::list(const std::string& directory) {
  DIR* const stream = ::opendir(directory.c_str());
  if (stream == nullptr) return file_error(errno, "list", directory);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  const int failed = errno;
  ::closedir(stream);
  if (failed != 0) return file_error(failed, "list", directory);
  std::sort(names.begin(), names.end());
  return names;
}

Status RealFileSystem::make_directories(const std::string& path, unsigned permissions) {
  if (path.empty()) return Error{Code::kInvalidArgument, "the path of a directory is empty"};
  // From the top: each prefix that ends before a slash, then the whole.
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    AIOSS_CHECK(make_one_directory(path.substr(0, at), permissions));
  }
  if (path.back() == '/') return ok();
  return make_one_directory(path, permissions);
}

Status RealFileSystem::rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return file_error(errno, "rename", from);
  return ok();
}

Status RealFileSystem::remove(const std::string& path) {
  if (::remove(path.c_str()) != 0) return file_error(errno, "remove", path);
  return ok();
}

Status RealFileSystem::set_permissions(const std::string& path, unsigned permissions) {
  if (::chmod(path.c_str(), permissions) != 0) {
    return file_error(errno, "set the permissions of", path);
  }
  return ok();
}

Status RealFileSystem::sync_directory(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return file_error(errno, "open", path);
  if (::fsync(fd.get()) != 0) return file_error(errno, "sync", path);
  return ok();
}

Result<std::uint64_t> RealFileSystem::bytes_available(const std::string& path) {
  struct statvfs about{};
  if (::statvfs(path.c_str(), &about) != 0) return file_error(errno, "inspect", path);
  return static_cast<std::uint64_t>(about.f_bavail) * about.f_frsize;
}

Result<std::string> RealFileSystem::type_name(const std::string& path) {
  struct statfs about{};
  if (::statfs(path.c_str(), &about) != 0) return file_error(errno, "inspect", path);
  const auto magic = static_cast<std::uint32_t>(about.f_type);
  for (const FileSystemName& known : kFileSystemNames) {
    if (known.magic == magic) return std::string(known.name);
  }
  return std::string("unknown");
}

Result<Bytes> read_file(FileSystem& fs, const std::string& path, std::uint64_t limit) {
  AIOSS_TRY(const auto file, fs.open(path, OpenMode::kRead));
  // Not by the size it reports: files of /proc report none, and others may grow meanwhile.
  constexpr std::size_t kChunkBytes = 64 << 10;
  Bytes out;
  for (;;) {
    const std::size_t before = out.size();
    const std::uint64_t room = limit - before;
    const std::size_t want = room >= kChunkBytes ? kChunkBytes : static_cast<std::size_t>(room) + 1;
    out.resize(before + want);
    AIOSS_TRY(const std::size_t got, file->read_at(before, std::span(out).subspan(before)));
    out.resize(before + got);
    if (out.size() > limit) {
      return Error{Code::kTooLarge, "the file is larger than " + std::to_string(limit) + " bytes"};
    }
    if (got < want) return out;
  }
}

namespace {

Status write_whole(File& file, ByteView bytes) {
  std::uint64_t offset = 0;
  while (!bytes.empty()) {
    AIOSS_TRY(const std::size_t put, file.write_at(offset, bytes));
    if (put == 0) return Error{Code::kIo, "cannot write the file: the disk takes no more bytes"};
    bytes = bytes.subspan(put);
    offset += put;
  }
  return file.sync_all();
}

}  // namespace

Status remove_if_there(FileSystem& fs, const std::string& path) {
  const Status removed = fs.remove(path);
  return !removed && removed.error().code == Code::kNotFound ? ok() : removed;
}

Status replace_file(FileSystem& fs, const std::string& path, ByteView bytes, unsigned permissions) {
  const std::string temporary = path + ".tmp";
  // One left by a crash: its content and its permissions are not ours to build on.
  AIOSS_CHECK(remove_if_there(fs, temporary));
  const auto file = fs.open(temporary, OpenMode::kCreateNew, permissions);
  Status written = file ? write_whole(**file, bytes) : Status(file.error());
  if (written) written = fs.rename(temporary, path);
  if (!written) {
    // The first failure is the one to report. What is there, and ours, may be half of a key.
    if (file) (void)overwrite_file(fs, temporary);
    (void)fs.remove(temporary);
    return written;
  }
  return fs.sync_directory(parent_of(path));
}

}  // namespace aioss::os
