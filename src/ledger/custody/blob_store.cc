#include "ledger/custody/blob_store.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/assert.h"
#include "codec/hex.h"
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "ledger/custody/places.h"
#include "os/destroy.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kBlobLabel = "aioss/blob/v1\n";
constexpr std::array<std::uint8_t, 1> kSeparator{0};
static_assert(kBlobBytesMax == kBlobTextBytesMax + crypto::kGcmNonceBytes + crypto::kGcmTagBytes);

std::string root_of(const std::string& directory) {
  return directory + '/' + std::string(kBlobFolder);
}

Status write_new(os::FileSystem& fs, const std::string& path, ByteView bytes) {
  AIOSS_CHECK(os::destroy_file(fs, path));  // of a crash
  AIOSS_TRY(const auto file, fs.open(path, os::OpenMode::kCreateNew, kFilePermissions));
  for (std::uint64_t offset = 0; !bytes.empty();) {
    AIOSS_TRY(const std::size_t put, file->write_at(offset, bytes));
    if (put == 0) return Error{Code::kIo, "cannot write a sealed text: the disk is full"};
    bytes = bytes.subspan(put);
    offset += put;
  }
  return file->sync_all();
}

}  // namespace

BlobStore::BlobStore(os::FileSystem& fs, crypto::Random& random, std::string directory,
                     const LedgerId& ledger_id)
    : fs_(fs), random_(random), directory_(std::move(directory)), ledger_id_(ledger_id) {}

Bytes BlobStore::associated_data(std::string_view request_id, std::string_view field) const {
  Bytes out;
  for (const ByteView part : {as_bytes(kBlobLabel), ByteView(ledger_id_), as_bytes(request_id),
                              ByteView(kSeparator), as_bytes(field)}) {
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

// With mutex_ held.
Status BlobStore::make_folder(const std::string& subject_id) {
  if (ready_.contains(subject_id)) return ok();
  AIOSS_CHECK(fs_.make_directories(blob_folder(directory_, subject_id), kFolderPermissions));
  AIOSS_CHECK(fs_.sync_directory(root_of(directory_)));
  AIOSS_CHECK(fs_.sync_directory(directory_));
  ready_.insert(subject_id);
  return ok();
}

Result<std::vector<BlobName>> BlobStore::seal(const Subject& subject, std::string_view request_id,
                                              std::span<const Text> texts) {
  std::vector<BlobName> names;
  std::vector<Bytes> blobs;
  for (const Text& text : texts) {
    if (text.text.size() > kBlobTextBytesMax) {
      return Error{Code::kTooLarge, "a text is too long to be sealed"};
    }
    const crypto::GcmNonce nonce = crypto::gcm_nonce(random_);
    const Bytes sealed =
        crypto::gcm_seal(subject.seal_key(request_id, text.field), nonce, as_bytes(text.text),
                         associated_data(request_id, text.field));
    Bytes& blob = blobs.emplace_back(nonce.begin(), nonce.end());
    blob.insert(blob.end(), sealed.begin(), sealed.end());
    names.push_back({subject.id(), crypto::sha3_256(blob), blob.size()});
  }
  // An erasure marks the subject first and then waits for this lock before it looks for blobs.
  std::lock_guard lock(mutex_);
  if (subject.erased()) return names;
  AIOSS_CHECK(make_folder(subject.id()));
  for (std::size_t i = 0; i < blobs.size(); ++i) {
    const std::string path = blob_path(directory_, names[i]);
    AIOSS_CHECK(write_new(fs_, path + std::string(kTemporarySuffix), blobs[i]));
    AIOSS_CHECK(fs_.rename(path + std::string(kTemporarySuffix), path));
  }
  AIOSS_CHECK(fs_.sync_directory(blob_folder(directory_, subject.id())));
  return names;
}

Result<Bytes> BlobStore::open(const Subject& subject, std::string_view request_id,
                              std::string_view field, const BlobName& blob) const {
  ASSERT(subject.id() == blob.subject);
  auto bytes = os::read_file(fs_, blob_path(directory_, blob), kBlobBytesMax);
  if (!bytes && bytes.error().code == Code::kNotFound) {
    return Error{Code::kNotFound, "the sealed text is gone"};
  }
  if (!bytes) return std::move(bytes).error();
  if (bytes->size() < crypto::kGcmNonceBytes || crypto::sha3_256(*bytes) != blob.hash) {
    return Error{Code::kCorrupt, "the sealed text is not the one that the ledger names"};
  }
  crypto::GcmNonce nonce{};
  std::copy_n(bytes->begin(), nonce.size(), nonce.begin());
  return crypto::gcm_open(subject.seal_key(request_id, field), nonce,
                          ByteView(*bytes).subspan(nonce.size()),
                          associated_data(request_id, field));
}

Result<std::uint64_t> BlobStore::count(std::string_view subject_id) const {
  const auto names = fs_.list(blob_folder(directory_, subject_id));
  if (!names && names.error().code == Code::kNotFound) return std::uint64_t{0};
  if (!names) return names.error();
  return static_cast<std::uint64_t>(
      std::count_if(names->begin(), names->end(),
                    [](const std::string& name) { return !name.ends_with(kTemporarySuffix); }));
}

Result<std::uint64_t> BlobStore::destroy_all(std::string_view subject_id) {
  const std::string folder = blob_folder(directory_, subject_id);
  std::lock_guard lock(mutex_);
  auto names = fs_.list(folder);
  if (!names && names.error().code == Code::kNotFound) return std::uint64_t{0};
  if (!names) return std::move(names).error();
  std::uint64_t destroyed = 0;
  for (const std::string& name : *names) {
    AIOSS_TRY(const bool was_there, os::destroy_file(fs_, folder + '/' + name));
    if (was_there && !name.ends_with(kTemporarySuffix)) ++destroyed;
  }
  AIOSS_CHECK(fs_.sync_directory(folder));
  return destroyed;
}

Result<bool> BlobStore::destroy(const BlobName& blob) {
  std::lock_guard lock(mutex_);
  return os::destroy_file(fs_, blob_path(directory_, blob));
}

Status BlobStore::sync(std::string_view subject_id) {
  const Status synced = fs_.sync_directory(blob_folder(directory_, subject_id));
  if (!synced && synced.error().code == Code::kNotFound) return ok();
  return synced;
}

}  // namespace aioss::ledger
