#include "ledger/writing/backup.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "codec/hex.h"
#include "codec/json.h"
#include "crypto/protected_key.h"
#include "ledger/format/checkpoint.h"
#include "ledger/format/format.h"
#include "ledger/reading/verify.h"
#include "ledger/reading/walk.h"
#include "ledger/writing/copy.h"
#include "ledger/writing/directory.h"
#include "ledger/writing/restored.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kBackupFormat = "aioss-backup/1";
constexpr std::string_view kNoKeys = "none", kUnprotected = "unprotected";
constexpr std::array kKeyNames{kSigningKeyName, kMasterKeyName};
constexpr std::array kNextNames{kSigningNextName, kMasterNextName};
constexpr std::uint64_t kDocumentBytesMax = 4'096;

using Progress = std::function<void(std::uint64_t, std::uint64_t)>;

Error changed_meanwhile() {
  return {Code::kBusy,
          "a private key was changed while the backup was made; remove the copy and "
          "run it again"};
}

bool exists(os::FileSystem& fs, const std::string& path) {
  return fs.info(path).has_value();
}

// The bytes of each key file that is there, to see that none changed meanwhile.
class KeyFiles {
 public:
  static Result<KeyFiles> read(os::FileSystem& fs, const std::string& directory) {
    KeyFiles out;
    for (const std::string_view name : kNextNames) {
      if (exists(fs, directory + '/' + std::string(name))) return changed_meanwhile();
    }
    for (const std::string_view name : kKeyNames) {
      const std::string path = directory + '/' + std::string(name);
      auto bytes = os::read_file(fs, path, crypto::kKeyFileBytesMax);
      if (!bytes && bytes.error().code == Code::kNotFound) continue;
      if (!bytes) return std::move(bytes).error().with_context(std::string(name));
      out.unprotected_ = out.unprotected_ || !crypto::is_protected(*bytes);
      out.files_.emplace_back(name, crypto::Secret(std::move(*bytes)));
    }
    return out;
  }

  bool are_the_same_as(const KeyFiles& other) const {
    const auto same = [](const auto& one, const auto& two) {
      return one.first == two.first &&
             std::equal(one.second.view().begin(), one.second.view().end(),
                        two.second.view().begin(), two.second.view().end());
    };
    return std::equal(files_.begin(), files_.end(), other.files_.begin(), other.files_.end(), same);
  }
  std::vector<std::string_view> names() const {
    std::vector<std::string_view> out;
    for (const auto& file : files_) out.push_back(file.first);
    return out;
  }
  bool is_unprotected() const { return unprotected_; }
  std::string_view description() const {
    if (files_.empty()) return kNoKeys;
    return unprotected_ ? kUnprotected : crypto::name(crypto::Protection::kPassphrase);
  }

 private:
  std::vector<std::pair<std::string_view, crypto::Secret>> files_;
  bool unprotected_ = false;
};

Result<std::string> own_verifier_key(os::FileSystem& fs, const std::string& directory) {
  std::optional<VerifierKey> own;
  const Status read = read_records(fs, directory, 0, [&own](const Record& record) {
    if (record.type != RecordType::kGenesis) return true;
    const auto origin = record.body.get_text(key::genesis::kOrigin, "origin");
    const auto public_key = record.body.get_digest(key::genesis::kPublicKey, "key");
    if (origin && public_key) own = VerifierKey{*origin, *public_key};
    return false;
  });
  if (own) return format_verifier_key(*own);
  if (!read) return Error(read.error());
  return Error{Code::kCorrupt, "the ledger ends before its GENESIS"};
}

// Takes a torn end off the copy: the writer was in the middle of it.
Status cut_end(os::FileSystem& fs, const std::string& directory, const VerifyReport& report) {
  if (!report.bad_file || !report.bad_offset) return Error{Code::kCorrupt, report.finding};
  const std::string path = directory + '/' + *report.bad_file;
  if (*report.bad_offset <= kSegmentHeaderBytes) return fs.remove(path);  // no record in it
  AIOSS_TRY(const auto file, fs.open(path, os::OpenMode::kReadWrite));
  AIOSS_CHECK(file->truncate(*report.bad_offset));
  return file->sync_all();
}

Result<VerifyReport> verify_copy(os::FileSystem& fs, const std::string& directory,
                                 const std::string& given_key, const Progress& progress,
                                 bool may_cut) {
  VerifyOptions options;
  options.directory = directory;
  options.verifier_key = given_key;
  options.progress = progress;
  if (given_key.empty()) {
    AIOSS_TRY(options.verifier_key, own_verifier_key(fs, directory));
  }
  VerifyReport report = verify(fs, options);
  if (report.verdict == Verdict::kTornTail && may_cut) {
    AIOSS_CHECK(cut_end(fs, directory, report));
    report = verify(fs, options);
  }
  if (report.verdict == Verdict::kOk) return report;
  return Error{Code::kCorrupt, "the copy does not verify (" + std::string(name(report.verdict)) +
                                   "): " + report.finding};
}

// Written last: a copy without it is none.
Status finish(os::FileSystem& fs, const Clock& clock, const BackupOptions& options,
              const BackupReport& report) {
  AIOSS_TRY(const Note note, read_checkpoint(fs, options.destination));
  codec::OrderedJson json;
  json["format"] = kBackupFormat;
  json["origin"] = report.origin;
  json["records"] = report.records;
  json["checkpoint_size"] = note.checkpoint.size;
  json["checkpoint_root"] = codec::to_hex(note.checkpoint.root);
  json["made_ns"] = clock.wall_ns();
  json["keys"] = report.keys;
  return os::replace_file(fs, options.destination + '/' + std::string(kBackupFile),
                          as_bytes(codec::dump_json(json) + "\n"));
}

