#include "ledger/custody/vault_files.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "codec/cbor.h"
#include "crypto/hash.h"
#include "ledger/custody/places.h"
#include "ledger/format/bytes_io.h"
#include "os/destroy.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kSubjectsFile = "subjects";
constexpr std::string_view kLostFile = "lost";

constexpr std::string_view kVaultLabel = "aioss/vault/v1\n";
constexpr std::string_view kMasterLabel = "aioss/master/v1\n";
constexpr std::size_t kMasterIdBytes = 16;
constexpr std::size_t kLengthBytes = 4;  // of a tenant's name, in a wrapped subject

namespace entry_key {
constexpr std::uint64_t kVersion = 0, kMasterId = 1, kSubjects = 2;
}  // namespace entry_key
constexpr std::uint64_t kVersion = 1;

Error broken(std::string_view what) {
  return {Code::kCorrupt, "the ledger's vault is damaged: " + std::string(what) +
                              "; restore the folder vault/ whole, from one backup"};
}

std::string folder_of(const VaultOptions& options) {
  return options.directory + '/' + std::string(kVaultFolder);
}

Bytes master_id(const crypto::SecretKey& master) {
  const Digest digest = crypto::sha3_256({as_bytes(kMasterLabel), master.view()});
  return Bytes(digest.begin(), digest.begin() + kMasterIdBytes);
}

