// Sealed texts beside the chain: blob/<subject id>/<hex of the blob's SHA3-256> (folders of mode
// 0700). A blob is nonce[12] ‖ AES-256-GCM(seal key, text) with the associated data
// "aioss/blob/v1\n" ‖ ledger_id ‖ request id ‖ 0x00 ‖ field; the key comes from the subject
// (ledger/format/subject.h) and is in no file. Records name a blob by its hash, so it is on the
// disk before the record is. Thread-safe; everything blocks on the disk.
#pragma once

#include <cstdint>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "crypto/random.h"
#include "ledger/format/format.h"
#include "ledger/format/subject.h"
#include "ledger/reading/blob.h"
#include "os/file.h"

namespace aioss::ledger {

class BlobStore final {
 public:
  // The references outlive the store. `directory` is the ledger's.
  BlobStore(os::FileSystem& fs, crypto::Random& random, std::string directory,
            const LedgerId& ledger_id);

  struct Text {
    std::string field;  // "prompt", "output/0", …
    std::string_view text;
  };
  // Seals the texts and makes them durable, all or an error. Of a subject that was erased in the
  // meantime nothing is written: its blobs are what they would be had they been written first.
  Result<std::vector<BlobName>> seal(const Subject& subject, std::string_view request_id,
                                     std::span<const Text> texts);
  // kNotFound if it is gone, kCorrupt if it is not what it was.
  Result<Bytes> open(const Subject& subject, std::string_view request_id, std::string_view field,
                     const BlobName& blob) const;

  Result<std::uint64_t> count(std::string_view subject_id) const;
  // Overwrites and removes all that a subject has here; how many there were. The folder stays.
  Result<std::uint64_t> destroy_all(std::string_view subject_id);
  // One blob; false: there was none. Call sync() of the subject after the last.
  Result<bool> destroy(const BlobName& blob);
  Status sync(std::string_view subject_id);

 private:
  Bytes associated_data(std::string_view request_id, std::string_view field) const;
  Status make_folder(const std::string& subject_id);

  os::FileSystem& fs_;
  crypto::Random& random_;
  const std::string directory_;
  const LedgerId ledger_id_;
  std::mutex mutex_;             // held while blobs are written or destroyed
  std::set<std::string> ready_;  // guarded by mutex_: folders that are known to be durable
};

}  // namespace aioss::ledger
