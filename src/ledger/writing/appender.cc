#include "ledger/writing/appender.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace aioss::ledger {
namespace {

std::uint64_t nanoseconds(std::int64_t value) {  // a clock before 1970 counts as 1970
  return static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0));
}

EncodedBody must_encode(const codec::Map& body) {
  auto encoded = encode_own(body);
  ASSERT(encoded.has_value());  // our own bodies are small
  return std::move(*encoded);
}

void put_entry(std::uint64_t key, const codec::Value& value, Bytes& out) {
  codec::encode_to(codec::Value::uint(key), out);
  codec::encode_to(value, out);
}

}  // namespace

Result<EncodedBody> encode_own(const codec::Map& body) {
  EncodedBody encoded;
  encoded.count = body.entries().size();
  ASSERT(encoded.count == 0 || body.entries().front().first > key::kInstanceId);
  Bytes whole;
  codec::encode_to(body, whole);
  Bytes head;
  codec::encode_map_head(encoded.count, head);
  encoded.entries.assign(whole.begin() + static_cast<std::ptrdiff_t>(head.size()), whole.end());
  if (encoded.entries.size() > kOwnBytesMax) {
    return Error{Code::kTooLarge, "a ledger record of " + std::to_string(encoded.entries.size()) +
                                      " bytes is over the limit of " +
                                      std::to_string(kOwnBytesMax)};
  }
  if (const codec::Value* reference = body.find(key::kRefIndex)) {
    ASSERT(reference->if_uint() != nullptr);
    encoded.ref_index = *reference->if_uint();
  }
  encoded.has_request_id = body.find(key::kRequestId) != nullptr;
  return encoded;
}

Appender::Appender(os::FileSystem& fs, const Clock& clock, std::string directory,
                   InstanceInfo instance, Position position)
    : fs_(fs),
      clock_(clock),
      directory_(std::move(directory)),
      instance_(instance),
      at_(std::move(position)) {}

std::string Appender::path(std::string_view file) const {
  return directory_ + '/' + std::string(kSegmentFolder) + '/' + std::string(file);
}

void Appender::append_common(const EncodedBody& body) {
  using codec::Value;
  const bool has_boot = instance_.boot_id.has_value();
  body_.clear();
  codec::encode_map_head(body.count + (has_boot ? 4 : 3), body_);
  put_entry(key::kWallNs, Value::uint(nanoseconds(clock_.wall_ns())), body_);
  put_entry(key::kMonotonicNs, Value::uint(nanoseconds(clock_.monotonic_ns())), body_);
  if (has_boot) put_entry(key::kBootId, Value::bytes(*instance_.boot_id), body_);
  put_entry(key::kInstanceId, Value::bytes(instance_.instance_id), body_);
  body_.insert(body_.end(), body.entries.begin(), body.entries.end());
}

Committed Appender::stage(RecordType type, const EncodedBody& body) {
  append_common(body);
  Frame frame;
  frame.index = at_.next_index;
  frame.type = static_cast<std::uint16_t>(type);
  frame.flags = group_ == 0 ? kFlagGroupFirst : std::uint16_t{0};
  frame.body = body_;
  const Digest leaf = hasher_.leaf(at_.ledger_id, frame);
  frame.chain = hasher_.chain(at_.chain, leaf);
  tell_index(type, body, leaf);
  encode_frame(frame, buffer_);
  at_.chain = frame.chain;
  at_.tree.add(leaf, hasher_);
  if (type == RecordType::kInferRequest && at_.open_requests.size() < kOpenRequestsMax) {
    at_.open_requests.insert(frame.index);
  }
  const bool ends = type == RecordType::kInferResult || type == RecordType::kInferAbort;
  if (ends && body.ref_index) at_.open_requests.erase(*body.ref_index);
  ++at_.next_index;
  ++at_.segment.records;
  ++group_;
  return {frame.index, leaf};
}

// Before the frame joins the buffer, which begins where the file ends.
void Appender::tell_index(RecordType type, const EncodedBody& body, const Digest& leaf) {
  if (index_ == nullptr) return;
  RecordPlace place{at_.next_index, type, leaf, at_.segment.header.first_index,
                    at_.segment.bytes + buffer_.size()};
  if (type == RecordType::kInferAbort && !body.has_request_id) place.ends_request = body.ref_index;
  index_->add(place);
}

Status Appender::write_all(os::File& file, std::uint64_t offset) {
  // A short write is a failure like any other: the rest would not fit either, and a second attempt
  // would hide that the first one failed.
  AIOSS_TRY(const std::size_t written, file.write_at(offset, buffer_));
  if (written != buffer_.size()) return Error{Code::kIo, "the disk took only part of a write"};
  return ok();
}

