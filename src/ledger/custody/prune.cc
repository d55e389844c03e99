#include "ledger/custody/prune.h"

#include <span>
#include <utility>
#include <vector>

#include "codec/cbor.h"
#include "ledger/format/chain.h"
#include "ledger/format/format.h"
#include "ledger/format/pruned.h"
#include "ledger/reading/segment_reader.h"

namespace aioss::ledger {
namespace {

constexpr std::size_t kWriteBytes = 1U << 20;

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

Status prune_segment(os::FileSystem& fs, const std::string& directory, std::uint64_t first_index,
                     const PruneEvents& events) {
  const std::string folder = directory + '/' + std::string(kSegmentFolder);
  const std::string segment = folder + '/' + segment_file_name(first_index);
  const std::string pruned = folder + '/' + pruned_file_name(first_index);
  const std::string temporary = pruned + std::string(kTemporarySuffix);
  AIOSS_CHECK(os::remove_if_there(fs, temporary));
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
