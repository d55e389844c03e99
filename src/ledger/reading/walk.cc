#include "ledger/reading/walk.h"

#include <algorithm>
#include <utility>

#include "codec/cbor_view.h"
#include "ledger/format/frame_batch.h"
#include "ledger/format/pruned.h"
#include "ledger/reading/segment_reader.h"

namespace aioss::ledger {
namespace {

constexpr std::uint64_t kProgressBytes = 8ULL << 20;
// Leaves that wait to enter the tree together: the more, the fuller the lanes that hash its nodes.
constexpr std::size_t kWaitingLeavesMax = 1'024;

// A rule that was broken, and how badly. Nothing: all is well.
struct Finding {
  Damage damage = Damage::kNone;
  std::string_view problem;
  explicit operator bool() const { return damage != Damage::kNone; }
};
constexpr Finding kGood{};
Finding wrong(std::string_view problem) {
  return {Damage::kWrong, problem};
}
constexpr std::string_view kBytesFollowSeal = "bytes follow the segment's seal";
constexpr std::string_view kNotCanonical = "the record's body is not canonical CBOR";

// Of a segment file, pruned or not.
std::optional<std::uint64_t> first_index_of(std::string_view file) {
  const auto index = parse_segment_file_name(file);
  return index ? index : parse_pruned_file_name(file);
}

class Walker {
 public:
  Walker(os::FileSystem& fs, const WalkOptions& options)
      : fs_(fs),
        options_(options),
        folder_(options.directory + '/' + std::string(kSegmentFolder)) {}

  Result<WalkResult> run() {
    AIOSS_TRY(const auto files, segment_files());
    AIOSS_CHECK(measure(files));
    note_roots();  // over no records, too
    for (std::size_t i = 0; i < files.size(); ++i) {
      AIOSS_CHECK(read_segment(files[i], i + 1 == files.size()));
      if (ended()) break;
    }
    (void)tree();
    return std::move(result_);
  }

 private:
  WalkState& state() { return result_.state; }
  bool ended() const { return result_.damage != Damage::kNone || result_.stopped; }

  // Over all records counted so far. Leaves are put into it many at a time: whoever needs its root
  // or its frontier gets it here and not from the state.
  const MerkleTree& tree() {
    state().tree.add(waiting_leaves_);
    waiting_leaves_.clear();
    return state().tree;
  }

  Result<std::vector<std::string>> segment_files() {
    auto names = fs_.list(folder_);
    if (!names) return std::move(names).error();
    std::vector<std::string> files;
    for (std::string& name : *names) {
      const auto index = first_index_of(name);
      // A crash may leave a segment beside what it was pruned to; then the segment counts.
      const bool again = index && !files.empty() && first_index_of(files.back()) == index;
      if (index && !again) files.push_back(std::move(name));
    }
    if (files.empty()) {
      return Error{Code::kNotFound, "there is no ledger here; make one with `aioss ledger init`"};
    }
    return files;  // sorted by name, and so by index
  }

  Status measure(const std::vector<std::string>& files) {
    if (!options_.progress) return ok();
    for (const std::string& file : files) {
      AIOSS_TRY(const os::FileInfo about, fs_.info(folder_ + '/' + file));
      bytes_in_all_ += about.size;
    }
    return ok();
  }

  Status read_segment(const std::string& name, bool last) {
    state().previous = std::exchange(state().segment, SegmentState{});
    state().segment.file = name;
    state().segment.pruned = parse_pruned_file_name(name).has_value();
    AIOSS_TRY(const auto file, fs_.open(folder_ + '/' + name, os::OpenMode::kRead));
    AIOSS_TRY(const os::FileInfo about, file->info());
    SegmentReader reader(*file, about.size);
    AIOSS_TRY(const ByteView window, reader.window());
    const ParsedHeader parsed = parse_header(window);
    if (parsed.form != Form::kGood) {
      return damaged(form_finding(parsed.form, parsed.problem), reader, last);
    }
    state().segment.header = parsed.header;
    ++state().segments;
    if (const Finding finding = check_header(parsed.header, state().previous)) {
      return damaged(finding, reader, last);
    }
    state().segment.bytes = kSegmentHeaderBytes;
    state().bytes += kSegmentHeaderBytes;
    reader.advance(kSegmentHeaderBytes);
    AIOSS_CHECK(read_records(reader, last));
    if (ended()) return ok();
    return check_end(reader, last);
  }