Status Appender::commit() {
  ASSERT(file_ != nullptr);
  if (buffer_.empty()) return ok();
  AIOSS_CHECK(write_all(*file_, at_.segment.bytes));
  AIOSS_CHECK(file_->sync_data());
  at_.segment.bytes += buffer_.size();
  buffer_.clear();
  group_ = 0;
  return ok();
}

void Appender::begin_segment() {
  ASSERT(buffer_.empty() && group_ == 0);
  const SegmentHeaderBytes header = encode(at_.segment.header);
  buffer_.assign(header.begin(), header.end());
  codec::Map body;
  body.set(key::segment_open::kHeaderHash, codec::Value::bytes(crypto::sha3_256(header)));
  stage(RecordType::kSegmentOpen, must_encode(body));
}

void Appender::start_ledger(const EncodedBody& genesis) {
  ASSERT(at_.next_index == 0);
  SegmentHeader header;
  header.ledger_id = at_.ledger_id;
  header.previous_chain = at_.chain;
  header.created_ns = nanoseconds(clock_.wall_ns());
  at_.segment = SegmentState{segment_file_name(0), header, 0, 0, false};
  begin_segment();
  stage(RecordType::kGenesis, genesis);
}

Status Appender::start_segment() {
  ASSERT(at_.segment.sealed);
  SegmentHeader header;
  header.ledger_id = at_.ledger_id;
  header.segment_number = at_.segment.header.segment_number + 1;
  header.first_index = at_.next_index;
  header.previous_chain = at_.chain;
  header.previous_segment = segment_link(at_.segment.header, at_.chain, at_.segment.records);
  header.created_ns = nanoseconds(clock_.wall_ns());
  at_.segment = SegmentState{segment_file_name(at_.next_index), header, 0, 0, false};
  begin_segment();
  return publish();
}

// A segment file gets its name only when its beginning is on the disk, so that a crash leaves
// either no segment or one that holds its header and its first record.
Status Appender::publish() {
  const std::string final_path = path(at_.segment.file);
  const std::string temporary = final_path + std::string(kTemporarySuffix);
  AIOSS_CHECK(os::remove_if_there(fs_, temporary));
  AIOSS_TRY(file_, fs_.open(temporary, os::OpenMode::kCreateNew, kLivePermissions));
  AIOSS_CHECK(write_all(*file_, 0));
  AIOSS_CHECK(file_->sync_all());
  AIOSS_CHECK(fs_.rename(temporary, final_path));
  AIOSS_CHECK(fs_.sync_directory(directory_ + '/' + std::string(kSegmentFolder)));
  at_.segment.bytes = buffer_.size();
  buffer_.clear();
  group_ = 0;
  return ok();
}

Status Appender::reopen() {
  ASSERT(!at_.segment.sealed && at_.segment.records > 0);
  AIOSS_TRY(file_, fs_.open(path(at_.segment.file), os::OpenMode::kReadWrite));
  AIOSS_TRY(const os::FileInfo about, file_->info());
  if (about.size != at_.segment.bytes) {
    return Error{Code::kCorrupt, "a segment changed while the ledger was opened"};
  }
  return ok();
}

Status Appender::seal() {
  ASSERT(buffer_.empty() && !at_.segment.sealed);
  namespace seal = key::segment_seal;
  using codec::Value;
  Bytes frontier;
  for (const Digest& digest : at_.tree.frontier()) {
    frontier.insert(frontier.end(), digest.begin(), digest.end());
  }
  codec::Map body;
  body.set(seal::kSegmentRecords, Value::uint(at_.segment.records))
      .set(seal::kFileBytes, Value::uint(at_.segment.bytes))
      .set(seal::kTreeSize, Value::uint(at_.next_index))
      .set(seal::kRoot, Value::bytes(at_.tree.root(hasher_)))
      .set(seal::kFrontier, Value::bytes(frontier));
  if (!at_.open_requests.empty()) {
    body.set(seal::kOldestOpen, Value::uint(*at_.open_requests.begin()));
  }
  stage(RecordType::kSegmentSeal, must_encode(body));
  AIOSS_CHECK(commit());
  at_.segment.sealed = true;
  // Only a guard against slips of the hand; opening the ledger does it again where it failed.
  (void)fs_.set_permissions(path(at_.segment.file), kSealedPermissions);
  return ok();
}

std::int64_t Appender::segment_age_ns() const {
  return clock_.wall_ns() - static_cast<std::int64_t>(at_.segment.header.created_ns);
}

}  // namespace aioss::ledger
