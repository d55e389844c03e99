#include "plugins/plugin_file.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/log.h"
#include "crypto/hash.h"
#include "os/fixed_content.h"

namespace aioss::plugins {
namespace {

constexpr std::size_t kReadPieceBytes = std::size_t{1} << 20;

// Hashes the whole file and, if there is one, copies it.
Result<Digest> read_through(os::File& file, std::uint64_t bytes, os::SealedCopy* copy) {
  crypto::Hasher hasher(crypto::HashAlgorithm::kSha256);
  std::vector<std::uint8_t> buffer(kReadPieceBytes);
  std::uint64_t offset = 0;
  for (;;) {
    AIOSS_TRY(const std::size_t count, file.read_at(offset, buffer));
    if (count == 0) break;
    offset += count;
    if (offset > bytes) return Error{Code::kConflict, "it grows while it is read; try again"};
    const ByteView piece(buffer.data(), count);
    hasher.update(piece);
    if (copy != nullptr) AIOSS_CHECK(copy->append(piece));
  }
  if (offset != bytes) return Error{Code::kConflict, "it shrank while it was read; try again"};
  return hasher.finish();
}

// Nothing: the system makes no memory that could be executed.
Result<std::optional<PluginFile>> sealed_copy(os::File& file, std::uint64_t bytes) {
  auto copy = os::SealedCopy::create("engine");
  if (!copy && copy.error().code == Code::kUnsupported) return std::optional<PluginFile>();
  if (!copy) return std::move(copy).error();
  PluginFile out;
  out.bytes = bytes;
  out.sealed = true;
  AIOSS_TRY(out.sha256, read_through(file, bytes, &*copy));
  AIOSS_TRY(os::Fd sealed, copy->seal());
  if (!os::can_be_executed(sealed.get())) return std::optional<PluginFile>();
  out.file = std::make_shared<const os::Fd>(std::move(sealed));
  return std::optional<PluginFile>(std::move(out));
}

Result<PluginFile> file_itself(os::File& file, std::uint64_t bytes, const std::string& path) {
  PluginFile out;
  out.bytes = bytes;
  auto verity = os::verity_descriptor(file.descriptor());
  out.sealed = verity.has_value();
  // Between being hashed and being opened.
  if (!out.sealed && os::others_may_write(file.descriptor())) {
    return Error{Code::kForbidden,
                 path + " can be changed by others, and this system executes no memory files"};
  }
  if (!out.sealed) {
    log::warn("this system executes no memory files: an engine is opened from its file",
              {{"file", path}});
  }
  AIOSS_TRY(out.sha256, read_through(file, bytes, nullptr));
  AIOSS_TRY(os::Fd own, verity ? Result<os::Fd>(std::move(*verity))
                               : os::duplicate_descriptor(file.descriptor()));
  out.file = std::make_shared<const os::Fd>(std::move(own));
  return out;
}

}  // namespace

Result<PluginFile> read_plugin(os::FileSystem& fs, const std::string& path) {
  AIOSS_TRY(const auto file, fs.open(path, os::OpenMode::kRead));
  AIOSS_TRY(const os::FileInfo info, file->info());
  if (!info.is_regular) return Error{Code::kUsage, path + " is no file"};
  if (info.size > kPluginBytesMax) {
    return Error{Code::kTooLarge, path + " is larger than any engine (2 GiB)"};
  }
  AIOSS_TRY(auto copy, sealed_copy(*file, info.size));
  if (copy) return std::move(*copy);
  return file_itself(*file, info.size, path);
}

}  // namespace aioss::plugins
