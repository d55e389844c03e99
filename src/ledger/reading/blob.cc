#include "ledger/reading/blob.h"

#include "base/assert.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "ledger/format/subject.h"

namespace aioss::ledger {

std::string blob_folder(const std::string& directory, std::string_view subject_id) {
  ASSERT(is_subject_id(subject_id));  // it becomes part of a path
  return directory + '/' + std::string(kBlobFolder) + '/' + std::string(subject_id);
}

std::string blob_path(const std::string& directory, const BlobName& blob) {
  return blob_folder(directory, blob.subject) + '/' + codec::to_hex(blob.hash);
}

Result<bool> blob_is_whole(os::FileSystem& fs, const std::string& directory, const BlobName& blob) {
  const auto file = fs.open(blob_path(directory, blob), os::OpenMode::kRead);
  if (!file && file.error().code == Code::kNotFound) return false;
  if (!file) return file.error();
  AIOSS_TRY(const os::FileInfo about, (*file)->info());
  if (about.size != blob.bytes || blob.bytes > kBlobBytesMax) return false;
  AIOSS_TRY(const Digest hash, crypto::hash_file(crypto::HashAlgorithm::kSha3_256, **file));
  return hash == blob.hash;
}

}  // namespace aioss::ledger
