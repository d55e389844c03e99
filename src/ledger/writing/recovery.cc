#include "ledger/writing/recovery.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "codec/hex.h"
#include "ledger/format/checkpoint.h"
#include "ledger/reading/last_group.h"
#include "ledger/reading/walk.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kQuarantineFolder = "quarantine";
constexpr std::string_view kQuarantineSuffix = ".torn";
constexpr std::size_t kKeptBlockBytes = 1U << 20;

// What quarantine/ holds says itself where it came from: <segment number>-<offset>-<SHA3-256>.torn
struct Quarantined {
  std::uint64_t segment = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  Digest hash{};
};

std::string quarantine_name(const Quarantined& piece) {
  return std::to_string(piece.segment) + '-' + std::to_string(piece.offset) + '-' +
         codec::to_hex(piece.hash) + std::string(kQuarantineSuffix);
}

std::optional<Quarantined> parse_quarantine_name(std::string_view name) {
  if (!name.ends_with(kQuarantineSuffix)) return std::nullopt;
  name.remove_suffix(kQuarantineSuffix.size());
  const auto parts = split(name, '-');
  if (parts.size() != 3) return std::nullopt;
  const auto segment = parse_u64(parts[0]);
  const auto offset = parse_u64(parts[1]);
  const auto hash = codec::from_hex(parts[2]);
  if (!segment || !offset || !hash || hash->size() != Digest{}.size()) return std::nullopt;
  Quarantined piece;
  piece.segment = *segment;
  piece.offset = *offset;
  std::copy(hash->begin(), hash->end(), piece.hash.begin());
  return piece;
}

codec::Map recovery_body(const Quarantined& piece, std::string_view cause) {
  namespace own = key::recovery;
  using codec::Value;
  codec::Map body;
  body.set(own::kSegment, Value::uint(piece.segment))
      .set(own::kOffset, Value::uint(piece.offset))
      .set(own::kBytes, Value::uint(piece.bytes))
      .set(own::kQuarantineHash, Value::bytes(piece.hash))
      .set(own::kCause, Value::text(cause));
  return body;
}

// The hash alone would not do: two torn ends may both be 512 zeros.
bool is_of(const codec::Map& body, const Quarantined& piece) {
  namespace own = key::recovery;
  const auto segment = body.get_uint(own::kSegment, "segment");
  const auto offset = body.get_uint(own::kOffset, "offset");
  const auto hash = body.get_digest(own::kQuarantineHash, "hash");
  return segment && offset && hash && *segment == piece.segment && *offset == piece.offset &&
         *hash == piece.hash;
}

Error refused(std::string_view problem) {
  return {Code::kCorrupt,
          "the ledger is damaged in a way that no crash explains: " + std::string(problem) +
              ". Nothing was changed; keep it for `aioss verify`, and start a new "
              "ledger in another directory"};
}

class Recovery {
 public:
  Recovery(os::FileSystem& fs, const RecoveryOptions& options, HistoryIndex& index)
      : fs_(fs), options_(options), directory_(options.directory), index_(index) {}

  Result<Recovered> run() {
    AIOSS_CHECK(remove_stale());
    AIOSS_CHECK(list_quarantine());
    AIOSS_TRY(const Note note, read_note());
    WalkOptions walking{directory_, note.checkpoint.size, nullptr, nullptr};
    walking.visit = [this](const Record& record) {
      forget_recorded(record);
      leftovers_.see(record);
      if (options_.visit && options_.wants(record.type)) options_.visit(record);
      return true;
    };
    walking.located = [this](const RecordPlace& place) { index_.add(place); };
    walking.wants = [this](std::uint64_t, RecordType type) {
      return type == RecordType::kRecovery || Leftovers::wants(type) ||
             (options_.wants && options_.wants(type));
    };
    AIOSS_TRY(WalkResult walked, walk(fs_, walking));
    AIOSS_CHECK(judge(walked, note));
    Recovered out;
    for (const Quarantined& piece : unrecorded_) {
      out.recovery_bodies.push_back(recovery_body(piece, "interrupted_recovery"));
    }
    out.origin = *walked.state.origin;
    out.epochs = walked.state.epochs;
    out.last_wall_ns = walked.state.last_wall_ns;
    out.leftovers = std::move(leftovers_);
    if (walked.damage == Damage::kTornTail) AIOSS_CHECK(cut(walked, out));
    AIOSS_CHECK(make_durable(walked.state));
    protect_sealed(walked.state);
    SegmentState& segment = walked.state.segment;
    out.needs_segment = segment.sealed;
    out.position = {segment.header.ledger_id, walked.state.next_index,
                    walked.state.chain,       std::move(walked.state.tree),
                    std::move(segment),       std::move(walked.state.open_requests)};
    return out;
  }

