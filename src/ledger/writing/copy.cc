#include "ledger/writing/copy.h"

#include <algorithm>
#include <array>
#include <utility>

#include "ledger/format/checkpoint.h"
#include "ledger/format/format.h"
#include "ledger/format/pruned.h"
#include "ledger/reading/blob.h"
#include "ledger/reading/walk.h"
#include "ledger/writing/appender.h"
#include "ledger/writing/backup.h"
#include "ledger/writing/restored.h"
#include "ledger/writing/signer.h"

namespace aioss::ledger {
namespace {

constexpr std::size_t kCopyBytes = 1U << 20;
constexpr unsigned kDepthMax = 4;  // blob/<subject>/<hash> is the deepest
constexpr unsigned kPrivateFile = 0600, kPrivateFolder = 0700, kFolder = 0750;
constexpr std::string_view kVaultFolder = "vault";

// Of the ledger's own folder; segments, keys and the checkpoint have their own turn.
bool is_left_out(std::string_view name) {
  constexpr std::array<std::string_view, 7> kNames{"LOCK",          kSegmentFolder, kKeyFolder,
                                                   kCheckpointFile, kBackupFile,    kRestoredFile,
                                                   kPrefixFolder};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end() || name == kMasterKeyName ||
         name == kMasterNextName || name.ends_with(kTemporarySuffix);
}

// Whatever else lies in the folder (lost+found, somebody's notes) is none of the ledger's, as it is
// none for those who read it; least of all is it the segment that grows.
bool is_segment(std::string_view name) {
  return parse_segment_file_name(name).has_value() || parse_pruned_file_name(name).has_value();
}

bool is_in_vault(std::string_view name) {
  return name == kVaultFolder || name.starts_with(std::string(kVaultFolder) + '/');
}

Error unfinished(std::string_view what) {
  return {Code::kIo, "the copy is not complete: " + std::string(what)};
}

}  // namespace

Status LedgerCopy::make_destination() {
  if (to_ == from_ || to_.starts_with(from_ + '/')) {
    return Error{Code::kUsage,
                 "the copy cannot lie in the folder that is copied; name another one"};
  }
  const auto found = fs_.info(to_);
  if (found) {
    const auto names = fs_.list(to_);
    if (!found->is_directory || !names || !names->empty()) {
      return Error{Code::kConflict,
                   to_ + " is there already; name a folder that is absent or empty"};
    }
  } else if (found.error().code != Code::kNotFound) {
    return Error(found.error());
  }
  AIOSS_CHECK(fs_.make_directories(to_, kFolder));
  folders_.push_back(to_);
  return ok();
}

Status LedgerCopy::make_folder(const std::string& name, unsigned permissions) {
  const std::string path = to_ + '/' + name;
  AIOSS_CHECK(fs_.make_directories(path, permissions));
  folders_.push_back(path);
  return ok();
}

Status LedgerCopy::copy_segments() {
  const std::string folder(kSegmentFolder);
  AIOSS_TRY(const auto all, fs_.list(from_ + '/' + folder));
  std::vector<std::string> names;
  std::copy_if(all.begin(), all.end(), std::back_inserter(names), is_segment);
  AIOSS_CHECK(make_folder(folder, kFolder));
  for (std::size_t i = 0; i < names.size(); ++i) {
    const bool last = i + 1 == names.size();
    AIOSS_CHECK(
        copy_file(folder + '/' + names[i], {last ? kLivePermissions : kSealedPermissions, last}));
  }
  return ok();
}

Status LedgerCopy::copy_others() {
  AIOSS_TRY(const auto names, fs_.list(from_));
  for (const std::string& name : names) {
    if (is_left_out(name)) continue;
    AIOSS_TRY(const os::FileInfo about, fs_.info(from_ + '/' + name));
    AIOSS_CHECK(about.is_directory ? copy_folder(name, 1) : copy_file(name, {}));
  }
  return ok();
}

Status LedgerCopy::copy_folder(const std::string& name, unsigned depth) {
  if (depth > kDepthMax) return unfinished("folders are too deep in " + name);
  AIOSS_TRY(const auto names, fs_.list(from_ + '/' + name));
  AIOSS_CHECK(make_folder(name, is_in_vault(name) ? kPrivateFolder : kFolder));
  for (const std::string& entry : names) {
    const std::string path = name + '/' + entry;
    if (is_left_out(path)) continue;
    const auto about = fs_.info(from_ + '/' + path);
    if (!about && about.error().code == Code::kNotFound) continue;  // erased meanwhile
    if (!about) return Error(about.error());
    if (about->is_directory) {
      AIOSS_CHECK(copy_folder(path, depth + 1));
    } else {
      AIOSS_CHECK(copy_file(path, {is_in_vault(path) ? kPrivateFile : 0640U}));
    }
  }
  return ok();
}

Status LedgerCopy::copy_key(std::string_view name) {
  const std::string folder(name.substr(0, name.find('/')));
  if (!fs_.info(to_ + '/' + folder)) AIOSS_CHECK(make_folder(folder, kPrivateFolder));
  return copy_file(std::string(name), {kPrivateFile});
}

Status LedgerCopy::copy_file(const std::string& name, Options options) {
  AIOSS_TRY(const auto from, fs_.open(from_ + '/' + name, os::OpenMode::kRead));
  AIOSS_TRY(const os::FileInfo about, from->info());
  if (!about.is_regular) return unfinished(name + " is no file");
  AIOSS_TRY(const auto to,
            fs_.open(to_ + '/' + name, os::OpenMode::kCreateNew, options.permissions));
  Bytes block(kCopyBytes);
  std::uint64_t offset = 0;
  while (offset < about.size) {  // no further: a live segment grows
    const auto want =
        static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), about.size - offset));
    AIOSS_TRY(const std::size_t got, from->read_at(offset, std::span(block).first(want)));
    if (got != want) return unfinished(name + " became shorter while it was read; run it again");
    AIOSS_TRY(const std::size_t put, to->write_at(offset, ByteView(block).first(got)));
    if (put != got) return unfinished("the disk took only part of a write");
    offset += got;
  }
  bytes_ += offset;
  // What is read may be in the writer's page cache alone. Were it lost there, the copy would hold
  // records that the ledger never had.
  if (options.sync_source) AIOSS_CHECK(from->sync_all());
  return to->sync_all();
}

Status LedgerCopy::sync_folders() {
  for (auto folder = folders_.rbegin(); folder != folders_.rend(); ++folder) {
    AIOSS_CHECK(fs_.sync_directory(*folder));
  }
  return fs_.sync_directory(to_ + "/..");
}

}  // namespace aioss::ledger
