// export_bundle(): the first pass proves and measures, the second one writes.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "ledger/evidence/bundle.h"
#include "ledger/evidence/manifest.h"
#include "ledger/evidence/tar.h"
#include "ledger/reading/disk_tree.h"
#include "ledger/reading/walk.h"

namespace aioss::ledger {
namespace {

constexpr std::size_t kBufferBytes = 1U << 18;
constexpr unsigned kBundlePermissions = 0640;
constexpr std::string_view kAnchorFolder = "anchors";

Error changed() {
  return {Code::kCorrupt, "the ledger changed while it was exported; run 'aioss verify'"};
}

// Writes one file of the bundle from its beginning to its end, and hashes it.
class Section final {
 public:
  Section(os::File& file, const TarEntry& entry)
      : file_(file), entry_(entry), hasher_(crypto::HashAlgorithm::kSha3_256) {}

  Status append(ByteView bytes) {
    if (entry_.bytes - written_ - buffer_.size() < bytes.size()) return changed();
    hasher_.update(bytes);
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return buffer_.size() < kBufferBytes ? ok() : flush();
  }
  // With its header. The hash of the content.
  Result<Digest> finish() {
    AIOSS_CHECK(flush());
    if (written_ != entry_.bytes) return changed();
    const TarBlock header = tar_header(entry_.name, entry_.bytes);
    AIOSS_CHECK(put(entry_.offset - kTarBlockBytes, header));
    return hasher_.finish();
  }

 private:
  Status put(std::uint64_t offset, ByteView bytes) {
    AIOSS_TRY(const std::size_t put, file_.write_at(offset, bytes));
    if (put != bytes.size()) return Error{Code::kIo, "the disk took only part of the bundle"};
    return ok();
  }
  Status flush() {
    AIOSS_CHECK(put(entry_.offset + written_, buffer_));
    written_ += buffer_.size();
    buffer_.clear();
    return ok();
  }

  os::File& file_;
  const TarEntry entry_;
  crypto::Hasher hasher_;
  Bytes buffer_;
  std::uint64_t written_ = 0;
};

struct CosignedNote {
  std::string name;  // in the bundle
  std::string text;
};

class Exporter {
 public:
  Exporter(os::FileSystem& fs, const ExportOptions& options) : fs_(fs), options_(options) {}

  Result<Exported> run() {
    AIOSS_CHECK(choose_range());
    AIOSS_CHECK(measure());
    AIOSS_CHECK(check_whole());
    AIOSS_CHECK(find_cosigned());
    AIOSS_TRY(const TarLayout layout, plan_files());
    auto opened = fs_.open(options_.path, os::OpenMode::kCreateNew, kBundlePermissions);
    if (!opened) return std::move(opened).error();
    Status written = write(**opened, layout);
    if (!written) {
      opened->reset();
      (void)fs_.remove(options_.path);
      return std::move(written).error();
    }
    return Exported{manifest_.origin, manifest_.first, manifest_.after, manifest_.size,
                    layout.bytes};
  }

 private:
  Status choose_range() {
    AIOSS_TRY(note_, read_checkpoint(fs_, options_.directory));
    manifest_.size = note_.checkpoint.size;
    manifest_.first = options_.first;
    manifest_.after = options_.after.value_or(manifest_.size);
    if (manifest_.first < manifest_.after && manifest_.after <= manifest_.size) return ok();
    return Error{Code::kInvalidArgument,
                 "the newest checkpoint covers the records 0 to " +
                     std::to_string(manifest_.size - std::min<std::uint64_t>(manifest_.size, 1)) +
                     "; name a range within it"};
  }

  bool in_range(std::uint64_t index) const {
    return index >= manifest_.first && index < manifest_.after;
  }

  void pass(std::uint64_t index, const Digest& chain) {
    last_chain_ = chain;
    if (index + 1 == manifest_.first) manifest_.chain_before = chain;
  }
  // A record that was located and then not visited is one of which only the leaf is left.
  void pass_unvisited() {
    if (!unvisited_) return;
    const std::uint64_t index = unvisited_->index;
    pass(index, hasher_.chain(last_chain_, unvisited_->leaf));
    unvisited_.reset();
    if (!in_range(index)) return;
    if (!first_pruned_) first_pruned_ = index;
    last_pruned_ = index;
  }

