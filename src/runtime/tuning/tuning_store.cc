#include "runtime/tuning/tuning_store.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/log.h"
#include "codec/cbor.h"
#include "ipc/limits.h"
#include "runtime/catalogue/catalogue.h"
#include "runtime/dry_runs/checksum.h"
#include "runtime/dry_runs/machine_basis.h"

namespace aioss::runtime {
namespace {

using codec::Array;
using codec::Map;
using codec::Value;

constexpr std::uint64_t kStoreVersion = 1;
constexpr std::size_t kNumbersOfPart = 4;
constexpr std::size_t kKnobs = 4;
constexpr std::size_t kTextBytesMax = 4096;
// Another process writes the file in milliseconds.
constexpr int kTurnTries = 200;
constexpr auto kTurnPause = std::chrono::milliseconds(10);
constexpr std::uint64_t kStatesMax = static_cast<std::uint64_t>(TuneState::kUnfinished);
enum FileKey : std::uint64_t { kVersionKey = 0, kBasisKey = 1, kEntriesKey = 2 };
enum EntryKey : std::uint64_t {
  kFilesKey = 0,
  kConditionsKey = 1,
  kModelKey = 2,
  kWallKey = 3,
  kStreamsKey = 4,
  kInTimeKey = 5,
  kIndexKey = 6,
  kWhyKey = 7,
  kMeasurementsKey = 8
};
enum MeasurementKey : std::uint64_t {
  kEngineKey = 0,
  kKnobsKey = 1,
  kStateKey = 2,
  kReasonKey = 3,
  kRegimesKey = 4
};

Error damaged(const std::string& what) {
  return {Code::kCorrupt, what};
}

Result<std::vector<std::uint64_t>> numbers_of(const Map& map, std::uint64_t key,
                                              std::size_t count_max) {
  AIOSS_TRY(const Array* array, map.get_array(key, "numbers"));
  if (array->size() > count_max) return damaged("too many numbers");
  std::vector<std::uint64_t> out;
  for (const Value& value : *array) {
    const std::uint64_t* number = value.if_uint();
    if (number == nullptr) return damaged("not a number");
    out.push_back(*number);
  }
  return out;
}

Result<std::string> text_of(const Map& map, std::uint64_t key) {
  AIOSS_TRY(std::string text, map.get_text(key, "text"));
  if (text.size() > kTextBytesMax) return damaged("a text is too long");
  return text;
}

Result<FilesIdentity> read_files(const Map& entry) {
  AIOSS_TRY(const auto numbers, numbers_of(entry, kFilesKey, kSplitPartsMax * kNumbersOfPart));
  if (numbers.empty() || numbers.size() % kNumbersOfPart != 0) return damaged("not four numbers");
  FilesIdentity files;
  for (const std::uint64_t number : numbers) files.push_back(static_cast<std::int64_t>(number));
  return files;
}

Map encode_measurement(const TuneMeasurement& one) {
  const ipc::Knobs& knobs = one.candidate.knobs;
  Array settings{Value::uint(knobs.threads), Value::uint(knobs.threads_batch),
                 Value::uint(knobs.micro_batch_tokens_max),
                 Value::uint(static_cast<std::uint64_t>(knobs.flash_attention))};
  Array regimes;
  for (const TuneRegime& regime : one.regimes) {
    regimes.push_back(Value::uint(regime.ns_per_token));
    regimes.push_back(Value::uint(regime.default_ns_per_token));
  }
  Map map;
  map.set(kEngineKey, Value::text(one.candidate.engine))
      .set(kKnobsKey, Value::array(std::move(settings)))
      .set(kStateKey, Value::uint(static_cast<std::uint64_t>(one.state)))
      .set(kReasonKey, Value::text(one.reason))
      .set(kRegimesKey, Value::array(std::move(regimes)));
  return map;
}

Result<TuneMeasurement> read_measurement(const Map& map) {
  TuneMeasurement out;
  AIOSS_TRY(out.candidate.engine, text_of(map, kEngineKey));
  if (!is_model_name(out.candidate.engine)) return damaged("that is no engine's name");
  AIOSS_TRY(const auto knobs, numbers_of(map, kKnobsKey, kKnobs));
  if (knobs.size() != kKnobs || knobs[0] > ipc::kThreadsMax || knobs[1] > ipc::kThreadsMax ||
      knobs[2] > ipc::kPrefillChunkMax || knobs[3] > 2) {
    return damaged("a setting is out of its range");
  }
  out.candidate.knobs = {static_cast<std::uint32_t>(knobs[0]), static_cast<std::uint32_t>(knobs[1]),
                         static_cast<std::uint32_t>(knobs[2]),
                         static_cast<ipc::FlashAttention>(knobs[3])};
  AIOSS_TRY(const std::uint64_t state, map.get_uint(kStateKey, "state"));
  if (state > kStatesMax) return damaged("unknown state");
  out.state = static_cast<TuneState>(state);
  AIOSS_TRY(out.reason, text_of(map, kReasonKey));
  AIOSS_TRY(const auto regimes, numbers_of(map, kRegimesKey, 2 * ipc::kRegimes));
  if (regimes.size() != 2 * ipc::kRegimes) return damaged("not all regimes");
  for (std::size_t i = 0; i < ipc::kRegimes; ++i) {
    out.regimes[i] = {regimes[2 * i], regimes[2 * i + 1]};
  }
  return out;
}

Map encode_entry(const TuningKey& key, const Tuning& tuning) {
  Array numbers;
  for (const std::int64_t number : key.files) {
    numbers.push_back(Value::uint(static_cast<std::uint64_t>(number)));
  }
  Array measurements;
  for (const TuneMeasurement& one : tuning.result.measurements) {
    measurements.push_back(Value::map(encode_measurement(one)));
  }
  Map map;
  map.set(kFilesKey, Value::array(std::move(numbers)))
      .set(kConditionsKey, Value::text(key.conditions))
      .set(kModelKey, Value::text(tuning.model))
      .set(kWallKey, Value::uint(static_cast<std::uint64_t>(tuning.wall_ns)))
      .set(kStreamsKey, Value::uint(tuning.result.streams))
      .set(kInTimeKey, Value::boolean(tuning.result.in_time))
      .set(kIndexKey, Value::uint(tuning.result.choice.index))
      .set(kWhyKey, Value::text(tuning.result.choice.why))
      .set(kMeasurementsKey, Value::array(std::move(measurements)));
  return map;
}

Result<std::pair<TuningKey, Tuning>> read_entry(const Map& map) {
  TuningKey key;
  Tuning tuning;
  AIOSS_TRY(key.files, read_files(map));
  AIOSS_TRY(key.conditions, text_of(map, kConditionsKey));
  AIOSS_TRY(tuning.model, text_of(map, kModelKey));
  AIOSS_TRY(const std::uint64_t wall, map.get_uint(kWallKey, "when"));
  tuning.wall_ns = static_cast<std::int64_t>(wall);
  AIOSS_TRY(const std::uint64_t streams, map.get_uint(kStreamsKey, "streams"));
  tuning.result.streams =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(streams, ipc::kStreamsMax));
  AIOSS_TRY(tuning.result.in_time, map.get_bool(kInTimeKey, "in time"));
  AIOSS_TRY(tuning.result.choice.index, map.get_uint(kIndexKey, "choice"));
  AIOSS_TRY(tuning.result.choice.why, text_of(map, kWhyKey));
  AIOSS_TRY(const Array* measurements, map.get_array(kMeasurementsKey, "measurements"));
  if (measurements->size() > kTuneMeasurementsMax) return damaged("too many measurements");
  for (const Value& value : *measurements) {
    const Map* one = value.if_map();
    if (one == nullptr) return damaged("a measurement is no map");
    AIOSS_TRY(TuneMeasurement measurement, read_measurement(*one));
    tuning.result.measurements.push_back(std::move(measurement));
  }
  // Nothing that was not measured is ever started.
  const std::size_t index = tuning.result.choice.index;
  if (index >= tuning.result.measurements.size() ||
      tuning.result.measurements[index].state != TuneState::kMeasured) {
    return damaged("the choice was not measured");
  }
  return std::pair{std::move(key), std::move(tuning)};
}

Bytes encode(const Digest& basis, const std::vector<std::pair<TuningKey, Tuning>>& entries) {
  Array list;
  for (const auto& [key, tuning] : entries) list.push_back(Value::map(encode_entry(key, tuning)));
  Map map;
  map.set(kVersionKey, Value::uint(kStoreVersion))
      .set(kBasisKey, Value::bytes(basis))
      .set(kEntriesKey, Value::array(std::move(list)));
  return with_checksum(codec::encode(std::move(map)));
}

bool is_of_same_inodes(const FilesIdentity& a, const FilesIdentity& b) {
  return a.size() == b.size() && a[0] == b[0] && a[1] == b[1];
}

}  // namespace

