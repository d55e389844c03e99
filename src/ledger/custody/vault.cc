#include "ledger/custody/vault.h"

#include <algorithm>
#include <utility>

namespace aioss::ledger {
namespace {

constexpr int kReadAttemptsMax = 3;  // by readers, while somebody changes the master

Error unavailable(const Error& why) {
  return {Code::kLedgerUnavailable, "the ledger's vault cannot be written: " + why.message};
}

}  // namespace

Vault::Vault(os::FileSystem& fs, crypto::Random& random, VaultOptions options, VaultContent content)
    : fs_(fs),
      random_(random),
      options_(std::move(options)),
      master_(content.master),
      entries_(std::move(content.subjects)) {}

Result<std::unique_ptr<Vault>> Vault::open(os::FileSystem& fs, crypto::Random& random,
                                           const VaultOptions& options) {
  AIOSS_TRY(VaultContent content, open_vault_files(fs, random, options));
  return std::unique_ptr<Vault>(new Vault(fs, random, options, std::move(content)));
}

SubjectPtr Vault::find(const SubjectName& name) const {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : found->second.subject;
}

SubjectPtr Vault::find_id(std::string_view id) const {
  std::lock_guard lock(mutex_);
  for (const auto& [name, entry] : entries_) {
    if (entry.subject->id() == id) return entry.subject;
  }
  return nullptr;
}

std::vector<SubjectPtr> Vault::subjects() const {
  std::lock_guard lock(mutex_);
  std::vector<SubjectPtr> all;
  for (const auto& [name, entry] : entries_) all.push_back(entry.subject);
  return all;
}

Result<SubjectPtr> Vault::obtain(const SubjectName& name) {
  if (SubjectPtr known = find(name)) return known;
  std::lock_guard changing(change_mutex_);
  if (SubjectPtr known = find(name)) return known;
  if (failed_) return *failed_;
  if (std::max(name.tenant.size(), name.user.size()) > kSubjectNameBytesMax) {
    return Error{Code::kInvalidArgument, "the name of a tenant or user is longer than " +
                                             std::to_string(kSubjectNameBytesMax) + " bytes"};
  }
  if (entries_.size() >= options_.subjects_max) {
    return Error{Code::kLedgerUnavailable, "the ledger's vault is full: it holds the secrets of " +
                                               std::to_string(entries_.size()) +
                                               " users; erase those who are gone"};
  }
  auto subject = std::make_shared<const Subject>(name, crypto::SecretKey::generate(random_));
  WrappedSubjects entries = entries_;
  entries.emplace(name, wrap(subject, master_, options_.ledger_id, random_));
  if (const Status written = write_subjects(fs_, options_, entries, master_); !written) {
    return unavailable(written.error());
  }
  std::lock_guard lock(mutex_);
  entries_.swap(entries);  // the old ones go when nobody waits for them any more
  return SubjectPtr(subject);
}

Status Vault::erase(const SubjectPtr& subject) {
  std::lock_guard changing(change_mutex_);
  if (failed_) return *failed_;
  WrappedSubjects left;
  const auto master = crypto::SecretKey::generate(random_);
  for (const auto& [name, entry] : entries_) {
    if (entry.subject == subject) continue;
    left.emplace(name, wrap(entry.subject, master, options_.ledger_id, random_));
  }
  if (left.size() == entries_.size()) {
    return Error{Code::kNotFound, "the vault holds no such subject"};
  }
  const Status saved = options_.master.save(fs_, vault_path(options_, kNextMasterFile), master);
  if (!saved) return unavailable(saved.error());
  Status changed = write_subjects(fs_, options_, left, master);
  if (changed) {
    std::lock_guard lock(mutex_);
    entries_.swap(left);
    master_ = master;
    subject->erased_.store(true);
  }
  if (changed) changed = settle_master(fs_, options_, kNextMasterFile);
  if (changed) return ok();
  failed_ = Error{Code::kLedgerUnavailable, "an erasure could not be finished (" +
                                                changed.error().message +
                                                "); see to the disk, then restart aioss"};
  return *failed_;
}

Result<std::vector<SubjectPtr>> read_vault(os::FileSystem& fs, const VaultOptions& options) {
  auto content = read_vault_files(fs, options);
  for (int attempt = 1; !content && attempt < kReadAttemptsMax; ++attempt) {
    if (content.error().code != Code::kCorrupt) break;
    content = read_vault_files(fs, options);
  }
  if (!content) return std::move(content).error();
  std::vector<SubjectPtr> all;
  for (const auto& [name, entry] : content->subjects) all.push_back(entry.subject);
  return all;
}

}  // namespace aioss::ledger
