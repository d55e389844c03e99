// Custody::drop: the end of retention. Whole sealed segments, oldest first, become lists of hashes
// (ledger/format/pruned.h), and the sealed texts that their records name are destroyed.
#include <algorithm>
#include <limits>
#include <set>

#include "base/strings.h"
#include "codec/utf8.h"
#include "ledger/custody/custody.h"
#include "ledger/custody/prune.h"
#include "ledger/format/pruned.h"
#include "ledger/reading/payloads.h"
#include "ledger/reading/segment_reader.h"
#include "ledger/reading/walk.h"

namespace aioss::ledger {
namespace {

constexpr std::int64_t kDayNs = 24LL * 3600 * 1'000'000'000;

struct SegmentFile {
  std::uint64_t first = 0;
  bool whole = false;  // not pruned, or not to its end
};

// In order. The last one is live.
Result<std::vector<SegmentFile>> segment_files(os::FileSystem& fs, const std::string& directory) {
  AIOSS_TRY(const auto names, fs.list(directory + '/' + std::string(kSegmentFolder)));
  std::vector<SegmentFile> files;
  for (const std::string& name : names) {  // sorted; N.aioss comes before N.pruned
    const auto whole = parse_segment_file_name(name);
    const auto first = whole ? whole : parse_pruned_file_name(name);
    if (!first || (!files.empty() && files.back().first == *first)) continue;
    files.push_back({*first, whole.has_value()});
  }
  return files;
}

// When a segment was sealed; nothing if it is not.
Result<std::optional<std::int64_t>> sealed_at(os::FileSystem& fs, const std::string& directory,
                                              std::uint64_t first) {
  const std::string path =
      directory + '/' + std::string(kSegmentFolder) + '/' + segment_file_name(first);
  AIOSS_TRY(const auto file, fs.open(path, os::OpenMode::kRead));
  AIOSS_TRY(const os::FileInfo about, file->info());
  SegmentReader reader(*file, about.size);
  AIOSS_TRY(const ByteView beginning, reader.window());
  if (parse_header(beginning).form != Form::kGood) return std::optional<std::int64_t>();
  reader.advance(kSegmentHeaderBytes);
  while (reader.offset() < reader.end()) {
    AIOSS_TRY(const ByteView window, reader.window());
    const ParsedFrame parsed = parse_frame(window);
    if (parsed.form != Form::kGood) return std::optional<std::int64_t>();
    if (static_cast<RecordType>(parsed.frame.type) == RecordType::kSegmentSeal) {
      AIOSS_TRY(const codec::Map body, codec::decode_map(parsed.frame.body));
      AIOSS_TRY(const std::int64_t wall_ns, body.get_int(key::kWallNs, "time"));
      return std::optional<std::int64_t>(wall_ns);
    }
    reader.advance(parsed.frame.bytes);
  }
  return std::optional<std::int64_t>();
}

}  // namespace

Status Custody::check_retention(std::int64_t before_ns) const {
  const std::uint64_t days = std::max(options_.retention_days, kRetentionDaysMin);
  if (before_ns > clock_.wall_ns() - static_cast<std::int64_t>(days) * kDayNs) {
    return Error{Code::kForbidden, "records are kept for " + std::to_string(days) +
                                       " days (setting retention_days, at least " +
                                       std::to_string(kRetentionDaysMin) +
                                       "); choose an earlier date"};
  }
  std::lock_guard lock(mutex_);
  if (standing_.holds().empty()) return ok();
  return Error{Code::kConflict, "there are " + std::to_string(standing_.holds().size()) +
                                    " legal holds in force: nothing may be dropped until they are "
                                    "cleared; 'aioss ledger hold list' shows them"};
}

// From the oldest segment that is still whole on, as long as they were sealed early enough.
Result<Dropped> Custody::choose(std::int64_t before_ns) const {
  AIOSS_TRY(const auto files, segment_files(fs_, options_.directory));
  Dropped chosen;
  for (std::size_t i = 0; i + 1 < files.size(); ++i) {
    if (!files[i].whole && chosen.segments == 0) continue;
    if (!files[i].whole) break;
    AIOSS_TRY(const auto sealed_ns, sealed_at(fs_, options_.directory, files[i].first));
    if (!sealed_ns || *sealed_ns >= before_ns) break;
    if (chosen.segments == 0) chosen.first = files[i].first;
    chosen.after = files[i + 1].first;
    ++chosen.segments;
  }
  return chosen;
}

Result<Dropped> Custody::drop(std::int64_t before_ns, std::string_view ground,
                              const codec::Map& actor) {
  namespace own = key::retention_drop;
  using codec::Value;
  std::lock_guard ordering(orders_mutex_);
  if (trim(ground).empty() || ground.size() > kOrderTextBytesMax || !codec::is_utf8(ground)) {
    return Error{Code::kInvalidArgument, "the ground must be a text of 1 to " +
                                             std::to_string(kOrderTextBytesMax) + " bytes"};
  }
  AIOSS_CHECK(check_retention(before_ns));
  AIOSS_TRY(Dropped dropped, choose(before_ns));
  if (dropped.segments == 0) {  // also of a drop that was cut short, and is ordered again
    AIOSS_CHECK(drop_prefixes(before_ns));
    return dropped;
  }
  codec::Map body;
  body.set(key::kActor, Value::map(actor))
      .set(own::kFirstIndex, Value::uint(dropped.first))
      .set(own::kAfterIndex, Value::uint(dropped.after))
      .set(own::kSegments, Value::uint(dropped.segments))
      .set(own::kGround, Value::text(ground));
  AIOSS_TRY(dropped.record, append(RecordType::kRetentionDrop, body));
  AIOSS_CHECK(sign_order());
  AIOSS_CHECK(prune_all(dropped));
  AIOSS_CHECK(drop_prefixes(before_ns));
  return dropped;
}

// No record names them: they go by their own age.
Status Custody::drop_prefixes(std::int64_t before_ns) {
  AIOSS_TRY(const auto files, prefixes_.list(std::numeric_limits<std::size_t>::max()));
  for (const PrefixFiles::File& file : files) {
    if (file.modified_ns < before_ns) AIOSS_CHECK(prefixes_.destroy(file));
  }
  return ok();
}

Status Custody::prune(std::uint64_t first_index) {
  std::set<std::string> touched;  // subjects whose folders have lost a blob
  PruneEvents events;
  events.going = [&](const Record& record) -> Status {
    for (const BlobName& blob : blobs_of(record)) {
      AIOSS_TRY(const bool was_there, blobs_.destroy(blob));
      if (was_there) touched.insert(blob.subject);
    }
    return ok();
  };
  events.replacing = [&]() -> Status {
    for (const std::string& subject : touched) AIOSS_CHECK(blobs_.sync(subject));
    return ok();
  };
  return prune_segment(fs_, options_.directory, first_index, events);
}

// A drop that was cut short goes on when the operator gives it again, never by itself: the record
// alone is no order, for whoever writes to the disk of a stopped ledger can add one.
Status Custody::prune_all(const Dropped& dropped) {
  AIOSS_TRY(const auto files, segment_files(fs_, options_.directory));
  for (const SegmentFile& file : files) {
    if (!file.whole || file.first < dropped.first || file.first >= dropped.after) continue;
    AIOSS_CHECK(prune(file.first));
  }
  return ok();
}

}  // namespace aioss::ledger
