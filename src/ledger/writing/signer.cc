#include "ledger/writing/signer.h"

#include <utility>

#include "base/assert.h"
#include "os/destroy.h"

namespace aioss::ledger {

std::string signing_key_path(const std::string& directory) {
  return directory + "/keys/signing.key";
}

std::string signing_next_path(const std::string& directory) {
  return directory + "/keys/signing.next";
}

std::string Signer::master_key_path() const {
  return directory_ + '/' + std::string(kMasterKeyLabel);
}

std::string Signer::master_next_path() const {
  return directory_ + "/vault/master.next";
}

Result<std::unique_ptr<Signer>> Signer::load(os::FileSystem& fs, crypto::Random& random,
                                             std::string directory,
                                             const crypto::AskPassphrase& ask) {
  std::unique_ptr<Signer> signer(new Signer(fs, random, std::move(directory)));
  const std::string current_path = signing_key_path(signer->directory_);
  const std::string next_path = signing_next_path(signer->directory_);
  AIOSS_CHECK(signer->remove_leftovers());
  auto current = crypto::load_signing_key(fs, current_path, kSigningKeyLabel, ask);
  if (current) {
    signer->current_ = std::move(current->key);
    signer->guard_ = std::move(current->guard);
  }
  signer->has_next_file_ = fs.info(next_path).has_value();
  if (signer->has_next_file_) {
    // One that cannot be read is of no use: whether it is needed, the records say.
    auto next = crypto::load_signing_key(fs, next_path, kSigningKeyLabel, ask);
    if (next) {
      signer->next_ = std::move(next->key);
      signer->next_guard_ = std::move(next->guard);
    } else if (!current && next.error().code != Code::kCorrupt) {
      current = std::move(next).error();  // what can be mended: the other file was overwritten
    }
  }
  if (!signer->current_ && !signer->next_) {
    return std::move(current).error().with_context("the ledger's signing key");
  }
  return signer;
}

// A crash while a key was written leaves it under a name that nobody looks for.
Status Signer::remove_leftovers() {
  const std::string folder = directory_ + '/' + std::string(kKeyFolder) + '/';
  for (const std::string_view name : {"signing.key.tmp", "signing.next.tmp"}) {
    AIOSS_CHECK(os::destroy_file_durably(fs_, folder + std::string(name)));
  }
  return ok();
}

std::vector<crypto::PublicKey> Signer::candidates() const {
  std::vector<crypto::PublicKey> keys;
  if (current_) keys.push_back(current_->public_key());
  if (next_) keys.push_back(next_->public_key());
  return keys;
}

void Signer::choose(const crypto::PublicKey& in_force) {
  // The same key in both files: it was to be protected in another way, and the second file says
  // how.
  next_is_chosen_ = next_ != nullptr && next_->public_key() == in_force;
  if (next_is_chosen_) {
    current_ = std::move(next_);
    guard_ = std::move(next_guard_);
  }
  next_.reset();
  ASSERT(current_ != nullptr && current_->public_key() == in_force);
}

Status Signer::settle(const Checkpoint& checkpoint) {
  if (next_is_chosen_) {
    // A process that was killed leaves names that only the page cache holds. The old file must not
    // go while a power cut could still take the name of the new one.
    AIOSS_CHECK(fs_.sync_directory(directory_ + '/' + std::string(kKeyFolder)));
    AIOSS_CHECK(write(checkpoint));
    return install_next();
  }
  if (!has_next_file_) return ok();
  AIOSS_CHECK(os::destroy_file_durably(fs_, signing_next_path(directory_)));
  has_next_file_ = false;
  return ok();
}

Result<std::string> Signer::write(const Checkpoint& checkpoint) {
  AIOSS_TRY(std::string note, sign_checkpoint(checkpoint, *current_));
  AIOSS_CHECK(replace_checkpoint(fs_, directory_, note));
  return note;
}

Status Signer::stage_next() {
  AIOSS_CHECK(make_room_for_next());
  AIOSS_TRY(auto key, crypto::SigningKey::generate(random_));
  next_guard_ = guard_;
  has_next_file_ = true;  // or a part of it
  const Status saved = crypto::save_signing_key(fs_, signing_next_path(directory_),
                                                kSigningKeyLabel, *key, next_guard_, random_);
  if (!saved) {
    drop_next();
    return saved;
  }
  next_ = std::move(key);
  return ok();
}

Result<Rotation> Signer::sign_rotation(const LedgerId& ledger_id, std::uint64_t index,
                                       const Digest& root_before) const {
  ASSERT(next_ != nullptr);
  return ledger::sign_rotation(ledger_id, index, root_before, *current_, *next_);
}

void Signer::drop_next() {
  next_.reset();
  const Status gone = os::destroy_file_durably(fs_, signing_next_path(directory_));
  has_next_file_ = !gone.has_value();
}

Result<std::string> Signer::adopt_next(const Checkpoint& checkpoint) {
  ASSERT(next_ != nullptr);
  current_ = std::move(next_);
  guard_ = std::move(next_guard_);
  next_is_chosen_ = true;
  AIOSS_TRY(std::string note, write(checkpoint));
  AIOSS_CHECK(install_next());
  return note;
}

Status Signer::install_next() {
  AIOSS_CHECK(
      os::destroy_and_replace(fs_, signing_key_path(directory_), signing_next_path(directory_)));
  has_next_file_ = false;
  next_is_chosen_ = false;
  return ok();
}

// After an earlier change that did not come to its end. The file that is chosen may be the only one
// that still holds the key.
Status Signer::make_room_for_next() {
  if (next_is_chosen_) return install_next();
  if (has_next_file_) drop_next();
  if (!has_next_file_) return ok();
  return Error{Code::kIo,
               "keys/signing.next cannot be removed; see to the disk and to who may write"};
}

// The vault's key, if there is a vault, is written like the signing key. Which of two files the
// vault needs, only the vault knows: with both there already, neither may be touched here.
Result<bool> Signer::stage_master_key(const crypto::KeyGuard& guard) {
  const auto unsettled = fs_.info(master_next_path());
  if (unsettled) {
    return Error{Code::kConflict,
                 "vault/master.next is there: an earlier change of the vault's key did not come to "
                 "its end; the next start of aioss ends it, try again after that"};
  }
  if (unsettled.error().code != Code::kNotFound) return Error(unsettled.error());
  auto bytes = os::read_file(fs_, master_key_path(), crypto::kKeyFileBytesMax);
  if (!bytes && bytes.error().code == Code::kNotFound) return false;
  if (!bytes) return std::move(bytes).error();
  const crypto::Secret file(std::move(*bytes));
  AIOSS_TRY(const crypto::Secret key, guard_.open(kMasterKeyLabel, file.view(), nullptr));
  AIOSS_TRY(const crypto::Secret sealed, guard.seal(kMasterKeyLabel, key.view(), random_));
  const Status staged = os::replace_file(fs_, master_next_path(), sealed.view(), 0600);
  if (staged) return true;
  (void)os::destroy_file_durably(fs_, master_next_path());  // if not, the vault does it
  return Error(staged.error());
}

Status Signer::protect(crypto::KeyGuard guard) {
  AIOSS_CHECK(make_room_for_next());
  AIOSS_TRY(const bool has_vault, stage_master_key(guard));
  const Status saved = crypto::save_signing_key(fs_, signing_next_path(directory_),
                                                kSigningKeyLabel, *current_, guard, random_);
  if (!saved) {
    has_next_file_ = true;
    drop_next();
    // As long as signing.next may be there, the vault's key stays there in both ways, too.
    if (has_vault && !has_next_file_) (void)os::destroy_file_durably(fs_, master_next_path());
    return saved;
  }
  guard_ = std::move(guard);
  has_next_file_ = true;
  next_is_chosen_ = true;
  AIOSS_CHECK(install_next());
  return has_vault ? os::destroy_and_replace(fs_, master_key_path(), master_next_path()) : ok();
}

}  // namespace aioss::ledger
