// The files of the vault, <ledger>/vault/ (mode 0700):
//
//   subjects     one canonical CBOR map, replaced whole: 0 version, 1 master id[16], 2 array of
//                [subject id, nonce[12], AES-256-GCM(master, K ‖ u32 len(tenant) ‖ tenant ‖ user)]
//                with the associated data "aioss/vault/v1\n" ‖ ledger_id ‖ subject id
//   master.key   the master key, see MasterKeyFile; master id = H("aioss/master/v1\n" ‖ key)[:16]
//   master.next  only while the master, or how it is protected, changes: of the two, the one that
//                `subjects` names counts; if both hold that one, the file that is as save() writes
//   lost         made by hand by whoever wants to begin anew without the vault that is missing
//
// What is read is checked whole: a master key that does not fit is an error, and never an empty
// vault. Functions; one caller at a time may write.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "crypto/aead.h"
#include "crypto/random.h"
#include "crypto/secret_key.h"
#include "ledger/format/format.h"
#include "ledger/format/subject.h"
#include "os/file.h"

namespace aioss::ledger {

inline constexpr std::string_view kVaultFolder = "vault";
// Users of one machine, with room. Each change writes about 200 bytes a subject.
inline constexpr std::size_t kSubjectsMax = 65'536;
inline constexpr std::uint64_t kVaultBytesMax = std::uint64_t{64} << 20;

struct LoadedMaster {
  crypto::SecretKey key;
  bool as_saved = true;  // protected in the way that `save` has now
};
// How a master key lies in its file. `save` replaces the file whole and durably; `load` gives
// kNotFound if there is none.
struct MasterKeyFile {
  std::function<Result<LoadedMaster>(os::FileSystem&, const std::string& path)> load;
  std::function<Status(os::FileSystem&, const std::string& path, const crypto::SecretKey&)> save;
};
MasterKeyFile plain_master_key_file();  // its 32 bytes, mode 0600

struct VaultOptions {
  std::string directory;  // the ledger's
  LedgerId ledger_id{};
  // The ledger names subjects: a vault that is not there was lost.
  bool must_exist = false;
  std::size_t subjects_max = kSubjectsMax;
  MasterKeyFile master = plain_master_key_file();
};

struct WrappedSubject {
  SubjectPtr subject;
  crypto::GcmNonce nonce{};
  Bytes wrapped;
};
using WrappedSubjects = std::map<SubjectName, WrappedSubject>;

WrappedSubject wrap(const SubjectPtr& subject, const crypto::SecretKey& master,
                    const LedgerId& ledger_id, crypto::Random& random);

struct VaultContent {
  crypto::SecretKey master;
  std::string master_file;  // where it was found: kMasterFile or kNextMasterFile
  WrappedSubjects subjects;
};
inline constexpr std::string_view kMasterFile = "master.key";
inline constexpr std::string_view kNextMasterFile = "master.next";

std::string vault_path(const VaultOptions& options, std::string_view file);

// Changes nothing. kNotFound if there are no subjects and so no vault; kCorrupt if what is there
// does not fit together.
Result<VaultContent> read_vault_files(os::FileSystem& fs, const VaultOptions& options);
// Makes a vault where there was never one, and finishes what a crash interrupted.
Result<VaultContent> open_vault_files(os::FileSystem& fs, crypto::Random& random,
                                      const VaultOptions& options);
// Replaces `subjects`, durably.
Status write_subjects(os::FileSystem& fs, const VaultOptions& options,
                      const WrappedSubjects& subjects, const crypto::SecretKey& master);
// The master key in `found` is the one that counts: it gets the name kMasterFile, and what is left
// of any other is destroyed.
Status settle_master(os::FileSystem& fs, const VaultOptions& options, std::string_view found);

}  // namespace aioss::ledger
