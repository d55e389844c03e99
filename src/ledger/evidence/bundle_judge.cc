// judge_bundle(): one pass over the file. Nothing in it is believed before what it says has been
// computed from its frames, or signed.
#include <algorithm>
#include <map>
#include <utility>

#include "ledger/evidence/bundle.h"
#include "ledger/evidence/json_fields.h"
#include "ledger/evidence/manifest.h"
#include "ledger/evidence/tar.h"
#include "ledger/reading/segment_reader.h"

namespace aioss::ledger {
namespace {

constexpr std::uint64_t kProgressBytes = 8ULL << 20;
constexpr std::size_t kCompareBytes = 1U << 16;

Error broken(std::string_view what) {
  return {Code::kCorrupt, "the bundle " + std::string(what)};
}

Result<Bytes> read_entry(os::File& file, const TarEntry& entry, std::uint64_t bytes_max) {
  if (entry.bytes > bytes_max) return broken("has a file that is larger than any that is written");
  Bytes bytes(static_cast<std::size_t>(entry.bytes));
  AIOSS_TRY(const std::size_t got, file.read_at(entry.offset, bytes));
  if (got < bytes.size()) return broken("ends early");
  return bytes;
}

// Compares a file of the bundle, from front to back, with what it must say, and hashes it.
class Comparison final {
 public:
  Comparison(os::File& file, const TarEntry& entry)
      : file_(file), entry_(entry), hasher_(crypto::HashAlgorithm::kSha3_256) {}

  Result<bool> matches(std::string_view expected) {
    while (!expected.empty()) {
      AIOSS_TRY(const ByteView part, next(expected.size()));
      if (part.empty() || as_text(part) != expected.substr(0, part.size())) return false;
      expected.remove_prefix(part.size());
    }
    return true;
  }
  bool at_end() const { return read_ == entry_.bytes && begin_ == size_; }
  // Of the whole file, whether it was compared or not.
  Result<Digest> hash() {
    while (!at_end()) AIOSS_CHECK(skip());
    return hasher_.finish();
  }

 private:
  Status skip() {
    auto part = next(kCompareBytes);
    return part ? ok() : Status(std::move(part).error());
  }
  Result<ByteView> next(std::size_t bytes_max) {
    if (begin_ == size_) {
      const auto want =
          static_cast<std::size_t>(std::min<std::uint64_t>(kCompareBytes, entry_.bytes - read_));
      buffer_.resize(want);
      AIOSS_TRY(const std::size_t got, file_.read_at(entry_.offset + read_, buffer_));
      if (got < want) return broken("ends early");
      hasher_.update(buffer_);
      read_ += got;
      begin_ = 0;
      size_ = got;
    }
    const ByteView part = ByteView(buffer_).subspan(begin_, std::min(bytes_max, size_ - begin_));
    begin_ += part.size();
    return part;
  }

  os::File& file_;
  const TarEntry entry_;
  crypto::Hasher hasher_;
  Bytes buffer_;
  std::size_t begin_ = 0, size_ = 0;  // of what is not given yet, in the buffer
  std::uint64_t read_ = 0;
};

class BundleJudge {
 public:
  BundleJudge(os::File& file, const std::optional<VerifierKey>& key, const Progress& progress,
              DocumentReport& report)
      : file_(file), key_(key), progress_(progress), report_(report) {}

  Status run() {
    AIOSS_CHECK(open_files());
    AIOSS_CHECK(check_small_files());
    AIOSS_CHECK(check_signature());
    AIOSS_CHECK(read_cosigned());
    AIOSS_CHECK(check_frames());
    AIOSS_CHECK(check_forks());
    return check_unknown();
  }

 private:
  // The files that every bundle has, in their order, and the manifest's word for each.
  Status open_files() {
    AIOSS_TRY(entries_, read_tar(file_, kBundleFilesMax));
    if (entries_.empty() || entries_.front().name != kManifestFile) {
      return broken("has no manifest");
    }
    AIOSS_TRY(const Bytes manifest, read_entry(file_, entries_.front(), kDocumentBytesMax));
    AIOSS_TRY(manifest_, parse_manifest(as_text(manifest)));
    report_.origin = manifest_.origin;
    describe();
    std::vector<std::string_view> expected{kManifestFile, bundle_file::kCheckpoint,
                                           bundle_file::kFrames, bundle_file::kKeys};
    std::string_view before;
    for (const TarEntry& entry : entries_) {
      if (!is_cosigned_name(entry.name)) continue;
      if (entry.name <= before) return broken("has its cosigned notes out of order");
      before = entry.name;
      expected.push_back(entry.name);
    }
    if (expected.size() - 4 != manifest_.cosigned) return broken("lacks a cosigned note");
    expected.insert(expected.end(),
                    {bundle_file::kJsonLines, bundle_file::kCsv, bundle_file::kReadme});
    const bool same =
        std::equal(entries_.begin(), entries_.end(), expected.begin(), expected.end(),
                   [](const TarEntry& entry, std::string_view name) { return entry.name == name; });
    if (!same) return broken("has other files than a bundle has");
    if (manifest_.files.size() != entries_.size() - 1) {
      return broken("has a manifest that lists other files");
    }
    return ok();
  }