 private:
  std::string path(std::string_view folder, std::string_view file) const {
    return directory_ + '/' + std::string(folder) + '/' + std::string(file);
  }

  // A crash may leave a file that had not got its name yet. Nothing was promised on the strength of
  // it.
  Status remove_stale() {
    AIOSS_TRY(const auto names, fs_.list(directory_ + '/' + std::string(kSegmentFolder)));
    for (const std::string& name : names) {
      if (name.ends_with(kTemporarySuffix)) AIOSS_CHECK(fs_.remove(path(kSegmentFolder, name)));
    }
    return os::remove_if_there(
        fs_, directory_ + '/' + std::string(kCheckpointFile) + std::string(kTemporarySuffix));
  }

  Status list_quarantine() {
    auto names = fs_.list(directory_ + '/' + std::string(kQuarantineFolder));
    if (!names) {
      if (names.error().code == Code::kNotFound) return ok();
      return std::move(names).error();
    }
    for (const std::string& name : *names) {
      auto piece = parse_quarantine_name(name);
      if (!piece) continue;
      AIOSS_TRY(const os::FileInfo about, fs_.info(path(kQuarantineFolder, name)));
      piece->bytes = about.size;
      unrecorded_.push_back(*piece);
    }
    return ok();
  }

  // Leaves in unrecorded_ what an earlier recovery put aside without living to record it.
  void forget_recorded(const Record& record) {
    if (record.type != RecordType::kRecovery) return;
    std::erase_if(unrecorded_, [&](const Quarantined& piece) { return is_of(record.body, piece); });
  }

  Result<Note> read_note() {
    auto note = read_checkpoint(fs_, directory_);
    if (note) return note;
    if (note.error().code == Code::kNotFound) return refused("its checkpoint is missing");
    return refused(note.error().message);
  }

  Status judge(const WalkResult& walked, const Note& note) {
    const WalkState& state = walked.state;
    const std::string place = " (record " + std::to_string(state.next_index) + ", " + walked.file +
                              " at byte " + std::to_string(walked.offset) + ")";
    if (walked.damage == Damage::kWrong) return refused(walked.problem + place);
    if (walked.damage == Damage::kUnknownVersion || state.first_unknown_type) {
      return Error{Code::kUnsupported,
                   "the ledger was written by a later version of aioss; start that version"};
    }
    const Checkpoint& checkpoint = note.checkpoint;
    if (state.next_index < checkpoint.size || !state.origin) {
      return refused("its checkpoint covers " + std::to_string(checkpoint.size) +
                     " records, and only " + std::to_string(state.next_index) + " are there");
    }
    const auto& own = options_.own_keys;
    if (std::find(own.begin(), own.end(), state.epochs.newest()) == own.end()) {
      return refused("keys/signing.key is not the key that is in force in it");
    }
    if (!signed_by(note, {*state.origin, state.epochs.in_force(checkpoint.size)})) {
      return refused("its checkpoint is not signed by its key");
    }
    if (!walked.root_at || *walked.root_at != checkpoint.root) {
      return refused("its checkpoint was signed over other records");
    }
    if (!state.uncovered.empty()) {
      return refused("a segment was pruned, and no RETENTION_DROP says so");
    }
    return ok();
  }

