#include "ledger/destroy.h"

#include <algorithm>

#include "base/bytes.h"

namespace aioss::ledger {

Status overwrite_file(os::FileSystem& fs, const std::string& path) {
  constexpr std::size_t kBlockBytes = 64 << 10;
  AIOSS_TRY(const auto file, fs.open(path, os::OpenMode::kReadWrite));
  AIOSS_TRY(const os::FileInfo about, file->info());
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

Result<bool> destroy_file(os::FileSystem& fs, const std::string& path) {
  const Status overwritten = overwrite_file(fs, path);
  if (!overwritten && overwritten.error().code == Code::kNotFound) return false;
  AIOSS_CHECK(overwritten);
  AIOSS_CHECK(fs.remove(path));
  return true;
}

}  // namespace aioss::ledger
