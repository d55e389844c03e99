#include "ledger/pruned.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/strings.h"
#include "ledger/appender.h"
#include "ledger/bytes_io.h"
#include "ledger/chain.h"
#include "ledger/crc32c.h"
#include "ledger/segment_reader.h"
#include "ledger/walk.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kLeavesMagic = "ALEF";
constexpr std::string_view kPrunedSuffix = ".pruned";
constexpr std::size_t kIndexDigits = 20;
constexpr std::size_t kWriteBytes = 1U << 20;

namespace in_leaves {  // offsets
constexpr std::size_t kCount = 4, kFirstIndex = 8, kCrc = 16, kZero = 20;
}  // namespace in_leaves

std::uint32_t leaves_crc(ByteView item) {
  return crc32c(item.subspan(in_leaves::kZero), crc32c(item.first(in_leaves::kCrc)));
}

Error changed() {
  return {Code::kCorrupt,
          "a segment is not what it was when the ledger was opened; see to the disk, "
          "then try again"};
}

// Writes the pruned file, front to back.
class Output {
 public:
  explicit Output(os::File& file) : file_(file) {}

  void header(ByteView bytes) { buffer_.insert(buffer_.end(), bytes.begin(), bytes.end()); }
  Status keep(ByteView frame) {
    end_run();
    buffer_.insert(buffer_.end(), frame.begin(), frame.end());
    return buffer_.size() < kWriteBytes ? ok() : flush();
  }
  Status drop(std::uint64_t index, const Digest& leaf) {
    if (run_.empty()) run_begin_ = index;
    run_.push_back(leaf);
    if (run_.size() == kLeavesMax) end_run();
    return buffer_.size() < kWriteBytes ? ok() : flush();
  }
  Status finish() {
    end_run();
    AIOSS_CHECK(flush());
    return file_.sync_all();
  }

 private:
  void end_run() {
    if (!run_.empty()) encode_leaves(run_begin_, run_, buffer_);
    run_.clear();
  }
  Status flush() {
    AIOSS_TRY(const std::size_t put, file_.write_at(offset_, buffer_));
    if (put != buffer_.size()) return Error{Code::kIo, "the disk took only part of a write"};
    offset_ += put;
    buffer_.clear();
    return ok();
  }

  os::File& file_;
  Bytes buffer_;
  std::uint64_t offset_ = 0;
  std::vector<Digest> run_;
  std::uint64_t run_begin_ = 0;
};

// One pass over the segment. Its chain is computed once more: what is dropped cannot be looked at
// again.
Status copy(SegmentReader& reader, std::uint64_t first_index, Output& out,
            const std::function<Status(const Record&)>& going) {
  AIOSS_TRY(const ByteView beginning, reader.window());
  const ParsedHeader header = parse_header(beginning);
  if (header.form != Form::kGood || header.header.first_index != first_index) return changed();
  out.header(beginning.first(kSegmentHeaderBytes));
  reader.advance(kSegmentHeaderBytes);
  ChainHasher hasher;
  Digest chain = header.header.previous_chain;
  std::uint64_t index = first_index;
  bool sealed = false;
  while (reader.offset() < reader.end()) {
    AIOSS_TRY(const ByteView window, reader.window());
    const ParsedFrame parsed = parse_frame(window);
    if (parsed.form != Form::kGood || parsed.frame.index != index || sealed) return changed();
    const Digest leaf = hasher.leaf(header.header.ledger_id, parsed.frame);
    chain = hasher.chain(chain, leaf);
    auto body = codec::decode_map(parsed.frame.body);
    if (chain != parsed.frame.chain || !body) return changed();
    const auto type = static_cast<RecordType>(parsed.frame.type);
    sealed = type == RecordType::kSegmentSeal;
    if (survives_pruning(type)) {
      AIOSS_CHECK(out.keep(window.first(parsed.frame.bytes)));
    } else {
      AIOSS_CHECK(going({index, type, parsed.frame.flags, leaf, chain, std::move(*body)}));
      AIOSS_CHECK(out.drop(index, leaf));
    }
    reader.advance(parsed.frame.bytes);
    ++index;
  }
  return sealed ? out.finish() : changed();
}

}  // namespace

bool survives_pruning(RecordType type) {
  constexpr std::array kSurvivors{RecordType::kSegmentOpen,   RecordType::kGenesis,
                                  RecordType::kKeyRotate,     RecordType::kSegmentSeal,
                                  RecordType::kRedact,        RecordType::kRecovery,
                                  RecordType::kRetentionDrop, RecordType::kLegalHold};
  return std::find(kSurvivors.begin(), kSurvivors.end(), type) != kSurvivors.end();
}