  // The first pass.
  Status measure() {
    const auto plan = [this](SubtreeSource& tree) -> Status {
      AIOSS_TRY(manifest_.proof,
                prove_range(tree, manifest_.first, manifest_.after, manifest_.size));
      return ok();
    };
    Onlooker onlooker;
    onlooker.located = [this](const RecordPlace& place) {
      pass_unvisited();
      unvisited_ = place;
    };
    onlooker.visit = [this](const Record& record) {
      unvisited_.reset();
      pass(record.index, record.chain);
      if (!in_range(record.index)) return;
      Bytes body;
      codec::encode_to(record.body, body);
      manifest_.frame_bytes += frame_bytes(body.size());
      json_bytes_ += record_json_line(record).size();
      csv_bytes_ += record_csv_line(record).size();
      range_chain_ = record.chain;
    };
    AIOSS_TRY(facts_, prove_on_disk(fs_, options_.directory, manifest_.size, plan, onlooker));
    pass_unvisited();
    if (manifest_.first == 0) {
      manifest_.chain_before = genesis_hash(facts_.ledger_id, facts_.origin, facts_.public_key);
    }
    manifest_.origin = facts_.origin;
    manifest_.ledger_id = facts_.ledger_id;
    manifest_.rotations = facts_.rotations.size();
    for (const Bytes& frame : facts_.rotations)
      keys_.insert(keys_.end(), frame.begin(), frame.end());
    AIOSS_TRY(document_keys_,
              DocumentKeys::follow(VerifierKey{facts_.origin, facts_.public_key}, facts_.origin,
                                   facts_.ledger_id, facts_.rotations));
    const Status signed_well = document_keys_.check(note_);
    if (signed_well && facts_.root == note_.checkpoint.root) return ok();
    return Error{Code::kCorrupt,
                 "the ledger's checkpoint is not one over its records; run 'aioss verify'"};
  }

  // A bundle has every record of its range.
  Status check_whole() const {
    if (!first_pruned_) return ok();
    std::string way = "name another range; 'aioss ledger prove' still proves that it was there";
    if (last_pruned_ + 1 < manifest_.after) {
      way = "export the records behind those that were dropped, with --first " +
            std::to_string(last_pruned_ + 1);
    } else if (manifest_.first < *first_pruned_) {
      way = "export the records before it, with --after " + std::to_string(*first_pruned_);
    }
    return Error{Code::kNotFound, "the content of record " + std::to_string(*first_pruned_) +
                                      " was dropped at the end of its retention and only its hash "
                                      "is left; " +
                                      way};
  }

  // Those whose root can be computed from the bundle.
  bool belongs(const Note& note) const {
    const std::uint64_t size = note.checkpoint.size;
    const bool covered = size >= 1 && size >= manifest_.first && size <= manifest_.after;
    return (covered || size == manifest_.size) && document_keys_.check(note).has_value();
  }

  Status find_cosigned() {
    const std::string folder = options_.directory + '/' + std::string(kAnchorFolder);
    const auto names = fs_.list(folder);
    if (!names && names.error().code == Code::kNotFound) return ok();
    if (!names) return Error(names.error());
    for (const std::string& name : *names) {
      const std::string inside = std::string(bundle_file::kCosigned) + name;
      if (!name.ends_with(".note") || !is_tar_name(inside) || !is_cosigned_name(inside)) continue;
      AIOSS_TRY(const Bytes bytes, os::read_file(fs_, folder + '/' + name, kNoteBytesMax));
      const auto note = parse_note(as_text(bytes));
      if (!note || !belongs(*note)) continue;
      if (cosigned_.size() == kCosignedMax) cosigned_.erase(cosigned_.begin());
      cosigned_.push_back({inside, std::string(as_text(bytes))});
    }
    manifest_.cosigned = cosigned_.size();
    return ok();
  }

  Result<TarLayout> plan_files() {
    readme_ = bundle_readme(manifest_);
    std::vector<std::pair<std::string, std::uint64_t>> files;
    const auto add = [&](std::string_view name, std::uint64_t bytes) {
      files.emplace_back(name, bytes);
      if (name != kManifestFile) manifest_.files[std::string(name)] = {};  // of fixed length
    };
    add(kManifestFile, 0);
    add(bundle_file::kCheckpoint, text_of(note_).size());
    add(bundle_file::kFrames, manifest_.frame_bytes);
    add(bundle_file::kKeys, keys_.size());
    for (const CosignedNote& note : cosigned_) add(note.name, note.text.size());
    add(bundle_file::kJsonLines, json_bytes_);
    add(bundle_file::kCsv, csv_head().size() + csv_bytes_);
    add(bundle_file::kReadme, readme_.size());
    files.front().second = write_manifest(manifest_).size();
    for (const auto& [name, bytes] : files) {
      if (bytes <= kTarEntryBytesMax) continue;
      return Error{Code::kTooLarge, "the records are too many for one bundle: " + name +
                                        " would be larger than 8 GiB; export them in parts"};
    }
    return lay_out(files);
  }

