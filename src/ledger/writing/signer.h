// The ledger's private key: on the disk, in memory, and on its way from one epoch to the next.
//
// keys/signing.key is the key in force. While it changes, the next one lies beside it as
// keys/signing.next, in this order, each step durable before the one after it: signing.next;
// KEY_ROTATE; a checkpoint by the new key; signing.key is overwritten; signing.next takes its name.
// Wherever that ends early, the ledger's records say at the next start which of the two is in
// force: that one stays, the other one is destroyed. So the old key is there until nothing needs it
// any more, and no longer.
//
// Another protection of the keys goes the same way, and takes the vault's key along, each step
// durable before the next: vault/master.next; signing.next; signing.key; vault/master.key. While
// the signing key changes, the vault's key lies there in both ways, so that one passphrase opens
// both at any time; what is left over at the end the vault settles (custody/vault_files.h).
//
// Belongs to whoever holds the ledger's lock; one thread at a time.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "crypto/protected_key.h"
#include "crypto/random.h"
#include "ledger/format/checkpoint.h"
#include "ledger/format/epochs.h"
#include "os/file.h"

namespace aioss::ledger {

inline constexpr std::string_view kKeyFolder = "keys";
// What key files are bound to, also signing.next, whose name changes.
inline constexpr std::string_view kSigningKeyLabel = "keys/signing.key";
inline constexpr std::string_view kMasterKeyLabel = "vault/master.key";
std::string signing_key_path(const std::string& directory);   // <ledger>/keys/signing.key
std::string signing_next_path(const std::string& directory);  // <ledger>/keys/signing.next

class Signer final {
 public:
  // Reads what is there. An error if neither file holds a key that can be read; the one of
  // signing.key then. The references outlive the signer.
  static Result<std::unique_ptr<Signer>> load(os::FileSystem& fs, crypto::Random& random,
                                              std::string directory,
                                              const crypto::AskPassphrase& ask);

  // The keys that the ledger may have in force: one, or two after a rotation that was cut short.
  std::vector<crypto::PublicKey> candidates() const;
  // Takes the candidate that is in force, as the records say.
  void choose(const crypto::PublicKey& in_force);
  // Brings the files in line with the choice. Everything that `checkpoint` covers is durable; it is
  // signed first if the next key takes the place of an old one.
  Status settle(const Checkpoint& checkpoint);

  const crypto::PublicKey& public_key() const { return current_->public_key(); }
  // Signs, and replaces <ledger>/checkpoint; the signed note.
  Result<std::string> write(const Checkpoint& checkpoint);
  const crypto::KeyGuard& guard() const { return guard_; }

  // A rotation, step by step. An error of the first two leaves everything as it was.
  Status stage_next();
  Result<Rotation> sign_rotation(const LedgerId& ledger_id, std::uint64_t index,
                                 const Digest& root_before) const;
  void drop_next();  // best effort: the next start does it again
  // The record is durable and `checkpoint` covers it. The new key signs from here on.
  Result<std::string> adopt_next(const Checkpoint& checkpoint);  // the signed note

  // Writes the key, and the vault's, again in another way. Cut short, the next start ends it or
  // takes it back. kConflict while an earlier change of the vault's key is not settled.
  Status protect(crypto::KeyGuard guard);

 private:
  Signer(os::FileSystem& fs, crypto::Random& random, std::string directory)
      : fs_(fs), random_(random), directory_(std::move(directory)) {}
  Status remove_leftovers();
  Status make_room_for_next();
  Status install_next();
  Result<bool> stage_master_key(const crypto::KeyGuard& guard);  // false: there is no vault
  std::string master_key_path() const;
  std::string master_next_path() const;

  os::FileSystem& fs_;
  crypto::Random& random_;
  const std::string directory_;
  std::unique_ptr<crypto::SigningKey> current_;  // null until choose() if signing.key is noise
  std::unique_ptr<crypto::SigningKey> next_;     // in signing.next
  crypto::KeyGuard guard_;                       // of current_
  crypto::KeyGuard next_guard_;                  // of next_
  bool has_next_file_ = false;  // signing.next is there, whether it could be read or not
  bool next_is_chosen_ = false;
};

}  // namespace aioss::ledger