  void describe() {
    codec::OrderedJson& facts = report_.facts;
    facts["first"] = manifest_.first;
    facts["after"] = manifest_.after;
    facts["size"] = manifest_.size;
    facts["rotations"] = manifest_.rotations;
    facts["cosigned"] = manifest_.cosigned;
  }

  const TarEntry& entry(std::string_view name) const {
    return *std::find_if(entries_.begin(), entries_.end(),
                         [name](const TarEntry& one) { return one.name == name; });
  }

  Status check_hash(const std::string& name, const Digest& hash) const {
    const auto found = manifest_.files.find(name);
    if (found == manifest_.files.end()) return broken("has a manifest that lists other files");
    if (found->second != hash) return broken("holds another " + name + " than its manifest says");
    return ok();
  }

  Result<Bytes> read_checked(std::string_view name, std::uint64_t bytes_max) {
    AIOSS_TRY(Bytes bytes, read_entry(file_, entry(name), bytes_max));
    AIOSS_CHECK(check_hash(std::string(name), crypto::sha3_256(bytes)));
    return bytes;
  }

  Status check_small_files() {
    AIOSS_TRY(const Bytes note, read_checked(bundle_file::kCheckpoint, kNoteBytesMax));
    AIOSS_TRY(note_, parse_note(as_text(note)));
    if (note_.checkpoint.size != manifest_.size) {
      return broken("has a checkpoint of another size than its manifest says");
    }
    AIOSS_TRY(const Bytes keys, read_checked(bundle_file::kKeys, kKeysFileBytesMax));
    AIOSS_CHECK(split_keys(keys));
    AIOSS_TRY(const Bytes readme, read_checked(bundle_file::kReadme, kDocumentBytesMax));
    known_rendering_ = manifest_.rendering == kRenderingVersion;
    if (known_rendering_ && as_text(readme) != bundle_readme(manifest_)) {
      return broken("has a README.txt that says something else");
    }
    if (entry(bundle_file::kFrames).bytes != manifest_.frame_bytes) {
      return broken("has another number of bytes than its manifest says");
    }
    return ok();
  }

  Status split_keys(ByteView keys) {
    while (!keys.empty()) {
      const ParsedFrame parsed = parse_frame(keys);
      if (parsed.form != Form::kGood || parsed.frame.index >= manifest_.size) {
        return broken("has a damaged chain of keys");
      }
      const ByteView frame = keys.first(parsed.frame.bytes);
      rotations_.emplace_back(frame.begin(), frame.end());
      rotation_at_[parsed.frame.index] = rotations_.size() - 1;
      keys = keys.subspan(frame.size());
    }
    if (rotations_.size() != manifest_.rotations || rotation_at_.size() != rotations_.size()) {
      return broken("counts its changes of key wrongly");
    }
    return ok();
  }

  Status check_signature() {
    AIOSS_TRY(keys_, DocumentKeys::follow(key_, manifest_.origin, manifest_.ledger_id, rotations_));
    return keys_.check(note_);
  }

  Status read_cosigned() {
    for (const TarEntry& one : entries_) {
      if (!is_cosigned_name(one.name)) continue;
      AIOSS_TRY(const Bytes bytes, read_checked(one.name, kNoteBytesMax));
      AIOSS_TRY(const Note note, parse_note(as_text(bytes)));
      AIOSS_CHECK(keys_.check(note));
      const Checkpoint& checkpoint = note.checkpoint;
      const bool covered = checkpoint.size >= std::max<std::uint64_t>(manifest_.first, 1) &&
                           checkpoint.size <= manifest_.after;
      if (!covered && checkpoint.size != manifest_.size) {
        return broken("has a cosigned note that says nothing of its records");
      }
      claimed_roots_.emplace(checkpoint.size, checkpoint.root);
    }
    return ok();
  }