Bytes associated_data(const LedgerId& ledger_id, std::string_view subject_id) {
  Bytes out;
  for (const ByteView part : {as_bytes(kVaultLabel), ByteView(ledger_id), as_bytes(subject_id)}) {
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

Bytes plain(const Subject& subject) {
  const SubjectName& name = subject.name();
  std::array<std::uint8_t, kLengthBytes> length{};
  store_big(static_cast<std::uint32_t>(name.tenant.size()), length, 0);
  Bytes out;
  out.reserve(crypto::SecretKey::kBytes + kLengthBytes + name.tenant.size() + name.user.size());
  for (const ByteView part :
       {subject.key().view(), ByteView(length), as_bytes(name.tenant), as_bytes(name.user)}) {
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

std::optional<std::pair<SubjectName, crypto::SecretKey>> parse_plain(ByteView bytes) {
  constexpr std::size_t kHead = crypto::SecretKey::kBytes + kLengthBytes;
  if (bytes.size() < kHead) return std::nullopt;
  const crypto::SecretKey k(bytes.first(crypto::SecretKey::kBytes));
  std::size_t tenant_bytes = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    tenant_bytes = tenant_bytes << 8 | bytes[crypto::SecretKey::kBytes + i];
  }
  const std::string_view names = as_text(bytes.subspan(kHead));
  if (tenant_bytes > names.size()) return std::nullopt;
  SubjectName name{std::string(names.substr(0, tenant_bytes)),
                   std::string(names.substr(tenant_bytes))};
  if (std::max(name.tenant.size(), name.user.size()) > kSubjectNameBytesMax) return std::nullopt;
  return std::pair(std::move(name), k);
}

Result<WrappedSubject> unwrap(const codec::Value& value, const crypto::SecretKey& master,
                              const LedgerId& ledger_id) {
  const codec::Array* const parts = value.if_array();
  const bool shaped = parts != nullptr && parts->size() == 3 && (*parts)[0].if_text() != nullptr &&
                      (*parts)[1].if_bytes() != nullptr && (*parts)[2].if_bytes() != nullptr &&
                      (*parts)[1].if_bytes()->size() == crypto::kGcmNonceBytes;
  if (!shaped) return broken("an entry is malformed");
  const std::string& id = *(*parts)[0].if_text();
  WrappedSubject out;
  const Bytes& nonce = *(*parts)[1].if_bytes();
  std::copy(nonce.begin(), nonce.end(), out.nonce.begin());
  out.wrapped = *(*parts)[2].if_bytes();
  auto opened = crypto::gcm_open(master, out.nonce, out.wrapped, associated_data(ledger_id, id));
  if (!opened) return broken("an entry does not open, or is of another ledger");
  const crypto::Secret bytes(std::move(*opened));
  auto parsed = parse_plain(bytes.view());
  if (!parsed) return broken("an entry is malformed");
  out.subject = std::make_shared<const Subject>(std::move(parsed->first), parsed->second);
  if (out.subject->id() != id) return broken("an entry has an id that is not its own");
  return out;
}

struct SubjectsFile {
  Bytes master_id;
  codec::Array entries;
};

Result<SubjectsFile> read_subjects(os::FileSystem& fs, const VaultOptions& options) {
  auto bytes = os::read_file(fs, vault_path(options, kSubjectsFile), kVaultBytesMax);
  if (!bytes) return std::move(bytes).error();
  const auto map = codec::decode_map(*bytes);
  if (!map) return broken("the list of subjects cannot be read");
  const auto version = map->get_uint(entry_key::kVersion, "version");
  auto id = map->get_bytes(entry_key::kMasterId, "master id");
  const auto entries = map->get_array(entry_key::kSubjects, "subjects");
  if (version && *version != kVersion) {
    return Error{Code::kUnsupported,
                 "the ledger's vault was written by a later version of aioss; start that version"};
  }
  if (!version || !id || !entries) return broken("the list of subjects is malformed");
  return SubjectsFile{std::move(*id), **entries};
}

struct FoundMaster {
  LoadedMaster loaded;
  std::string_view file;
};

// The key of this id; of any, if `wanted_id` is null. During a change there are two files. A crash
// may have left the other one half overwritten: what it says is of no interest then. Or both hold
// the key, and what was changed is how it is protected: then the file counts that is protected as
// the ledger's other key is, so that one passphrase opens both.
Result<std::optional<FoundMaster>> search_master(os::FileSystem& fs, const VaultOptions& options,
                                                 const Bytes* wanted_id) {
  std::optional<FoundMaster> found;
  std::optional<Error> problem;
  for (const std::string_view file : {kMasterFile, kNextMasterFile}) {
    auto loaded = options.master.load(fs, vault_path(options, file));
    if (!loaded) {
      if (loaded.error().code != Code::kNotFound && !problem) problem = std::move(loaded).error();
      continue;
    }
    if (wanted_id != nullptr && master_id(loaded->key) != *wanted_id) continue;
    const bool fits_better = found && !found->loaded.as_saved && loaded->as_saved;
    if (!found || fits_better) found = FoundMaster{*loaded, file};
  }
  if (!found && problem) return std::move(*problem).with_context("the vault's master key");
  return found;
}

// The key that the subjects are wrapped with.
Status find_master(os::FileSystem& fs, const VaultOptions& options, const Bytes& wanted_id,
                   VaultContent& out) {
  AIOSS_TRY(const auto found, search_master(fs, options, &wanted_id));
  if (!found) {
    return broken("its master key is missing, or is not the one that its subjects were kept with");
  }
  out.master = found->loaded.key;
  out.master_file = found->file;
  return ok();
}

Result<VaultContent> make_vault(os::FileSystem& fs, crypto::Random& random,
                                const VaultOptions& options) {
  if (options.must_exist && !fs.info(vault_path(options, kLostFile))) {
    return Error{Code::kCorrupt,
                 "the ledger's vault is missing, but its records name subjects: restore the folder "
                 "vault/ from a backup; if it is lost for good, make an empty file vault/lost, and "
                 "nothing that it held will ever be opened"};
  }
  VaultContent content;
  // Of an opening that did not come to its end.
  AIOSS_TRY(const auto there, search_master(fs, options, nullptr));
  content.master = there ? there->loaded.key : crypto::SecretKey::generate(random);
  content.master_file = there ? there->file : kMasterFile;
  if (!there) {
    AIOSS_CHECK(options.master.save(fs, vault_path(options, kMasterFile), content.master));
  }
  // One that was there may have its name in the page cache only.
  AIOSS_CHECK(fs.sync_directory(folder_of(options)));
  AIOSS_CHECK(write_subjects(fs, options, {}, content.master));
  AIOSS_CHECK(os::destroy_file(fs, vault_path(options, kLostFile)));
  AIOSS_CHECK(fs.sync_directory(folder_of(options)));
  AIOSS_CHECK(fs.sync_directory(options.directory));
  return content;
}

// Files that had not got their names when a crash came.
Status remove_stale(os::FileSystem& fs, const VaultOptions& options) {
  AIOSS_TRY(const auto names, fs.list(folder_of(options)));
  for (const std::string& name : names) {
    if (name.ends_with(kTemporarySuffix))
      AIOSS_CHECK(os::destroy_file(fs, vault_path(options, name)));
  }
  return ok();
}

}  // namespace

MasterKeyFile plain_master_key_file() {
  MasterKeyFile file;
  file.load = [](os::FileSystem& fs, const std::string& path) -> Result<LoadedMaster> {
    AIOSS_TRY(Bytes bytes, os::read_file(fs, path, crypto::SecretKey::kBytes));
    const crypto::Secret secret(std::move(bytes));
    if (secret.view().size() != crypto::SecretKey::kBytes) {
      return Error{Code::kCorrupt, "the file is not a key of 32 bytes"};
    }
    return LoadedMaster{crypto::SecretKey(secret.view())};
  };
  file.save = [](os::FileSystem& fs, const std::string& path, const crypto::SecretKey& master) {
    return os::replace_file(fs, path, master.view(), kFilePermissions);
  };
  return file;
}

std::string vault_path(const VaultOptions& options, std::string_view file) {
  return folder_of(options) + '/' + std::string(file);
}

WrappedSubject wrap(const SubjectPtr& subject, const crypto::SecretKey& master,
                    const LedgerId& ledger_id, crypto::Random& random) {
  WrappedSubject out;
  out.subject = subject;
  out.nonce = crypto::gcm_nonce(random);
  const crypto::Secret bytes(plain(*subject));
  out.wrapped =
      crypto::gcm_seal(master, out.nonce, bytes.view(), associated_data(ledger_id, subject->id()));
  return out;
}

Result<VaultContent> read_vault_files(os::FileSystem& fs, const VaultOptions& options) {
  AIOSS_TRY(const SubjectsFile file, read_subjects(fs, options));
  VaultContent content;
  AIOSS_CHECK(find_master(fs, options, file.master_id, content));
  for (const codec::Value& value : file.entries) {
    AIOSS_TRY(WrappedSubject entry, unwrap(value, content.master, options.ledger_id));
    SubjectName name = entry.subject->name();
    if (!content.subjects.emplace(std::move(name), std::move(entry)).second) {
      return broken("a subject is in it twice");
    }
  }
  return content;
}

Result<VaultContent> open_vault_files(os::FileSystem& fs, crypto::Random& random,
                                      const VaultOptions& options) {
  AIOSS_CHECK(fs.make_directories(folder_of(options), kFolderPermissions));
  AIOSS_CHECK(remove_stale(fs, options));
  auto content = read_vault_files(fs, options);
  if (!content && content.error().code == Code::kNotFound) {
    content = make_vault(fs, random, options);
  }
  if (!content) return content;
  AIOSS_CHECK(settle_master(fs, options, content->master_file));
  content->master_file = kMasterFile;
  return content;
}

Status write_subjects(os::FileSystem& fs, const VaultOptions& options,
                      const WrappedSubjects& subjects, const crypto::SecretKey& master) {
  codec::Array entries;
  entries.reserve(subjects.size());
  for (const auto& [name, entry] : subjects) {
    entries.push_back(codec::Value::array({codec::Value::text(entry.subject->id()),
                                           codec::Value::bytes(entry.nonce),
                                           codec::Value::bytes(entry.wrapped)}));
  }
  codec::Map map;
  map.set(entry_key::kVersion, codec::Value::uint(kVersion))
      .set(entry_key::kMasterId, codec::Value::bytes(master_id(master)))
      .set(entry_key::kSubjects, codec::Value::array(std::move(entries)));
  return os::replace_file(fs, vault_path(options, kSubjectsFile), codec::encode(std::move(map)),
                          kFilePermissions);
}

Status settle_master(os::FileSystem& fs, const VaultOptions& options, std::string_view found) {
  const std::string folder = folder_of(options);
  const std::string current = vault_path(options, kMasterFile);
  const std::string next = vault_path(options, kNextMasterFile);
  // A process that was killed leaves names that only the page cache holds. The old master must not
  // go while a power cut could still bring back the subjects that need it.
  AIOSS_CHECK(fs.sync_directory(folder));
  if (found == kMasterFile) {
    AIOSS_TRY(const bool was_there, os::destroy_file(fs, next));
    return was_there ? fs.sync_directory(folder) : ok();
  }
  return os::destroy_and_replace(fs, current, next);
}

}  // namespace aioss::ledger