Status check_keys(const KeyFiles& keys, const BackupOptions& options) {
  if (!options.with_keys || !keys.is_unprotected() || options.unprotected_keys) return ok();
  return Error{Code::kForbidden,
               "the private keys are not protected by a passphrase, and whoever reads the backup "
               "could write a ledger in your name; protect them ('aioss ledger protect'), leave "
               "them out, or insist with --unprotected-keys"};
}

Status copy_checkpoint(os::FileSystem& fs, const std::string& directory, ByteView bytes) {
  return os::replace_file(fs, directory + '/' + std::string(kCheckpointFile), bytes);
}

BackupReport report_of(const VerifyReport& verified, const LedgerCopy& copy,
                       std::string_view keys) {
  BackupReport report;
  report.origin = verified.origin;
  report.records = verified.records;
  report.checkpoint_size = verified.checkpoint_size.value_or(0);
  report.bytes = copy.bytes();
  report.keys = keys;
  return report;
}

// Whether this is a finished backup.
Status check_backup(os::FileSystem& fs, const std::string& directory) {
  const std::string path = directory + '/' + std::string(kBackupFile);
  const auto bytes = os::read_file(fs, path, kDocumentBytesMax);
  if (!bytes && bytes.error().code == Code::kNotFound) {
    return Error{Code::kNotFound,
                 directory + " is not a finished backup: it has no " + std::string(kBackupFile)};
  }
  if (!bytes) return Error(bytes.error());
  const auto json = codec::parse_json(as_text(*bytes));
  if (!json || !json->is_object() || json->find("format") == json->end() ||
      (*json)["format"] != kBackupFormat) {
    return Error{Code::kCorrupt,
                 std::string(kBackupFile) + " in " + directory + " cannot be understood"};
  }
  return ok();
}

}  // namespace

Status refuse_backup(os::FileSystem& fs, const std::string& directory) {
  if (!exists(fs, directory + '/' + std::string(kBackupFile))) return ok();
  return Error{Code::kUnsupported,
               "this is a backup; make a ledger of it with 'aioss ledger restore' and open that"};
}

Result<BackupReport> back_up(os::FileSystem& fs, const Clock& clock, const BackupOptions& options) {
  AIOSS_CHECK(refuse_backup(fs, options.directory));
  AIOSS_TRY(
      const Bytes checkpoint,
      os::read_file(fs, options.directory + '/' + std::string(kCheckpointFile), kNoteBytesMax));
  KeyFiles keys;
  if (options.with_keys) {
    AIOSS_TRY(keys, KeyFiles::read(fs, options.directory));
  }
  AIOSS_CHECK(check_keys(keys, options));
  LedgerCopy copy(fs, options.directory, options.destination);
  AIOSS_CHECK(copy.make_destination());
  AIOSS_CHECK(copy.copy_segments());
  AIOSS_CHECK(copy.copy_others());
  for (const std::string_view name : keys.names()) AIOSS_CHECK(copy.copy_key(name));
  AIOSS_CHECK(copy_checkpoint(fs, options.destination, checkpoint));
  if (options.with_keys) {
    AIOSS_TRY(const KeyFiles now, KeyFiles::read(fs, options.directory));
    if (!now.are_the_same_as(keys)) return changed_meanwhile();
  }
  AIOSS_TRY(const VerifyReport verified,
            verify_copy(fs, options.destination, options.verifier_key, options.progress, true));
  const BackupReport report = report_of(verified, copy, keys.description());
  AIOSS_CHECK(copy.sync_folders());
  AIOSS_CHECK(finish(fs, clock, options, report));
  return report;
}

Result<BackupReport> restore(os::FileSystem& fs, const RestoreOptions& options) {
  AIOSS_CHECK(check_backup(fs, options.backup));
  AIOSS_TRY(const Note note, read_checkpoint(fs, options.backup));
  AIOSS_TRY(const Bytes checkpoint,
            os::read_file(fs, options.backup + '/' + std::string(kCheckpointFile), kNoteBytesMax));
  LedgerCopy copy(fs, options.backup, options.destination);
  AIOSS_CHECK(copy.make_destination());
  AIOSS_CHECK(check_file_system(fs, options.destination, is_trial(fs, options.backup)));
  // Before anything else: whatever becomes of this, it is never taken for the original. Without a
  // checkpoint, which comes last, it cannot be opened at all.
  AIOSS_CHECK(write_restored_mark(
      fs, options.destination, {note.checkpoint.size, note.checkpoint.root, options.restored_by}));
  AIOSS_CHECK(copy.copy_segments());
  AIOSS_CHECK(copy.copy_others());
  AIOSS_TRY(const KeyFiles keys, KeyFiles::read(fs, options.backup));
  for (const std::string_view name : keys.names()) AIOSS_CHECK(copy.copy_key(name));
  AIOSS_CHECK(copy.sync_folders());
  AIOSS_CHECK(copy_checkpoint(fs, options.destination, checkpoint));
  AIOSS_TRY(const VerifyReport verified,
            verify_copy(fs, options.destination, options.verifier_key, options.progress, false));
  return report_of(verified, copy, keys.description());
}

}  // namespace aioss::ledger