  Status check_frames() {
    auto begun = RangeRoot::begin(manifest_.first, manifest_.proof.left);
    if (!begun) return broken("has a manifest with too few or too many digests");
    range_ = std::move(begun);
    chain_ = manifest_.chain_before;
    json_.emplace(file_, entry(bundle_file::kJsonLines));
    csv_.emplace(file_, entry(bundle_file::kCsv));
    if (known_rendering_) AIOSS_CHECK(check_line(*csv_, csv_head(), bundle_file::kCsv));
    compare_roots();
    const TarEntry& frames = entry(bundle_file::kFrames);
    SegmentReader reader(file_, frames.offset + frames.bytes, frames.offset);
    crypto::Hasher hasher(crypto::HashAlgorithm::kSha3_256);
    while (reader.offset() < reader.end()) {
      AIOSS_TRY(const ByteView window, reader.window());
      const ParsedFrame parsed = parse_frame(window);
      if (parsed.form != Form::kGood) return bad_record(parsed.problem);
      hasher.update(window.first(parsed.frame.bytes));
      AIOSS_CHECK(take(parsed.frame, window.first(parsed.frame.bytes)));
      reader.advance(parsed.frame.bytes);
      report_progress(reader.offset());
    }
    if (range_->after() != manifest_.after) return broken("has fewer records than it says");
    AIOSS_CHECK(check_hash(std::string(bundle_file::kFrames), hasher.finish()));
    AIOSS_CHECK(check_tables());
    return check_root();
  }

  Error bad_record(std::string_view problem) {
    report_.facts["bad_record"] = range_->after();
    return broken("is damaged: " + std::string(problem) + " (record " +
                  std::to_string(range_->after()) + ")");
  }

  Status take(const Frame& frame, ByteView bytes) {
    if (frame.index != range_->after() || frame.index >= manifest_.after) {
      return bad_record("a record is missing, repeated or out of order");
    }
    const Digest leaf = hasher_.leaf(manifest_.ledger_id, frame);
    if (hasher_.chain(chain_, leaf) != frame.chain) {
      return bad_record("the record does not match the chain");
    }
    auto body = codec::decode_map(frame.body);
    if (!body) return bad_record("the record's body is not canonical CBOR");
    if (!has_common_keys(*body)) return bad_record("the record lacks what every record has");
    const Record record{frame.index, static_cast<RecordType>(frame.type),
                        frame.flags, leaf,
                        frame.chain, std::move(*body)};
    AIOSS_CHECK(check_meaning(record, bytes));
    if (known_rendering_) {
      AIOSS_CHECK(check_line(*json_, record_json_line(record), bundle_file::kJsonLines));
      AIOSS_CHECK(check_line(*csv_, record_csv_line(record), bundle_file::kCsv));
    }
    chain_ = frame.chain;
    range_->add(leaf);
    compare_roots();
    return ok();
  }

  // The rules about records that do not need the segments.
  Status check_meaning(const Record& record, ByteView bytes) {
    const auto rotation = rotation_at_.find(record.index);
    const bool listed = rotation != rotation_at_.end();
    if (listed != (record.type == RecordType::kKeyRotate)) {
      return bad_record("its changes of key are not those of its chain of keys");
    }
    if ((record.type == RecordType::kGenesis) != (record.index == 1)) {
      return bad_record("GENESIS is not exactly record 1");
    }
    const auto type = static_cast<std::uint16_t>(record.type);
    if (type < kFirstPrivateType && !name(record.type) && !unknown_type_) {
      unknown_type_ = record.index;
    }
    if (listed) return check_rotation(record, bytes, rotations_[rotation->second]);
    if (record.type == RecordType::kGenesis) return check_genesis(record.body);
    if (record.type == RecordType::kSegmentSeal) return check_seal(record);
    return ok();
  }

  Status check_rotation(const Record& record, ByteView bytes, const Bytes& listed) {
    const auto rotation = parse_rotation(record.index, record.body);
    if (!std::equal(bytes.begin(), bytes.end(), listed.begin(), listed.end()) || !rotation ||
        rotation->root_before != range_->root()) {
      return bad_record("a change of key is not the one of its chain of keys");
    }
    return ok();
  }

  Status check_genesis(const codec::Map& body) {
    const auto origin = body.get_text(key::genesis::kOrigin, "origin");
    const auto public_key = body.get_digest(key::genesis::kPublicKey, "public key");
    const auto first_key = keys_.first_key();
    if (!origin || !public_key || *origin != manifest_.origin ||
        (first_key && *first_key != *public_key)) {
      return bad_record("GENESIS names another ledger or another key");
    }
    const Digest begin = genesis_hash(manifest_.ledger_id, *origin, *public_key);
    if (manifest_.first == 0 && begin != manifest_.chain_before) {
      return bad_record("the chain does not begin with this GENESIS");
    }
    // Without any other key, the checkpoint must at least be signed by this one.
    if (!first_key && !signed_by(note_, {*origin, *public_key})) {
      return broken("has a checkpoint that is not signed by the key of its GENESIS");
    }
    return ok();
  }

