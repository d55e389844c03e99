// The vault: the secrets of every subject, wrapped by one master key. What is here opens
// commitments and sealed texts; what is destroyed here is erased everywhere. Its files:
// ledger/custody/vault_files.h.
//
// A subject is durable before obtain() gives it out. An erasure takes a new master, wraps all the
// others with it and destroys the old one: the old file of subjects, wherever a disk still has it,
// is then unreadable. A crash at any moment leaves the vault of before or of after. Only the holder
// of the ledger's lock may open one.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "crypto/random.h"
#include "crypto/secret_key.h"
#include "ledger/custody/vault_files.h"
#include "ledger/format/subject.h"
#include "os/file.h"

namespace aioss::ledger {

// Thread-safe. obtain() and erase() block on the disk, the rest does not.
class Vault final {
 public:
  // Makes an empty one where there was never one. Finishes what a crash interrupted. kCorrupt if
  // what is there does not fit together. The references outlive the vault.
  static Result<std::unique_ptr<Vault>> open(os::FileSystem& fs, crypto::Random& random,
                                             const VaultOptions& options);

  // Null if there is no such subject (any more).
  SubjectPtr find(const SubjectName& name) const;
  SubjectPtr find_id(std::string_view id) const;
  std::vector<SubjectPtr> subjects() const;  // by name

  // The one there is, or a new one, which is on the disk when this returns. kLedgerUnavailable if
  // it cannot be written, if an erasure failed half-way, or if there are subjects_max.
  Result<SubjectPtr> obtain(const SubjectName& name);
  // After an error the vault takes no more changes: what is on the disk is then the next opening's
  // to judge.
  Status erase(const SubjectPtr& subject);

 private:
  Vault(os::FileSystem& fs, crypto::Random& random, VaultOptions options, VaultContent content);

  os::FileSystem& fs_;
  crypto::Random& random_;
  const VaultOptions options_;
  // Held while the disk is written. Reading entries_ needs one of the mutexes, changing it both.
  std::mutex change_mutex_;
  crypto::SecretKey master_;     // guarded by change_mutex_
  std::optional<Error> failed_;  // guarded by change_mutex_
  mutable std::mutex mutex_;     // held for moments only: the io thread takes it
  WrappedSubjects entries_;
};

// What the vault in `options.directory` holds, for readers without the ledger's lock; changes
// nothing. kNotFound if there is none.
Result<std::vector<SubjectPtr>> read_vault(os::FileSystem& fs, const VaultOptions& options);

}  // namespace aioss::ledger