  Status read_records(SegmentReader& reader, bool last) {
    while (reader.offset() < reader.end() && !ended()) {
      AIOSS_TRY(const ByteView window, reader.window());
      if (state().segment.pruned && begins_with_leaves(window)) {
        const ParsedLeaves parsed = parse_leaves(window);
        Finding finding = form_finding(parsed.form, parsed.problem);
        if (!finding) finding = take_leaves(parsed.leaves, reader.offset());
        if (finding) return damaged(finding, reader, last);
        consume(parsed.leaves.bytes, reader);
        continue;
      }
      batch_.read(window, ledger_id_, state().chain, options_.frames_at_once);
      if (batch_.items().empty()) {
        const ParsedFrame& refused = batch_.refused();
        Finding finding = form_finding(refused.form, refused.problem);
        if (state().segment.sealed) finding = wrong(kBytesFollowSeal);
        return damaged(finding, reader, last);
      }
      AIOSS_CHECK(take_batch(reader, last));
    }
    return ok();
  }

  Status take_batch(SegmentReader& reader, bool last) {
    for (const FrameBatch::Item& item : batch_.items()) {
      const Finding finding = state().segment.sealed ? wrong(kBytesFollowSeal) : take(item);
      if (finding) return damaged(finding, reader, last);
      if (options_.located) options_.located(place_at(reader.offset()));
      consume(item.frame.bytes, reader);
      if (wanted(record_) && !options_.visit(record_)) {
        result_.stopped = true;
        return ok();
      }
    }
    return ok();
  }

  void consume(std::size_t bytes, SegmentReader& reader) {
    reader.advance(bytes);
    state().segment.bytes += bytes;
    state().bytes += bytes;
    report_progress();
  }

  RecordPlace place_at(std::uint64_t offset) const {
    RecordPlace place{record_.index, record_.type, record_.leaf,
                      result_.state.segment.header.first_index, offset};
    if (record_.type == RecordType::kInferAbort && !view_.has(key::kRequestId)) {
      place.ends_request = view_.get_uint(key::kRefIndex);
    }
    return place;
  }

  Status check_end(SegmentReader& reader, bool last) {
    if (state().segment.pruned) return check_pruned_end(reader, last);
    if (!last && !state().segment.sealed) {
      return damaged(wrong("the segment has no seal, and another follows it"), reader, last);
    }
    // A segment gets its name after its first record was synced; so this, too, is a lost write.
    if (state().segment.records == 0) {
      return damaged({Damage::kTornTail, "the segment has no record"}, reader, last);
    }
    return ok();
  }

  Status check_pruned_end(SegmentReader& reader, bool last) {
    if (!state().segment.sealed) {
      return damaged(wrong("the pruned segment has no seal"), reader, last);
    }
    ++state().pruned_segments;
    state().uncovered.push_back({state().segment.header.first_index, state().next_index});
    return ok();
  }

  static Finding form_finding(Form form, std::string_view problem) {
    switch (form) {
      case Form::kGood:
        return kGood;
      case Form::kDamaged:
        return {Damage::kTornTail, problem};
      case Form::kUnknownVersion:
        return {Damage::kUnknownVersion, problem};
      case Form::kWrong:
        break;
    }
    return wrong(problem);
  }

  // Records where the walk ends and why. What looks like a torn write is one only at the end of the
  // last segment, and only if nothing that was written after a later sync stands behind it.
  Status damaged(Finding finding, SegmentReader& reader, bool last) {
    result_.offset = reader.offset();
    result_.tail_bytes = reader.end() - reader.offset();
    result_.file = state().segment.file;
    result_.problem = std::string(finding.problem);
    result_.damage = finding.damage;
    if (finding.damage != Damage::kTornTail) return ok();
    if (state().segment.pruned) {  // got its name when it was whole and on the disk
      result_.damage = Damage::kWrong;
      return ok();
    }
    bool follows = !last;
    if (last && reader.offset() < reader.end()) {
      reader.advance(1);
      AIOSS_TRY(follows, later_group_follows(reader, state().next_index));
    }
    if (follows) {
      result_.damage = Damage::kWrong;
      result_.problem += ", and good records follow it";
    }
    return ok();
  }

  Finding check_header(const SegmentHeader& header, const SegmentState& previous) {
    const bool first = state().next_index == 0;
    if (header.first_index != state().next_index ||
        first_index_of(state().segment.file) != header.first_index) {
      return wrong("the segment does not begin where the one before it ended");
    }
    if (header.segment_number != state().segments - 1) {
      return wrong("a segment is missing or repeated");
    }
    if (first) {
      ledger_id_ = header.ledger_id;
      state().chain = header.previous_chain;  // proven by GENESIS
      if (header.previous_segment == Digest{}) return kGood;
      return wrong("the first segment names one before it");
    }
    if (header.ledger_id != ledger_id_) return wrong("the segment belongs to another ledger");
    if (header.previous_chain != state().chain) {
      return wrong("the chain breaks between two segments");
    }
    if (header.previous_segment != segment_link(previous.header, state().chain, previous.records)) {
      return wrong("the segment does not follow the one before it");
    }
    return kGood;
  }