  Status check_seal(const Record& record) {
    namespace seal = key::segment_seal;
    Bytes frontier;
    for (const Digest& digest : range_->frontier()) {
      frontier.insert(frontier.end(), digest.begin(), digest.end());
    }
    const auto size = record.body.get_uint(seal::kTreeSize, "size");
    const auto root = record.body.get_digest(seal::kRoot, "root");
    const auto sealed = record.body.get_bytes(seal::kFrontier, "frontier");
    if (!size || !root || !sealed || *size != record.index || *root != range_->root() ||
        *sealed != frontier) {
      return bad_record("the seal does not describe the records before it");
    }
    return ok();
  }

  Status check_line(Comparison& table, const std::string& line, std::string_view name) {
    AIOSS_TRY(const bool same, table.matches(line));
    if (same) return ok();
    return broken("has a table that says something else than its records: " + std::string(name));
  }

  Status check_tables() {
    const std::pair<Comparison*, std::string_view> tables[] = {{&*json_, bundle_file::kJsonLines},
                                                               {&*csv_, bundle_file::kCsv}};
    for (const auto& [table, name] : tables) {
      if (known_rendering_ && !table->at_end()) {
        return broken("has a table with more than its records: " + std::string(name));
      }
      AIOSS_TRY(const Digest hash, table->hash());
      AIOSS_CHECK(check_hash(std::string(name), hash));
    }
    return ok();
  }

  // What cosigned notes say of the tree over the records so far.
  void compare_roots() {
    const auto [begin, end] = claimed_roots_.equal_range(range_->after());
    for (auto claimed = begin; claimed != end; ++claimed) {
      if (claimed->second != range_->root()) contradicted_ = claimed->first;
    }
  }

  Status check_root() {
    const auto root = range_->finish(manifest_.size, manifest_.proof.right);
    if (!root) return broken("has a manifest with too few or too many digests");
    if (*root == note_.checkpoint.root) return ok();
    return broken(
        "is not of the ledger whose checkpoint was signed: its records and digests lead "
        "to another root");
  }

  Status check_forks() {
    const auto [begin, end] = claimed_roots_.equal_range(manifest_.size);
    for (auto claimed = begin; claimed != end; ++claimed) {
      if (claimed->second != note_.checkpoint.root) contradicted_ = claimed->first;
    }
    if (!contradicted_) return ok();
    return Error{Code::kConflict,
                 "the ledger's keys have signed two histories: a cosigned "
                 "checkpoint over " +
                     std::to_string(*contradicted_) +
                     " records has another root than these records"};
  }

  Status check_unknown() {
    if (unknown_type_) {
      return Error{Code::kUnsupported,
                   "record " + std::to_string(*unknown_type_) +
                       " has a type that this program does not know; verify with a newer aioss"};
    }
    if (!known_rendering_) {
      return Error{Code::kUnsupported,
                   "the records are in the ledger that was signed, but the tables were written by "
                   "another version of aioss and were not compared with them"};
    }
    return ok();
  }

  void report_progress(std::uint64_t done) {
    if (!progress_ || done - reported_ < kProgressBytes) return;
    reported_ = done;
    progress_(done, entries_.back().offset);
  }

  os::File& file_;
  const std::optional<VerifierKey>& key_;
  const Progress& progress_;
  DocumentReport& report_;
  std::vector<TarEntry> entries_;
  Manifest manifest_;
  Note note_;
  std::vector<Bytes> rotations_;
  std::map<std::uint64_t, std::size_t> rotation_at_;  // index of the record → in rotations_
  DocumentKeys keys_;
  std::multimap<std::uint64_t, Digest> claimed_roots_;  // of cosigned notes, by size
  bool known_rendering_ = false;
  std::optional<RangeRoot> range_;
  Digest chain_{};  // of the last record taken
  ChainHasher hasher_;
  std::optional<Comparison> json_, csv_;
  std::optional<std::uint64_t> unknown_type_;  // index of the first record with one
  std::optional<std::uint64_t> contradicted_;  // size of a note with another root
  std::uint64_t reported_ = 0;
};

}  // namespace

DocumentReport judge_bundle(os::FileSystem& fs, const std::string& path,
                            const std::optional<VerifierKey>& key, const Progress& progress) {
  DocumentReport report;
  report.format = kBundleFormat;
  const auto file = fs.open(path, os::OpenMode::kRead);
  const Status held =
      file ? BundleJudge(**file, key, progress, report).run() : Status(Error(file.error()));
  if (!held) {
    conclude(held.error(), report);
    return report;
  }
  const std::string records = std::to_string(report.facts["after"].get<std::uint64_t>() -
                                             report.facts["first"].get<std::uint64_t>());
  report.verdict = key ? Verdict::kOk : Verdict::kUnknown;
  report.finding = key ? records +
                             " records are unchanged, in order and without a gap, and in the "
                             "ledger that the given key signed"
                       : "self-consistent, untrusted: without --key anyone could have written "
                         "this bundle";
  return report;
}

}  // namespace aioss::ledger