  static const TarEntry& entry(const TarLayout& layout, std::string_view name) {
    const auto found = std::find_if(layout.entries.begin(), layout.entries.end(),
                                    [name](const TarEntry& one) { return one.name == name; });
    ASSERT(found != layout.entries.end());
    return *found;
  }

  Status write_small(os::File& file, const TarLayout& layout, std::string_view name,
                     ByteView bytes) {
    Section section(file, entry(layout, name));
    AIOSS_CHECK(section.append(bytes));
    AIOSS_TRY(const Digest hash, section.finish());
    if (name != kManifestFile) manifest_.files[std::string(name)] = hash;
    return ok();
  }

  // The second pass.
  Status write_records(os::File& file, const TarLayout& layout) {
    Section frames(file, entry(layout, bundle_file::kFrames));
    Section json(file, entry(layout, bundle_file::kJsonLines));
    Section csv(file, entry(layout, bundle_file::kCsv));
    AIOSS_CHECK(csv.append(as_bytes(csv_head())));
    Status written = ok();
    Digest last{};
    const auto write_one = [&](const Record& record) -> Status {
      last = record.chain;
      AIOSS_CHECK(frames.append(frame_of(record)));
      AIOSS_CHECK(json.append(as_bytes(record_json_line(record))));
      return csv.append(as_bytes(record_csv_line(record)));
    };
    WalkOptions walking{options_.directory, std::nullopt, nullptr, options_.progress};
    walking.visit = [&](const Record& record) {
      if (in_range(record.index)) written = write_one(record);
      return written.has_value() && record.index + 1 < manifest_.after;
    };
    AIOSS_TRY(const WalkResult walked, walk(fs_, walking));
    AIOSS_CHECK(std::move(written));
    if (walked.damage != Damage::kNone || last != range_chain_) return changed();
    AIOSS_TRY(manifest_.files[std::string(bundle_file::kFrames)], frames.finish());
    AIOSS_TRY(manifest_.files[std::string(bundle_file::kJsonLines)], json.finish());
    AIOSS_TRY(manifest_.files[std::string(bundle_file::kCsv)], csv.finish());
    return ok();
  }

  Status write(os::File& file, const TarLayout& layout) {
    AIOSS_CHECK(write_records(file, layout));
    AIOSS_CHECK(write_small(file, layout, bundle_file::kCheckpoint, as_bytes(text_of(note_))));
    AIOSS_CHECK(write_small(file, layout, bundle_file::kKeys, keys_));
    for (const CosignedNote& note : cosigned_) {
      AIOSS_CHECK(write_small(file, layout, note.name, as_bytes(note.text)));
    }
    AIOSS_CHECK(write_small(file, layout, bundle_file::kReadme, as_bytes(readme_)));
    const std::string manifest = write_manifest(manifest_);
    AIOSS_CHECK(write_small(file, layout, kManifestFile, as_bytes(manifest)));
    // What was not written between the files and at the end reads as zeros.
    AIOSS_CHECK(file.truncate(layout.bytes));
    return file.sync_all();
  }

  os::FileSystem& fs_;
  const ExportOptions& options_;
  Note note_;
  DiskFacts facts_;
  DocumentKeys document_keys_;
  Manifest manifest_;
  Bytes keys_;  // keys.bin
  std::vector<CosignedNote> cosigned_;
  std::string readme_;
  std::uint64_t json_bytes_ = 0, csv_bytes_ = 0;
  // Of the first pass.
  ChainHasher hasher_;
  std::optional<RecordPlace> unvisited_;       // located, and not visited so far
  Digest last_chain_{};                        // of the record passed last
  Digest range_chain_{};                       // of the last one in the range
  std::optional<std::uint64_t> first_pruned_;  // in the range
  std::uint64_t last_pruned_ = 0;              // likewise
};

}  // namespace

Result<Exported> export_bundle(os::FileSystem& fs, const ExportOptions& options) {
  return Exporter(fs, options).run();
}

}  // namespace aioss::ledger
