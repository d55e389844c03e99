#include "os/destroy.h"

#include <algorithm>

#include "base/bytes.h"

namespace aioss::os {
namespace {

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

Status overwrite_file(FileSystem& fs, const std::string& path) {
  constexpr std::size_t kBlockBytes = 64 << 10;
  AIOSS_TRY(const auto file, fs.open(path, OpenMode::kReadWrite));
  AIOSS_TRY(const FileInfo about, file->info());
  const Bytes zeros(static_cast<std::size_t>(std::min<std::uint64_t>(about.size, kBlockBytes)));
  for (std::uint64_t offset = 0; offset < about.size;) {
    const std::uint64_t left = std::min<std::uint64_t>(about.size - offset, zeros.size());
    const ByteView block = ByteView(zeros).first(static_cast<std::size_t>(left));
    AIOSS_TRY(const std::size_t put, file->write_at(offset, block));
    if (put == 0) return Error{Code::kIo, "cannot overwrite a file: the disk takes no bytes"};
    offset += put;
  }
  return file->sync_all();
}

Result<bool> destroy_file(FileSystem& fs, const std::string& path) {
  const Status overwritten = overwrite_file(fs, path);
  if (!overwritten && overwritten.error().code == Code::kNotFound) return false;
  AIOSS_CHECK(overwritten);
  AIOSS_CHECK(fs.remove(path));
  return true;
}

Status destroy_file_durably(FileSystem& fs, const std::string& path) {
  AIOSS_TRY(const bool was_there, destroy_file(fs, path));
  return was_there ? fs.sync_directory(folder_of(path)) : ok();
}

Status destroy_and_replace(FileSystem& fs, const std::string& path, const std::string& next) {
  if (const Status gone = overwrite_file(fs, path); !gone) {
    if (gone.error().code != Code::kNotFound) return gone;
  }
  AIOSS_CHECK(fs.rename(next, path));
  return fs.sync_directory(folder_of(path));
}

}  // namespace aioss::os
