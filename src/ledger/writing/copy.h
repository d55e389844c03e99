// Copies the files of a ledger from one folder to another, durably. What is copied is untrusted:
// depth and numbers are bounded, and nothing is followed out of the folder by its name. Blocking;
// one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/file.h"

namespace aioss::ledger {

class LedgerCopy final {
 public:
  // `fs` outlives the object.
  LedgerCopy(os::FileSystem& fs, std::string from, std::string to)
      : fs_(fs), from_(std::move(from)), to_(std::move(to)) {}

  // kConflict unless the destination is absent or empty; kUsage if it lies in the source. Makes it.
  Status make_destination();
  // The segments in order, pruned ones too; files of other names stay behind. The end of the last
  // one is whatever is there: its bytes are made durable in the source before they count.
  Status copy_segments();
  // All the rest but the lock, the checkpoint, the private keys and what tells copies from ledgers.
  Status copy_others();
  Status copy_key(std::string_view name);  // "keys/signing.key"
  Status sync_folders();                   // names of everything that was copied
  std::uint64_t bytes() const { return bytes_; }

 private:
  struct Options {
    unsigned permissions = 0640;
    bool sync_source = false;
  };
  Status copy_file(const std::string& name, Options options);
  Status copy_folder(const std::string& name, unsigned depth);
  Status make_folder(const std::string& name, unsigned permissions);

  os::FileSystem& fs_;
  const std::string from_, to_;
  std::vector<std::string> folders_;  // made in the destination, outer ones first
  std::uint64_t bytes_ = 0;
};

// The private keys of a ledger by their names in its folder, as far as they are there.
inline constexpr std::string_view kSigningKeyName = "keys/signing.key",
                                  kMasterKeyName = "vault/master.key";
// The same while they are being changed.
inline constexpr std::string_view kSigningNextName = "keys/signing.next",
                                  kMasterNextName = "vault/master.next";

}  // namespace aioss::ledger
