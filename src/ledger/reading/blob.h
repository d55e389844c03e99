// Sealed texts as records name them and as they lie on the disk: see ledger/custody/blob_store.h,
// which writes and opens them. Here is what a verifier needs, who has no key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "os/file.h"

namespace aioss::ledger {

inline constexpr std::string_view kBlobFolder = "blob";
// Beside it, and no part of the ledger: what a server may compute anew (custody/prefix_files.h).
inline constexpr std::string_view kPrefixFolder = "prefix";
// Of one text: a prompt or an output has at most 32 MiB, and canonical CBOR adds little.
inline constexpr std::size_t kBlobTextBytesMax = std::size_t{40} << 20;
inline constexpr std::size_t kBlobBytesMax = kBlobTextBytesMax + 28;

struct BlobName {  // as records have it; untrusted
  std::string subject;
  Digest hash{};
  std::uint64_t bytes = 0;
};

// The folder of a subject's texts; `subject_id` is one (is_subject_id).
std::string blob_folder(const std::string& directory, std::string_view subject_id);
std::string blob_path(const std::string& directory, const BlobName& blob);
// Whether the blob is there and has its size and hash. For verifiers: needs no key, holds a small
// part of it in memory.
Result<bool> blob_is_whole(os::FileSystem& fs, const std::string& directory, const BlobName& blob);

}  // namespace aioss::ledger