  Finding take(const FrameBatch::Item& item) {
    const Frame& frame = item.frame;
    if (frame.index != state().next_index) {
      return wrong("a record is missing, repeated or out of order");
    }
    if (item.chain != frame.chain) return wrong("the record does not match the chain");
    const auto view = codec::MapView::check(frame.body);
    if (!view) return wrong(kNotCanonical);
    view_ = *view;
    record_ = {frame.index, static_cast<RecordType>(frame.type), frame.flags, item.leaf, item.chain,
               {}};
    if (has_rules(record_.type) || wanted(record_)) {
      auto body = codec::decode_map(frame.body);
      if (!body) return wrong(kNotCanonical);
      record_.body = std::move(*body);
    }
    if (const Finding finding = check_meaning()) return finding;
    if ((frame.flags & kFlagGroupFirst) != 0) {
      state().segment.last_group = {state().segment.bytes, frame.index, state().chain};
    }
    count(item.leaf, item.chain);
    return kGood;
  }

  // Records of which only the leaves are left.
  Finding take_leaves(const Leaves& leaves, std::uint64_t offset) {
    constexpr std::uint64_t kGenesisIndex = 1;
    if (state().segment.sealed) return wrong(kBytesFollowSeal);
    if (leaves.first_index != state().next_index) {
      return wrong("a record is missing, repeated or out of order");
    }
    if (state().segment.records == 0 || leaves.first_index <= kGenesisIndex) {
      return wrong("a record that stays readable was pruned");
    }
    for (std::size_t i = 0; i < leaves.count; ++i) {
      const Digest leaf = leaves.at(i);
      if (options_.located) {
        const std::uint64_t segment = state().segment.header.first_index;
        options_.located({state().next_index, {}, leaf, segment, offset});
      }
      count(leaf, hasher_.chain(state().chain, leaf));
    }
    state().pruned_records += leaves.count;
    return kGood;
  }

  // One record more has been found good.
  void count(const Digest& leaf, const Digest& chain) {
    state().chain = chain;
    waiting_leaves_.push_back(leaf);
    ++state().next_index;
    ++state().segment.records;
    if (waiting_leaves_.size() == kWaitingLeavesMax) (void)tree();
    note_roots();
  }

  void note_roots() {
    if (options_.root_size == state().next_index) result_.root_at = tree().root(hasher_);
    if (options_.more_root_sizes.contains(state().next_index)) {
      result_.roots[state().next_index] = tree().root(hasher_);
    }
  }

  bool wanted(const Record& record) const {
    return options_.visit && (!options_.wants || options_.wants(record.index, record.type));
  }

  // The types whose bodies check_meaning() looks into; it sees the others through view_ alone.
  static bool has_rules(RecordType type) {
    return type == RecordType::kGenesis || type == RecordType::kSegmentOpen ||
           type == RecordType::kSegmentSeal || type == RecordType::kKeyRotate ||
           type == RecordType::kRetentionDrop;
  }

  // The rules about which record stands where. They hold before the record is counted.
  Finding check_meaning() {
    if (const Finding finding = check_common()) return finding;
    const RecordType type = record_.type;
    if (state().segment.pruned && !survives_pruning(type)) {
      return wrong("the pruned segment holds a record that should be gone");
    }
    if ((type == RecordType::kSegmentOpen) != (state().segment.records == 0)) {
      return wrong("SEGMENT_OPEN is not exactly the first record of the segment");
    }
    if ((type == RecordType::kGenesis) != (record_.index == 1)) {
      return wrong("GENESIS is not exactly record 1");
    }
    if ((record_.flags & kFlagGroupFirst) == 0 && type == RecordType::kSegmentOpen) {
      return wrong("SEGMENT_OPEN does not begin a commit group");
    }
    switch (type) {
      case RecordType::kGenesis:
        return check_genesis();
      case RecordType::kSegmentOpen:
        return check_open();
      case RecordType::kSegmentSeal:
        return check_seal();
      case RecordType::kKeyRotate:
        return check_rotation();
      case RecordType::kInferRequest:
        note_request();
        break;
      case RecordType::kInferResult:
      case RecordType::kInferAbort:
        note_end();
        break;
      case RecordType::kRetentionDrop:
        note_drop();
        break;
      default:
        note_other();
        break;
    }
    return kGood;
  }

  Finding check_common() {
    const auto wall = view_.get_int(key::kWallNs);
    const auto instance = view_.get_bytes(key::kInstanceId);
    if (!wall || *wall < 0 || !view_.get_uint(key::kMonotonicNs) || !instance ||
        instance->size() != sizeof(LedgerId)) {
      return wrong("the record lacks what every record has");
    }
    if (record_.index == 0) state().first_wall_ns = *wall;
    state().last_wall_ns = *wall;
    return kGood;
  }