Digest Leaves::at(std::size_t i) const {
  ASSERT(i < count);
  Digest hash{};
  const ByteView from = hashes.subspan(i * hash.size(), hash.size());
  std::copy(from.begin(), from.end(), hash.begin());
  return hash;
}

bool begins_with_leaves(ByteView bytes) {
  return as_text(bytes).starts_with(kLeavesMagic);
}

ParsedLeaves parse_leaves(ByteView bytes) {
  ParsedLeaves out;
  const auto fail = [&out](Form form, std::string_view problem) {
    out.form = form;
    out.problem = problem;
    return out;
  };
  if (bytes.size() < kLeavesHeadBytes || !begins_with_leaves(bytes)) {
    return fail(Form::kDamaged, "a run of leaf hashes is cut short");
  }
  const auto count = load_little<std::uint32_t>(bytes, in_leaves::kCount);
  if (count == 0 || count > kLeavesMax) {
    return fail(Form::kDamaged, "a run of leaf hashes has an absurd length");
  }
  const std::size_t whole = kLeavesHeadBytes + count * sizeof(Digest);
  if (bytes.size() < whole) return fail(Form::kDamaged, "a run of leaf hashes is cut short");
  bytes = bytes.first(whole);
  if (load_little<std::uint32_t>(bytes, in_leaves::kCrc) != leaves_crc(bytes)) {
    return fail(Form::kDamaged, "the checksum of a run of leaf hashes is wrong");
  }
  if (load_little<std::uint32_t>(bytes, in_leaves::kZero) != 0) {
    return fail(Form::kWrong, "bytes of a run of leaf hashes that must be zero are not");
  }
  out.form = Form::kGood;
  out.leaves = {load_little<std::uint64_t>(bytes, in_leaves::kFirstIndex), count,
                bytes.subspan(kLeavesHeadBytes), whole};
  return out;
}

void encode_leaves(std::uint64_t first_index, std::span<const Digest> hashes, Bytes& out) {
  ASSERT(!hashes.empty() && hashes.size() <= kLeavesMax);
  const std::size_t start = out.size();
  out.insert(out.end(), kLeavesMagic.begin(), kLeavesMagic.end());
  out.resize(start + kLeavesHeadBytes);
  for (const Digest& hash : hashes) out.insert(out.end(), hash.begin(), hash.end());
  const std::span<std::uint8_t> item = std::span(out).subspan(start);
  store_little(static_cast<std::uint32_t>(hashes.size()), item, in_leaves::kCount);
  store_little(first_index, item, in_leaves::kFirstIndex);
  store_little(leaves_crc(item), item, in_leaves::kCrc);
}

std::string pruned_file_name(std::uint64_t first_index) {
  const std::string digits = std::to_string(first_index);
  return std::string(kIndexDigits - digits.size(), '0') + digits + std::string(kPrunedSuffix);
}

std::optional<std::uint64_t> parse_pruned_file_name(std::string_view name) {
  if (name.size() != kIndexDigits + kPrunedSuffix.size() || !name.ends_with(kPrunedSuffix)) {
    return std::nullopt;
  }
  return parse_u64(name.substr(0, kIndexDigits));
}

Status prune_segment(os::FileSystem& fs, const std::string& directory, std::uint64_t first_index,
                     const PruneEvents& events) {
  const std::string folder = directory + '/' + std::string(kSegmentFolder);
  const std::string segment = folder + '/' + segment_file_name(first_index);
  const std::string pruned = folder + '/' + pruned_file_name(first_index);
  const std::string temporary = pruned + ".tmp";
  if (const Status gone = fs.remove(temporary); !gone) {
    if (gone.error().code != Code::kNotFound) return gone;
  }
  {
    AIOSS_TRY(const auto from, fs.open(segment, os::OpenMode::kRead));
    AIOSS_TRY(const os::FileInfo about, from->info());
    AIOSS_TRY(const auto to, fs.open(temporary, os::OpenMode::kCreateNew, kSealedPermissions));
    SegmentReader reader(*from, about.size);
    Output out(*to);
    AIOSS_CHECK(copy(reader, first_index, out, events.going));
  }
  AIOSS_CHECK(events.replacing());
  AIOSS_CHECK(fs.rename(temporary, pruned));
  AIOSS_CHECK(fs.sync_directory(folder));
  AIOSS_CHECK(fs.remove(segment));
  return fs.sync_directory(folder);
}

}  // namespace aioss::ledger
