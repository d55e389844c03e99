// Custody of what a ledger knows about people: their secrets (the vault), their sealed texts, and
// what may be ordered about them: to open a sealed request, to hold or to erase a person, to drop
// what is past its retention. One for each open ledger, over the same folder. What an order does is
// durable in the ledger, as its record, before its result is given out; an order that a crash
// interrupts is finished at the next opening, or had not begun.
//
// Thread-safe. find() never blocks; everything else may wait for the disk. Orders are carried out
// one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "crypto/random.h"
#include "ledger/custody/blob_store.h"
#include "ledger/custody/prefix_files.h"
#include "ledger/custody/vault.h"
#include "ledger/reading/history.h"
#include "ledger/reading/standing.h"
#include "ledger/writing/ledger.h"
#include "os/file.h"

namespace aioss::ledger {

// Six months, as article 19 of the AI Act has it for logs; longer by setting.
inline constexpr std::uint64_t kRetentionDaysMin = 183;
inline constexpr std::uint64_t kRetentionDaysMax = 36'500;
// Of a ground and of a case's name: they stand in the chain for ever.
inline constexpr std::size_t kOrderTextBytesMax = 1'000;

struct CustodyOptions {
  std::string directory;  // the ledger's
  std::size_t subjects_max = kSubjectsMax;
  std::uint64_t retention_days = kRetentionDaysMin;
  MasterKeyFile master = plain_master_key_file();
};

struct Erased {
  bool erased = false;  // false: the vault knows no such subject, so there was nothing to do
  std::string subject;  // id
  std::uint64_t blobs = 0;
  std::uint64_t record = 0;  // index of REDACT
};

struct Dropped {  // by a retention drop; all 0: nothing was old enough
  std::uint64_t first = 0, after = 0, segments = 0;
  std::uint64_t record = 0;  // index of RETENTION_DROP
};

struct OpenedRequest {  // in clear
  std::string request_id;
  std::uint64_t request_record = 0, access_record = 0;
  std::optional<std::uint64_t> result_record;
  Bytes prompt;  // canonical CBOR, see docs/formats/commitments.md
  std::vector<std::string> outputs;
};

class Custody final {
 public:
  // Finishes what was interrupted. The references outlive the custody.
  static Result<std::unique_ptr<Custody>> open(os::FileSystem& fs, const Clock& clock,
                                               crypto::Random& random, Ledger& ledger,
                                               const CustodyOptions& options);

  // Null: not known yet; obtain() it.
  SubjectPtr find(const SubjectName& name) const { return vault_->find(name); }
  Result<SubjectPtr> obtain(const SubjectName& name) { return vault_->obtain(name); }
  std::vector<SubjectPtr> subjects() const { return vault_->subjects(); }
  Result<std::vector<BlobName>> seal(const Subject& subject, std::string_view request_id,
                                     std::span<const BlobStore::Text> texts) {
    return blobs_.seal(subject, request_id, texts);
  }
  // Sealed as texts are, and erased with them. For a cache: nothing else here reads them.
  PrefixFiles& prefixes() { return prefixes_; }
  std::vector<LegalHold> holds() const;

  // Orders. `actor` is key 4 of their records. `who` is "TENANT/USER" or a subject id; kNotFound
  // for one that the vault does not know. A ground or a case that names the person is refused
  // (kInvalidArgument): it could never be erased.
  //
  // kConflict under legal hold; kForbidden under dual control without the names of those who agreed
  // (cli/dual_control.h gets them). Erasing somebody who is not known is no error: see Erased.
  Result<Erased> erase(std::string_view who, std::string_view ground, const codec::Map& actor,
                       const std::vector<std::string>& approvals = {});
  // Before an erasure is requested: everything that erase() would refuse, but for the approvals.
  // The id of the subject; "" if the vault does not know it.
  Result<std::string> check_erasure(std::string_view who, std::string_view ground) const;
  // Index of its record. `who` may be "*": every subject.
  Result<std::uint64_t> hold(std::string_view who, bool on, std::string_view case_name,
                             const codec::Map& actor);
  // `request` is an id or the index of an INFER_REQUEST. kNotFound if there is none, or if its text
  // was never kept or was erased; the message says which.
  Result<OpenedRequest> open_request(std::string_view request, const codec::Map& actor);
  // Whole segments that were sealed before `before_ns`, oldest first. kForbidden if that is within
  // the retention, kConflict while anybody is under legal hold.
  Result<Dropped> drop(std::int64_t before_ns, std::string_view ground, const codec::Map& actor);

 private:
  struct Intent {  // of an erasure
    std::string subject;
    codec::Map body;  // of REDACT
  };

  Custody(os::FileSystem& fs, const Clock& clock, crypto::Random& random, Ledger& ledger,
          CustodyOptions options);

  // custody.cc
  Result<SubjectPtr> subject_of_order(std::string_view who) const;
  Result<std::uint64_t> append(RecordType type, const codec::Map& body);
  Status sign_order();
  std::string intent_path() const;
  Status write_intent(const Intent& intent);
  Result<std::optional<Intent>> read_intent();
  Status forget_intent();
  Status finish_erasure();
  Result<codec::Map> redact_body(const Subject& subject, std::string_view ground,
                                 const codec::Map& actor,
                                 const std::vector<std::string>& approvals) const;
  // open_request.cc
  Result<RequestRecords> find_request(std::string_view request) const;
  Result<SubjectPtr> subject_of_request(const Record& request) const;
  Result<std::string> open_text(const Subject& subject, const OpenedRequest& opened,
                                const std::string& field, const BlobName& blob) const;
  // retention.cc
  Result<Dropped> choose(std::int64_t before_ns) const;
  Status check_retention(std::int64_t before_ns) const;
  Status prune(std::uint64_t first_index);
  Status prune_all(const Dropped& dropped);
  Status drop_prefixes(std::int64_t before_ns);

  os::FileSystem& fs_;
  const Clock& clock_;
  Ledger& ledger_;
  const CustodyOptions options_;
  std::unique_ptr<Vault> vault_;
  BlobStore blobs_;
  PrefixFiles prefixes_;
  std::mutex orders_mutex_;  // held through an order
  mutable std::mutex mutex_;
  Standing standing_;  // guarded by mutex_
};

}  // namespace aioss::ledger