  Finding check_genesis() {
    const auto origin = record_.body.get_text(key::genesis::kOrigin, "origin");
    const auto public_key = record_.body.get_digest(key::genesis::kPublicKey, "public key");
    if (!origin || !public_key) return wrong("GENESIS lacks its name or its key");
    if (genesis_hash(ledger_id_, *origin, *public_key) != state().segment.header.previous_chain) {
      return wrong("the chain does not begin with this GENESIS");
    }
    state().origin = *origin;
    state().public_key = *public_key;
    state().epochs = KeyEpochs(ledger_id_, *public_key);
    return kGood;
  }

  // GENESIS was read: nothing but a SEGMENT_OPEN stands before it.
  Finding check_rotation() {
    const auto rotation = parse_rotation(record_.index, record_.body);
    if (!rotation) return wrong("KEY_ROTATE lacks a key, a signature or its root");
    if (rotation->root_before != tree().root(hasher_)) {
      return wrong("KEY_ROTATE was signed over other records");
    }
    if (const Status added = state().epochs.add(*rotation); !added) {
      rotation_problem_ = added.error().message;
      return wrong(rotation_problem_);
    }
    return kGood;
  }

  Finding check_open() {
    const auto hash = record_.body.get_digest(key::segment_open::kHeaderHash, "header hash");
    if (!hash || *hash != crypto::sha3_256(encode(state().segment.header))) {
      return wrong("the segment's header was changed");
    }
    return kGood;
  }

  Finding check_seal() {
    namespace seal = key::segment_seal;
    const codec::Map& body = record_.body;
    const auto is = [&body](std::uint64_t key, std::uint64_t value) {
      const auto found = body.get_uint(key, "");
      return found && *found == value;
    };
    Bytes frontier;
    for (const Digest& digest : tree().frontier()) {
      frontier.insert(frontier.end(), digest.begin(), digest.end());
    }
    const auto root = body.get_digest(seal::kRoot, "root");
    const auto sealed_frontier = body.get_bytes(seal::kFrontier, "frontier");
    // What its file had before it was pruned is known to its chain alone.
    const bool fits = state().segment.pruned || is(seal::kFileBytes, state().segment.bytes);
    if (!fits || !is(seal::kSegmentRecords, state().segment.records) ||
        !is(seal::kTreeSize, record_.index) || !root || *root != tree().root(hasher_) ||
        !sealed_frontier || *sealed_frontier != frontier) {
      return wrong("the seal does not describe its segment");
    }
    state().segment.sealed = true;
    return kGood;
  }

  void note_request() {
    if (state().open_requests.size() < kOpenRequestsMax) {
      state().open_requests.insert(record_.index);
    } else {
      ++state().untracked_requests;
    }
  }

  void note_end() {
    const auto request = view_.get_uint(key::kRefIndex);
    if (!request || state().open_requests.erase(*request) > 0) return;
    if (state().untracked_requests > 0) --state().untracked_requests;
  }

  // Behind the checkpoint anyone who can write to the disk can add a record.
  void note_drop() {
    if (!options_.root_size || record_.index >= *options_.root_size) return;
    const auto range = dropped_range(record_.index, record_.body);
    if (!range) return;
    std::erase_if(state().uncovered, [&](const DroppedRange& pruned) {
      return range->first <= pruned.first && pruned.after <= range->after;
    });
  }

  void note_other() {
    const auto type = static_cast<std::uint16_t>(record_.type);
    if (type < kFirstPrivateType && !name(record_.type) && !state().first_unknown_type) {
      state().first_unknown_type = record_.index;
    }
  }

  void report_progress() {
    if (!options_.progress || state().bytes - reported_ < kProgressBytes) return;
    reported_ = state().bytes;
    options_.progress(state().bytes, std::max(bytes_in_all_, state().bytes));
  }

  os::FileSystem& fs_;
  const WalkOptions& options_;
  const std::string folder_;
  ChainHasher hasher_;
  LedgerId ledger_id_{};
  FrameBatch batch_;
  Record record_;        // the one being looked at; its body only if a rule or the visitor needs it
  codec::MapView view_;  // of its body
  std::string rotation_problem_;
  std::vector<Digest> waiting_leaves_;  // counted, and not yet in state().tree
  WalkResult result_;
  std::uint64_t bytes_in_all_ = 0;
  std::uint64_t reported_ = 0;
};

}  // namespace

Result<WalkResult> walk(os::FileSystem& fs, const WalkOptions& options) {
  return Walker(fs, options).run();
}

}  // namespace aioss::ledger