TuningStore::TuningStore(os::FileSystem& fs, const std::string& directory, std::string executable)
    : fs_(fs),
      directory_(directory),
      path_(directory.empty() ? "" : directory + "/model-tunings.cbor"),
      executable_(std::move(executable)) {}

void TuningStore::read() {
  if (path_.empty()) return;
  const auto basis = machine_basis(fs_, executable_);
  std::lock_guard lock(mutex_);
  if (!basis) return;
  basis_ = *basis;
  const Result<Bytes> bytes = os::read_file(fs_, path_, kTuningFileBytesMax);
  if (!bytes && bytes.error().code == Code::kNotFound) return;
  const Status taken = bytes ? take_in(*bytes) : Status(bytes.error());
  if (taken) return;
  kept_.clear();
  log::warn("what was measured of models cannot be used: they are measured again",
            {{"file", path_}, {"reason", taken.error().message}});
}

Status TuningStore::take_in(ByteView bytes) {
  AIOSS_TRY(const ByteView body, without_checksum(bytes));
  AIOSS_TRY(const Map map, codec::decode_map(body));
  AIOSS_TRY(const std::uint64_t version, map.get_uint(kVersionKey, "version"));
  if (version != kStoreVersion) return ok();  // of another aioss, and no damage
  AIOSS_TRY(const Digest basis, map.get_digest(kBasisKey, "basis"));
  if (basis != basis_) return ok();
  AIOSS_TRY(const Array* entries, map.get_array(kEntriesKey, "entries"));
  if (entries->size() > kTuningsStoredMax) return damaged("it has too many entries");
  for (const Value& value : *entries) {
    const Map* entry = value.if_map();
    if (entry == nullptr) return damaged("an entry is no map");
    AIOSS_TRY(auto read, read_entry(*entry));
    const auto known = kept_.find(read.first);
    const bool is_newer =
        known == kept_.end() || known->second.tuning.wall_ns < read.second.wall_ns;
    if (is_newer) remember(std::move(read.first), std::move(read.second));
  }
  return ok();
}

