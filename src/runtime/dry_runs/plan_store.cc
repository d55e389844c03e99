#include "runtime/dry_runs/plan_store.h"

#include <algorithm>

#include "base/log.h"
#include "codec/cbor.h"
#include "runtime/catalogue/catalogue.h"
#include "runtime/catalogue/hash_cache.h"
#include "runtime/dry_runs/checksum.h"
#include "runtime/dry_runs/machine_basis.h"

namespace aioss::runtime {
namespace {

using codec::Value;

constexpr std::uint64_t kPlanFileVersion = 1;
constexpr std::size_t kNumbersOfPart = 4;
enum PlanFileKey : std::uint64_t { kPlanVersionKey = 0, kPlanBasisKey = 1, kPlanEntriesKey = 2 };
enum PlanEntryKey : std::uint64_t { kPlanFilesKey = 0, kPlanAskKey = 1, kPlanReportKey = 2 };

Error damaged_plans(const std::string& what) {
  return {Code::kCorrupt, what};
}

Result<FilesIdentity> read_identity(const codec::Map& entry) {
  AIOSS_TRY(const codec::Array* numbers, entry.get_array(kPlanFilesKey, "files"));
  if (numbers->empty() || numbers->size() % kNumbersOfPart != 0 ||
      numbers->size() > kSplitPartsMax * kNumbersOfPart) {
    return damaged_plans("files: not four numbers of each part");
  }
  FilesIdentity files;
  for (const Value& value : *numbers) {
    const auto* positive = value.if_uint();
    const auto* negative = std::get_if<std::int64_t>(&value.storage());
    if (positive == nullptr && negative == nullptr) return damaged_plans("files: not a number");
    files.push_back(positive != nullptr ? static_cast<std::int64_t>(*positive) : *negative);
  }
  return files;
}

bool is_of_same_inodes(const FilesIdentity& a, const FilesIdentity& b) {
  return a.size() == b.size() && a[0] == b[0] && a[1] == b[1];
}

// What will be so tomorrow: only the name of what computes, of all that is said of devices.
ipc::PlanReport lasting(const ipc::PlanReport& report) {
  ipc::PlanReport out;
  out.asked = report.asked;
  out.context_tokens_train = report.context_tokens_train;
  if (!report.devices.empty()) out.devices.push_back({report.devices.front().name, "", 0, 0});
  return out;
}

// Of any question: the room of the moment decides about options only.
Bytes encode_ask(ipc::PlanAsk ask) {
  ask.room_bytes = 0;
  return ipc::encode(ask);
}

}  // namespace

FilesIdentity identity_of(const std::vector<os::FileInfo>& parts) {
  FilesIdentity identity;
  for (const os::FileInfo& part : parts) {
    for (const std::uint64_t number : {part.device, part.inode, part.size}) {
      identity.push_back(static_cast<std::int64_t>(number));
    }
    identity.push_back(part.modified_ns);
  }
  return identity;
}

PlanStore::PlanStore(os::FileSystem& fs, const std::string& directory, std::string executable)
    : fs_(fs),
      directory_(directory),
      path_(directory.empty() ? "" : directory + "/model-plans.cbor"),
      executable_(std::move(executable)) {}

void PlanStore::read() {
  if (path_.empty()) return;
  const auto basis = machine_basis(fs_, executable_);
  std::lock_guard lock(mutex_);
  if (!basis) return;
  basis_ = *basis;
  const Result<Bytes> bytes = os::read_file(fs_, path_, kPlanFileBytesMax);
  if (!bytes && bytes.error().code == Code::kNotFound) return;
  const Status taken = bytes ? take_in(*bytes) : Status(bytes.error());
  if (taken) return;
  kept_.clear();
  log::warn("what is remembered of models' dry runs cannot be used: they are run again",
            {{"file", path_}, {"reason", taken.error().message}});
}

Status PlanStore::take_in(ByteView bytes) {
  AIOSS_TRY(const ByteView body, without_checksum(bytes));
  AIOSS_TRY(const codec::Map map, codec::decode_map(body));
  AIOSS_TRY(const std::uint64_t version, map.get_uint(kPlanVersionKey, "version"));
  if (version != kPlanFileVersion) return ok();  // of another aioss, and no damage
  AIOSS_TRY(const Digest basis, map.get_digest(kPlanBasisKey, "basis"));
  if (basis != basis_) return ok();
  AIOSS_TRY(const codec::Array* entries, map.get_array(kPlanEntriesKey, "entries"));
  if (entries->size() > kPlansStoredMax) return damaged_plans("it has too many entries");
  for (const Value& value : *entries) {
    const codec::Map* entry = value.if_map();
    if (entry == nullptr) return damaged_plans("an entry is no map");
    AIOSS_TRY(FilesIdentity files, read_identity(*entry));
    AIOSS_TRY(Bytes ask, entry->get_bytes(kPlanAskKey, "ask"));
    if (auto asked = ipc::decode_plan_ask(ask); !asked) return std::move(asked).error();
    AIOSS_TRY(const Bytes said, entry->get_bytes(kPlanReportKey, "report"));
    AIOSS_TRY(ipc::PlanReport report, ipc::decode_plan_report(said));
    if (report.error) return damaged_plans("an entry is an error");
    remember({std::move(files), std::move(ask)}, std::move(report));
  }
  return ok();
}

void PlanStore::remember(Key key, ipc::PlanReport report) {
  // A device and inode have one content at a time: what the file was before goes.
  std::erase_if(kept_, [&](const auto& entry) {
    return entry.first.first != key.first && is_of_same_inodes(entry.first.first, key.first);
  });
  kept_.insert_or_assign(std::move(key), Kept{std::move(report), next_age_++});
  if (kept_.size() <= kPlansStoredMax) return;
  kept_.erase(std::min_element(kept_.begin(), kept_.end(), [](const auto& a, const auto& b) {
    return a.second.age < b.second.age;
  }));
}

std::optional<ipc::PlanReport> PlanStore::find(const FilesIdentity& files,
                                               const ipc::PlanAsk& ask) const {
  std::lock_guard lock(mutex_);
  const auto found = kept_.find(Key{files, encode_ask(ask)});
  if (found == kept_.end()) return std::nullopt;
  return found->second.report;
}

void PlanStore::put(const std::vector<os::FileInfo>& parts, const ipc::PlanAsk& ask,
                    const ipc::PlanReport& report, std::int64_t now_wall_ns) {
  const auto is_fresh = [now_wall_ns](const os::FileInfo& part) {
    return now_wall_ns - part.modified_ns < kSettledNs;
  };
  if (path_.empty() || report.error || std::any_of(parts.begin(), parts.end(), is_fresh)) return;
  const std::lock_guard turn(writing_);  // what is older never comes after what is newer
  Bytes bytes;
  {
    std::lock_guard lock(mutex_);
    if (basis_ == Digest{}) return;  // nobody could say whose plans these are
    remember({identity_of(parts), encode_ask(ask)}, lasting(report));
    bytes = encode();
  }
  // Of many models in many parts: better none on the disk than one that is not read.
  if (bytes.size() > kPlanFileBytesMax) return;
  Status written = fs_.make_directories(directory_);
  if (written) written = os::replace_file(fs_, path_, bytes);
  if (written) return;
  log::warn("what dry runs of models said cannot be written",
            {{"reason", written.error().message}});
}

Bytes PlanStore::encode() const {
  std::vector<const std::pair<const Key, Kept>*> ordered;
  for (const auto& entry : kept_) ordered.push_back(&entry);
  std::sort(ordered.begin(), ordered.end(),
            [](const auto* a, const auto* b) { return a->second.age < b->second.age; });
  codec::Array entries;
  for (const auto* kept : ordered) {
    codec::Array numbers;
    for (const std::int64_t number : kept->first.first) numbers.push_back(Value::integer(number));
    codec::Map entry;
    entry.set(kPlanFilesKey, Value::array(std::move(numbers)))
        .set(kPlanAskKey, Value::bytes(kept->first.second))
        .set(kPlanReportKey, Value::bytes(ipc::encode(kept->second.report)));
    entries.push_back(Value::map(std::move(entry)));
  }
  codec::Map map;
  map.set(kPlanVersionKey, Value::uint(kPlanFileVersion))
      .set(kPlanBasisKey, Value::bytes(basis_))
      .set(kPlanEntriesKey, Value::array(std::move(entries)));
  return with_checksum(codec::encode(std::move(map)));
}

}  // namespace aioss::runtime
