#include "ledger/reading/last_group.h"

#include "ledger/reading/segment_reader.h"

namespace aioss::ledger {
namespace {

Error changed_meanwhile() {
  return {Code::kCorrupt,
          "a segment changed while the ledger was opened: the disk may be losing what was written "
          "to it; see to the disk, then start aioss again"};
}

}  // namespace

Status rewrite_last_group(os::FileSystem& fs, const std::string& path, const SegmentState& segment,
                          const Digest& chain) {
  AIOSS_TRY(const auto file, fs.open(path, os::OpenMode::kReadWrite));
  AIOSS_TRY(const os::FileInfo about, file->info());
  if (about.size != segment.bytes) return changed_meanwhile();
  ChainHasher hasher;
  Digest last = segment.last_group.chain_before;
  std::uint64_t index = segment.last_group.index;
  SegmentReader reader(*file, segment.bytes, segment.last_group.offset);
  while (reader.offset() < reader.end()) {
    AIOSS_TRY(const ByteView window, reader.window());
    const ParsedFrame parsed = parse_frame(window);
    if (parsed.form != Form::kGood || parsed.frame.index != index++) return changed_meanwhile();
    last = hasher.chain(last, hasher.leaf(segment.header.ledger_id, parsed.frame));
    if (last != parsed.frame.chain) return changed_meanwhile();
    const ByteView bytes = window.first(parsed.frame.bytes);
    AIOSS_TRY(const std::size_t written, file->write_at(reader.offset(), bytes));
    if (written != bytes.size()) return Error{Code::kIo, "the disk took only part of a write"};
    reader.advance(bytes.size());
  }
  if (last != chain) return changed_meanwhile();
  return file->sync_all();
}

}  // namespace aioss::ledger