void TuningStore::remember(TuningKey key, Tuning tuning) {
  // A device and inode have one content at a time: what the file was before goes.
  std::erase_if(kept_, [&](const auto& entry) {
    return entry.first.files != key.files && is_of_same_inodes(entry.first.files, key.files);
  });
  kept_.insert_or_assign(std::move(key), Kept{std::move(tuning), next_age_++});
  if (kept_.size() <= kTuningsStoredMax) return;
  kept_.erase(std::min_element(kept_.begin(), kept_.end(), [](const auto& a, const auto& b) {
    return a.second.age < b.second.age;
  }));
}

std::optional<Tuning> TuningStore::find(const TuningKey& key) const {
  std::lock_guard lock(mutex_);
  const auto found = kept_.find(key);
  if (found == kept_.end()) return std::nullopt;
  return found->second.tuning;
}

std::vector<std::pair<TuningKey, Tuning>> TuningStore::all() const {
  std::lock_guard lock(mutex_);
  std::vector<const std::pair<const TuningKey, Kept>*> ordered;
  for (const auto& entry : kept_) ordered.push_back(&entry);
  std::sort(ordered.begin(), ordered.end(),
            [](const auto* a, const auto* b) { return a->second.age < b->second.age; });
  std::vector<std::pair<TuningKey, Tuning>> out;
  for (const auto* kept : ordered) out.emplace_back(kept->first, kept->second.tuning);
  return out;
}

void TuningStore::take_in_newer() {
  if (path_.empty()) return;
  const Result<Bytes> others = os::read_file(fs_, path_, kTuningFileBytesMax);
  std::lock_guard lock(mutex_);
  if (others) (void)take_in(*others);  // damage was told when it was read first
}

void TuningStore::put(TuningKey key, Tuning tuning) {
  const std::unique_ptr<os::File> turn = wait_for_turn();
  take_in_newer();
  Digest basis{};
  {
    std::lock_guard lock(mutex_);
    remember(std::move(key), std::move(tuning));
    basis = basis_;
  }
  if (path_.empty() || basis == Digest{}) return;  // nobody could say whose these are
  const Bytes bytes = encode(basis, all());
  if (bytes.size() > kTuningFileBytesMax) return;  // better none on the disk than one not read
  const Status written = os::replace_file(fs_, path_, bytes);
  if (written) return;
  log::warn("what was measured of a model cannot be written",
            {{"reason", written.error().message}});
}

// Until the object ends, no other process writes the file between this one's reading and writing.
// Nothing if that takes too long, or cannot be: then what the other one writes may be lost, and is
// measured again.
std::unique_ptr<os::File> TuningStore::wait_for_turn() {
  if (path_.empty() || !fs_.make_directories(directory_)) return nullptr;
  auto file = fs_.open(path_ + ".lock", os::OpenMode::kReadWriteCreate);
  if (!file) return nullptr;
  for (int i = 0; i < kTurnTries; ++i) {
    const Status locked = (*file)->lock_exclusive();
    if (locked) return std::move(*file);
    if (locked.error().code != Code::kConflict) break;
    std::this_thread::sleep_for(kTurnPause);
  }
  return nullptr;
}

}  // namespace aioss::runtime
