#include "ledger/reading/follow.h"

#include <algorithm>
#include <utility>

#include "ledger/format/pruned.h"
#include "ledger/reading/segment_reader.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kOutOfOrder = "a record is missing, repeated or out of order";

}  // namespace

Follower::Follower(os::FileSystem& fs, const std::string& directory, std::uint64_t next)
    : fs_(fs), folder_(directory + '/' + std::string(kSegmentFolder)), next_(next) {}

Result<bool> Follower::read(const Visit& visit) {
  for (;;) {
    if (file_.empty() || sealed_) {
      AIOSS_TRY(const bool found, find_segment());
      if (!found) return true;
    }
    AIOSS_TRY(const bool more, read_segment(visit));
    if (!more) return false;
    if (!sealed_) return true;
  }
}

// The newest segment that may hold the next record. False: it is the one that was read to its end,
// and the one behind it is not there yet.
Result<bool> Follower::find_segment() {
  auto names = fs_.list(folder_);
  if (!names) return std::move(names).error();
  const std::string* newest = nullptr;
  std::uint64_t newest_first = 0;
  for (const std::string& name : *names) {  // sorted, and so by index
    const auto whole = parse_segment_file_name(name);
    const auto first = whole ? whole : parse_pruned_file_name(name);
    if (!first || *first > next_) continue;
    // Where a crash left a segment beside what it was pruned to, the segment counts.
    if (newest != nullptr && newest_first == *first) continue;
    newest = &name;
    newest_first = *first;
  }
  if (newest == nullptr) return Error{Code::kNotFound, "the ledger's segments are gone"};
  if (*newest == file_) return false;
  begin(*newest, newest_first);
  return true;
}

void Follower::begin(const std::string& file, std::uint64_t first_index) {
  const bool goes_on = sealed_ && first_index == index_;
  if (!goes_on) chain_.reset();
  file_ = file;
  sealed_ = false;
  offset_ = 0;
  index_ = first_index;
}

// From where the last call ended. False: the visitor said so.
Result<bool> Follower::read_segment(const Visit& visit) {
  auto file = fs_.open(folder_ + '/' + file_, os::OpenMode::kRead);
  if (!file && file.error().code == Code::kNotFound) {  // pruned; the next round finds what is left
    file_.clear();
    return true;
  }
  if (!file) return std::move(file).error();
  AIOSS_TRY(const os::FileInfo about, (*file)->info());
  if (about.size == offset_) return true;
  if (about.size < offset_) {
    return doubt("what was read here is no longer there", about.size, false);
  }
  SegmentReader reader(**file, about.size, offset_);
  while (reader.offset() < reader.end() && !sealed_) {
    AIOSS_TRY(const ByteView window, reader.window());
    const Step step = take(window, visit);
    if (!step.problem.empty()) {
      reader.advance(1);
      AIOSS_TRY(const bool goes_on, later_group_follows(reader, index_));
      return doubt(step.problem, about.size, goes_on);
    }
    reader.advance(step.bytes);
    offset_ += step.bytes;
    next_ = std::max(next_, index_);
    if (!step.more) return false;
  }
  return true;
}

Follower::Step Follower::take(ByteView window, const Visit& visit) {
  if (offset_ == 0) return take_header(window);
  if (begins_with_leaves(window)) return take_leaves(window);
  return take_frame(window, visit);
}

Follower::Step Follower::take_header(ByteView window) {
  const ParsedHeader parsed = parse_header(window);
  if (parsed.form != Form::kGood) return {0, parsed.problem};
  if (parsed.header.first_index != index_) return {0, kOutOfOrder};
  if (chain_ && *chain_ != parsed.header.previous_chain) {
    return {0, "the chain breaks between two segments"};
  }
  chain_ = parsed.header.previous_chain;
  ledger_id_ = parsed.header.ledger_id;
  return {kSegmentHeaderBytes};
}

Follower::Step Follower::take_leaves(ByteView window) {
  const ParsedLeaves parsed = parse_leaves(window);
  if (parsed.form != Form::kGood) return {0, parsed.problem};
  if (parsed.leaves.first_index != index_) return {0, kOutOfOrder};
  for (std::size_t i = 0; i < parsed.leaves.count; ++i) {
    chain_ = hasher_.chain(*chain_, parsed.leaves.at(i));
  }
  index_ += parsed.leaves.count;
  return {parsed.leaves.bytes};
}

Follower::Step Follower::take_frame(ByteView window, const Visit& visit) {
  const ParsedFrame parsed = parse_frame(window);
  if (parsed.form != Form::kGood) return {0, parsed.problem};
  const Frame& frame = parsed.frame;
  if (frame.index != index_) return {0, kOutOfOrder};
  const Digest leaf = hasher_.leaf(ledger_id_, frame);
  if (frame.chain != hasher_.chain(*chain_, leaf)) {
    return {0, "the record does not match the chain"};
  }
  Step step{frame.bytes};
  const auto type = static_cast<RecordType>(frame.type);
  if (index_ >= next_) {
    auto body = codec::decode_map(frame.body);
    if (!body) return {0, "the record's body is not canonical CBOR"};
    step.more = visit({frame.index, type, frame.flags, leaf, frame.chain, std::move(*body)});
  }
  chain_ = frame.chain;
  ++index_;
  sealed_ = type == RecordType::kSegmentSeal;
  return step;
}

// Something cannot be read. `goes_on`: behind it is what was written when it was on the disk.
Result<bool> Follower::doubt(std::string_view problem, std::uint64_t size, bool goes_on) {
  const bool same_place = doubt_.file == file_ && doubt_.offset == offset_;
  const bool stands = same_place && (goes_on || doubt_.size == size);
  doubt_ = {file_, offset_, size, stands ? doubt_.rounds + 1 : 1};
  if (doubt_.rounds < kRoundsMax) return true;
  return Error{Code::kCorrupt, "record " + std::to_string(index_) + " in " + file_ + " at byte " +
                                   std::to_string(offset_) + ": " + std::string(problem)};
}

}  // namespace aioss::ledger
