#include "ledger/reading/history.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "ledger/format/pruned.h"
#include "ledger/reading/backward_search.h"
#include "ledger/reading/segment_reader.h"
#include "ledger/reading/walk.h"

namespace aioss::ledger {
namespace {

// Records that hold a request's id without being of it: parts, reviews, and frames that only look
// like it. A person who reviews an answer writes a handful.
constexpr std::size_t kOtherHitsMax = 4'096;

Error changed() {
  return {Code::kCorrupt,
          "the ledger on the disk is no longer what was written to it; stop aioss and run 'aioss "
          "verify'"};
}

Error not_found() {
  return {Code::kNotFound, "the ledger has no record of that request"};
}

bool is_end(RecordType type) {
  return type == RecordType::kInferResult || type == RecordType::kInferAbort;
}

bool is_of(const Record& record, std::string_view request_id) {
  const codec::Value* const id = record.body.find(key::kRequestId);
  const std::string* const text = id == nullptr ? nullptr : id->if_text();
  return text != nullptr && *text == request_id;
}

// Key 5 and its value, as a body holds them.
Bytes pattern_of(std::string_view request_id) {
  Bytes pattern;
  codec::encode_to(codec::Value::uint(key::kRequestId), pattern);
  codec::encode_to(codec::Value::text(request_id), pattern);
  return pattern;
}

}  // namespace

std::string History::path_of(std::uint64_t segment_first) const {
  return directory_ + '/' + std::string(kSegmentFolder) + '/' + segment_file_name(segment_first);
}

struct History::Segment {
  std::unique_ptr<os::File> file;
  std::uint64_t size = 0;
  std::uint64_t offset = 0;  // of the record `next`
  std::uint64_t next = 0;
};

// A segment may have been pruned since its records got their places: then it is read from its
// beginning.
Result<History::Segment> History::open_segment(const HistoryIndex::Start& start) const {
  Segment segment;
  auto whole = fs_.open(path_of(start.segment_first), os::OpenMode::kRead);
  if (whole) {
    segment.file = std::move(*whole);
    segment.offset = start.offset;
    segment.next = start.index;
  } else if (whole.error().code == Code::kNotFound) {
    const std::string path = directory_ + '/' + std::string(kSegmentFolder) + '/' +
                             pruned_file_name(start.segment_first);
    AIOSS_TRY(segment.file, fs_.open(path, os::OpenMode::kRead));
    segment.offset = kSegmentHeaderBytes;
    segment.next = start.segment_first;
  } else {
    return std::move(whole).error();
  }
  AIOSS_TRY(const os::FileInfo about, segment.file->info());
  segment.size = about.size;
  if (segment.size < segment.offset) return changed();
  return segment;
}

Status History::scan(HistoryIndex::Start start, std::uint64_t end, const Visit& visit,
                     const VisitLeaf& pruned) const {
  const std::uint64_t first = start.index;
  for (std::uint64_t next = first; next < end;) {
    AIOSS_TRY(const Segment segment, open_segment(start));
    next = segment.next;
    const std::uint64_t after = index_.segment_after(start.segment_first).value_or(end);
    SegmentReader reader(*segment.file, segment.size, segment.offset);
    while (next < std::min(end, after)) {
      AIOSS_TRY(const ByteView window, reader.window());
      if (begins_with_leaves(window)) {
        const ParsedLeaves run = parse_leaves(window);
        if (run.form != Form::kGood || run.leaves.first_index != next) return changed();
        for (std::size_t i = 0; i < run.leaves.count; ++i, ++next) {
          if (next >= first && next < end) pruned(next, run.leaves.at(i));
        }
        reader.advance(run.leaves.bytes);
        continue;
      }
      const ParsedFrame parsed = parse_frame(window);
      if (parsed.form != Form::kGood || parsed.frame.index != next) return changed();
      const bool wanted = next >= first;
      if (wanted && !visit(parsed.frame, window.first(parsed.frame.bytes), reader.offset())) {
        return ok();
      }
      reader.advance(parsed.frame.bytes);
      ++next;
    }
    start = {after, after, kSegmentHeaderBytes};
    next = std::max(next, after);
  }
  return ok();
}

Result<StoredRecord> History::stored(const Frame& frame, ByteView bytes) const {
  auto body = codec::decode_map(frame.body);
  if (!body) return changed();
  ChainHasher hasher;
  StoredRecord out;
  out.frame.assign(bytes.begin(), bytes.end());
  out.record = {frame.index, static_cast<RecordType>(frame.type),
                frame.flags, hasher.leaf(ledger_id_, frame),
                frame.chain, std::move(*body)};
  return out;
}

Result<StoredRecord> History::record(std::uint64_t index) const {
  if (index >= size()) {
    return Error{Code::kNotFound, "the ledger has no record " + std::to_string(index)};
  }
  const HistoryIndex::Start start = index_.block_start(index / HistoryIndex::kBlockRecords);
  std::optional<Result<StoredRecord>> found;
  const auto take = [&](const Frame& frame, ByteView bytes, std::uint64_t) {
    if (frame.index == index) found = stored(frame, bytes);
    return true;
  };
  AIOSS_CHECK(scan(start, index + 1, take, [](std::uint64_t, const Digest&) {}));
  if (found) return std::move(*found);
  return Error{Code::kNotFound, "the content of record " + std::to_string(index) +
                                    " was dropped at the end of its retention"};
}

Result<std::vector<Digest>> History::leaves_of(std::uint64_t block) const {
  const std::uint64_t first = block * HistoryIndex::kBlockRecords;
  const std::uint64_t end = std::min(first + HistoryIndex::kBlockRecords, size());
  std::vector<Digest> leaves;
  ChainHasher hasher;
  const auto take = [&](const Frame& frame, ByteView, std::uint64_t) {
    leaves.push_back(hasher.leaf(ledger_id_, frame));
    return true;
  };
  const auto take_leaf = [&](std::uint64_t, const Digest& leaf) { leaves.push_back(leaf); };
  AIOSS_CHECK(scan(index_.block_start(block), end, take, take_leaf));
  return leaves;
}

Result<Digest> History::Tree::subtree(unsigned level, std::uint64_t first) {
  if (level >= HistoryIndex::kBlockLevel) return history_.index_.subtree(level, first);
  const std::uint64_t block = first / HistoryIndex::kBlockRecords;
  const std::uint64_t begin = first % HistoryIndex::kBlockRecords;
  const std::uint64_t count = std::uint64_t{1} << level;
  auto known = leaves_.find(block);
  // A proof about a smaller size may have been made when the block was not yet as full.
  if (known == leaves_.end() || known->second.size() < begin + count) {
    AIOSS_TRY(auto leaves, history_.leaves_of(block));
    known = leaves_.insert_or_assign(block, std::move(leaves)).first;
  }
  ASSERT(begin + count <= known->second.size());
  MerkleTree tree;
  ChainHasher hasher;
  for (std::uint64_t i = begin; i < begin + count; ++i) tree.add(known->second[i], hasher);
  return tree.root(hasher);
}

// The record whose frame holds that byte; nothing if it is not one of the first `size`.
Result<std::optional<StoredRecord>> History::record_at(std::uint64_t segment_first,
                                                       std::uint64_t offset,
                                                       std::uint64_t size) const {
  std::optional<Result<StoredRecord>> found;
  const auto take = [&](const Frame& frame, ByteView bytes, std::uint64_t begin) {
    if (begin > offset) return false;
    if (offset - begin >= bytes.size()) return true;
    found = stored(frame, bytes);
    return false;
  };
  const std::uint64_t end = std::min(size, index_.segment_after(segment_first).value_or(size));
  AIOSS_CHECK(scan(index_.start_before(segment_first, offset), end, take,
                   [](std::uint64_t, const Digest&) {}));
  if (!found) return std::optional<StoredRecord>();
  AIOSS_TRY(StoredRecord one, std::move(*found));
  return std::optional<StoredRecord>(std::move(one));
}

// `newest` is a request, or the end of one: both, then.
Result<RequestRecords> History::records_around(StoredRecord newest) const {
  RequestRecords out;
  if (!is_end(newest.record.type)) {
    if (const auto abort = index_.crash_abort_of(newest.record.index)) {
      AIOSS_TRY(out.end, record(*abort));
    }
    out.request = std::move(newest);
    return out;
  }
  if (const auto request = newest.record.body.get_uint(key::kRefIndex, "request")) {
    AIOSS_TRY(out.request, record(*request));
    if (out.request->record.type != RecordType::kInferRequest) return changed();
  }
  out.end = std::move(newest);
  return out;
}

Result<RequestRecords> History::find_request(std::string_view request_id,
                                             std::uint64_t bytes_max) const {
  const std::uint64_t durable = size();
  const Bytes pattern = pattern_of(request_id);
  std::vector<std::uint64_t> segments = index_.segments();
  std::size_t others = 0;
  for (auto first = segments.rbegin(); first != segments.rend() && bytes_max > 0; ++first) {
    auto opened = fs_.open(path_of(*first), os::OpenMode::kRead);
    if (!opened && opened.error().code == Code::kNotFound) continue;  // pruned
    if (!opened) return std::move(opened).error();
    const std::unique_ptr<os::File> file = std::move(*opened);
    AIOSS_TRY(const os::FileInfo about, file->info());
    BackwardSearch search(*file, about.size, pattern);
    for (;;) {
      AIOSS_TRY(const auto hit, search.next(bytes_max));
      if (!hit) break;
      AIOSS_TRY(auto found, record_at(*first, *hit, durable));
      if (!found || !is_of(found->record, request_id)) {
        if (++others > kOtherHitsMax) return not_found();
        continue;
      }
      const RecordType type = found->record.type;
      if (is_end(type) || type == RecordType::kInferRequest) {
        return records_around(std::move(*found));
      }
    }
    bytes_max -= std::min(bytes_max, search.searched());
  }
  return not_found();
}

Result<std::vector<Bytes>> History::rotations(std::uint64_t size) const {
  std::vector<Bytes> frames;
  for (const std::uint64_t index : index_.rotations()) {
    if (index >= size) break;
    AIOSS_TRY(StoredRecord one, record(index));
    frames.push_back(std::move(one.frame));
  }
  return frames;
}

}  // namespace aioss::ledger