  // Puts aside everything from the first bad byte on and makes the walk's state that of what is
  // left.
  Status cut(WalkResult& walked, Recovered& out) {
    SegmentState& segment = walked.state.segment;
    const bool whole = segment.records == 0;  // not even its first record is good
    const std::string file = path(kSegmentFolder, walked.file);
    Quarantined piece;
    piece.segment =
        whole ? walked.state.previous.header.segment_number + 1 : segment.header.segment_number;
    piece.offset = whole ? 0 : walked.offset;
    AIOSS_CHECK(set_aside(file, piece));
    std::erase_if(out.recovery_bodies, [&](const codec::Map& body) {
      return is_of(body, piece);  // put aside before a crash
    });
    out.recovery_bodies.push_back(recovery_body(piece, whole ? "torn_segment" : "torn_tail"));
    if (whole) {
      AIOSS_CHECK(fs_.remove(file));
      segment = std::exchange(walked.state.previous, SegmentState{});
      return fs_.sync_directory(directory_ + '/' + std::string(kSegmentFolder));
    }
    AIOSS_TRY(const auto opened, fs_.open(file, os::OpenMode::kReadWrite));
    AIOSS_CHECK(opened->truncate(piece.offset));
    return opened->sync_all();
  }

  // Copies from piece.offset to the end of the file, durably, and completes `piece`.
  Status set_aside(const std::string& file, Quarantined& piece) {
    const std::string folder = directory_ + '/' + std::string(kQuarantineFolder);
    AIOSS_CHECK(fs_.make_directories(folder));
    AIOSS_TRY(const auto from, fs_.open(file, os::OpenMode::kRead));
    const std::string temporary = folder + "/copy.tmp";
    // Left by a crash in the middle of this; read-only, so it cannot be opened again, only removed.
    AIOSS_CHECK(os::remove_if_there(fs_, temporary));
    AIOSS_TRY(const auto to, fs_.open(temporary, os::OpenMode::kCreateNew, 0440));
    crypto::Hasher hasher(crypto::HashAlgorithm::kSha3_256);
    Bytes block(kKeptBlockBytes);
    for (;;) {
      AIOSS_TRY(const std::size_t got, from->read_at(piece.offset + piece.bytes, block));
      if (got == 0) break;
      const ByteView part = ByteView(block).first(got);
      hasher.update(part);
      AIOSS_TRY(const std::size_t put, to->write_at(piece.bytes, part));
      if (put != got) return Error{Code::kIo, "cannot keep the torn end: the disk is full"};
      piece.bytes += got;
    }
    piece.hash = hasher.finish();
    AIOSS_CHECK(to->sync_all());
    AIOSS_CHECK(fs_.rename(temporary, folder + '/' + quarantine_name(piece)));
    AIOSS_CHECK(fs_.sync_directory(folder));
    return fs_.sync_directory(directory_);
  }

  // A process that was killed, or whose sync failed, leaves bytes and names that only the page
  // cache holds. They were read as good: they must be durable before anything stands on them.
  Status make_durable(const WalkState& state) {
    const SegmentState& segment = state.segment;
    const std::string file = path(kSegmentFolder, segment.file);
    // Read-only already, if an earlier start did not live to begin the next segment.
    if (segment.sealed) AIOSS_CHECK(fs_.set_permissions(file, kLivePermissions));
    AIOSS_CHECK(rewrite_last_group(fs_, file, segment, state.chain));
    AIOSS_CHECK(fs_.sync_directory(directory_ + '/' + std::string(kSegmentFolder)));
    return fs_.sync_directory(directory_);
  }

  // A crash may have come between the seal and the change of mode.
  void protect_sealed(const WalkState& state) {
    for (const SegmentState* segment : {&state.previous, &state.segment}) {
      // Without a name there is no such segment, and the path would be that of seg/ itself.
      if (!segment->sealed || segment->file.empty()) continue;
      (void)fs_.set_permissions(path(kSegmentFolder, segment->file), kSealedPermissions);
    }
  }

  os::FileSystem& fs_;
  const RecoveryOptions& options_;
  const std::string& directory_;
  HistoryIndex& index_;
  std::vector<Quarantined> unrecorded_;
  Leftovers leftovers_;
};

}  // namespace

Result<Recovered> recover(os::FileSystem& fs, const RecoveryOptions& options, HistoryIndex& index) {
  return Recovery(fs, options, index).run();
}

}  // namespace aioss::ledger
