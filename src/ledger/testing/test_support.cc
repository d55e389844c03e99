#include "ledger/testing/test_support.h"

#include <algorithm>

#include "base/assert.h"
#include "ledger/format/bytes_io.h"
#include "ledger/format/chain.h"
#include "ledger/format/crc32c.h"
#include "ledger/format/format.h"
#include "ledger/format/pruned.h"
#include "os/environment.h"

namespace aioss::ledger::test {
namespace {

Error no_file(const std::string& path) {
  return {Code::kNotFound, "no file " + path};
}

}  // namespace

class MemoryFileSystem::MemoryFile final : public os::File {
 public:
  MemoryFile(std::mutex& mutex, Content content) : mutex_(mutex), content_(std::move(content)) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> into) override {
    std::lock_guard lock(mutex_);
    if (offset >= content_->size()) return std::size_t{0};
    const std::size_t count = std::min(into.size(), content_->size() - offset);
    std::copy_n(content_->begin() + static_cast<std::ptrdiff_t>(offset), count, into.begin());
    return count;
  }
  Result<std::size_t> write_at(std::uint64_t offset, ByteView bytes) override {
    std::lock_guard lock(mutex_);
    if (content_->size() < offset + bytes.size()) content_->resize(offset + bytes.size());
    std::copy(bytes.begin(), bytes.end(), content_->begin() + static_cast<std::ptrdiff_t>(offset));
    return bytes.size();
  }
  Status sync_data() override { return ok(); }
  Status sync_all() override { return ok(); }
  Status truncate(std::uint64_t size) override {
    std::lock_guard lock(mutex_);
    content_->resize(size);
    return ok();
  }
  Result<os::FileInfo> info() override {
    std::lock_guard lock(mutex_);
    os::FileInfo about;
    about.size = content_->size();
    about.is_regular = true;
    return about;
  }
  Status lock_exclusive() override { return ok(); }
  int descriptor() const override { return -1; }

 private:
  std::mutex& mutex_;
  const Content content_;
};

std::unique_ptr<MemoryFileSystem> MemoryFileSystem::copy() const {
  auto other = std::make_unique<MemoryFileSystem>();
  std::lock_guard lock(mutex_);
  for (const auto& [path, node] : files_) {
    other->files_[path] = {std::make_shared<Bytes>(*node.content), node.permissions};
  }
  return other;
}

Bytes& MemoryFileSystem::content(const std::string& path) {
  std::lock_guard lock(mutex_);
  ASSERT(files_.contains(path));
  return *files_[path].content;
}

bool MemoryFileSystem::has(const std::string& path) const {
  std::lock_guard lock(mutex_);
  return files_.contains(path);
}

unsigned MemoryFileSystem::permissions(const std::string& path) const {
  std::lock_guard lock(mutex_);
  return files_.at(path).permissions;
}

Result<std::unique_ptr<os::File>> MemoryFileSystem::open(const std::string& path, os::OpenMode mode,
                                                         unsigned permissions) {
  std::lock_guard lock(mutex_);
  const bool exists = files_.contains(path);
  if (mode == os::OpenMode::kCreateNew && exists) return Error{Code::kConflict, "exists: " + path};
  const bool creates = mode == os::OpenMode::kCreateNew || mode == os::OpenMode::kReadWriteCreate;
  if (!exists && !creates) return no_file(path);
  if (!exists) files_[path] = {std::make_shared<Bytes>(), permissions};
  return std::make_unique<MemoryFile>(mutex_, files_[path].content);
}

Result<os::FileInfo> MemoryFileSystem::info(const std::string& path) {
  std::lock_guard lock(mutex_);
  os::FileInfo about;
  if (const auto found = files_.find(path); found != files_.end()) {
    about.size = found->second.content->size();
    about.is_regular = true;
    return about;
  }
  const auto below = files_.lower_bound(path + '/');
  if (below == files_.end() || !below->first.starts_with(path + '/')) return no_file(path);
  about.is_directory = true;
  return about;
}

Result<std::vector<std::string>> MemoryFileSystem::list(const std::string& directory) {
  std::lock_guard lock(mutex_);
  const std::string prefix = directory + '/';
  std::vector<std::string> names;
  for (auto at = files_.lower_bound(prefix); at != files_.end(); ++at) {
    if (!at->first.starts_with(prefix)) break;
    const std::string rest = at->first.substr(prefix.size());
    if (rest.find('/') == std::string::npos) names.push_back(rest);
  }
  return names;
}

Status MemoryFileSystem::make_directories(const std::string&, unsigned) {
  return ok();
}

Status MemoryFileSystem::rename(const std::string& from, const std::string& to) {
  std::lock_guard lock(mutex_);
  const auto found = files_.find(from);
  if (found == files_.end()) return no_file(from);
  files_[to] = found->second;
  files_.erase(from);
  return ok();
}

Status MemoryFileSystem::remove(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (files_.erase(path) == 0) return no_file(path);
  return ok();
}

Status MemoryFileSystem::set_permissions(const std::string& path, unsigned permissions) {
  std::lock_guard lock(mutex_);
  if (!files_.contains(path)) return no_file(path);
  files_[path].permissions = permissions;
  return ok();
}

OpenOptions open_options(std::uint64_t segment_bytes_max) {
  OpenOptions options;
  options.directory = kDirectory;
  options.segment_bytes_max = segment_bytes_max;
  options.boot_id.emplace();
  return options;
}

std::string segment_path(std::uint64_t first_index) {
  return std::string(kDirectory) + "/seg/" + segment_file_name(first_index);
}

std::vector<std::string> segment_paths(MemoryFileSystem& fs) {
  std::vector<std::string> paths;
  const auto names = fs.list(std::string(kDirectory) + "/seg");
  for (const std::string& name : *names) {
    if (parse_segment_file_name(name)) paths.push_back(std::string(kDirectory) + "/seg/" + name);
  }
  return paths;
}

codec::Map request_body() {
  codec::Map actor;
  actor.set(key::actor::kKind, codec::Value::uint(1));
  actor.set(key::actor::kName, codec::Value::text("u"));
  codec::Map body;
  body.set(key::kActor, codec::Value::map(actor))
      .set(key::kRequestId, codec::Value::text("req_0"))
      .set(key::infer_request::kEndpoint, codec::Value::text("cli"));
  return body;
}

codec::Map result_body(std::uint64_t request_index) {
  codec::Map body;
  body.set(key::kRefIndex, codec::Value::uint(request_index))
      .set(key::infer_result::kPromptTokens, codec::Value::uint(7));
  return body;
}

SmallLedger make_small_ledger(bool close) {
  constexpr std::uint64_t kSegmentBytes = 1'200;
  SmallLedger small;
  small.fs = std::make_unique<MemoryFileSystem>();
  FixedClock clock;
  CountingRandom random;
  InitOptions options;
  options.directory = kDirectory;
  options.origin = kOrigin;
  options.boot_id.emplace();
  const auto identity = init(*small.fs, clock, random, options);
  ASSERT(identity.has_value());
  small.verifier_key = identity->verifier_key;
  const std::string checkpoint = std::string(kDirectory) + "/checkpoint";
  const Bytes first_checkpoint = small.fs->content(checkpoint);
  auto opened = Ledger::open(*small.fs, clock, random, open_options(kSegmentBytes));
  ASSERT(opened.has_value());
  Ledger& ledger = **opened;
  while (segment_paths(*small.fs).size() < 3) {
    const auto request = ledger.append_and_wait(RecordType::kInferRequest, request_body());
    ASSERT(request.has_value());
    const auto result =
        ledger.append_and_wait(RecordType::kInferResult, result_body(request->index));
    ASSERT(result.has_value());
  }
  ASSERT(ledger.append_and_wait(RecordType::kInferRequest, request_body()).has_value());
  ASSERT(ledger.append_and_wait(RecordType::kInferRequest, request_body()).has_value());
  if (close) ASSERT(ledger.close().has_value());
  opened->reset();
  // Those that were signed with each segment would help where the chain is to be tested alone.
  if (!close) small.fs->content(checkpoint) = first_checkpoint;
  small.records = verify_ledger(*small.fs, small.verifier_key).records;
  return small;
}

VerifyReport verify_ledger(os::FileSystem& fs, const std::string& verifier_key) {
  VerifyOptions options;
  options.directory = kDirectory;
  options.verifier_key = verifier_key;
  return verify(fs, options);
}

std::vector<FrameAt> frames_of(ByteView segment) {
  std::vector<FrameAt> frames;
  std::size_t offset = kSegmentHeaderBytes;
  while (offset < segment.size()) {
    const ParsedFrame parsed = parse_frame(segment.subspan(offset));
    ASSERT(parsed.form == Form::kGood);
    frames.push_back({offset, parsed.frame.bytes});
    offset += parsed.frame.bytes;
  }
  return frames;
}

void prune_by_hand(MemoryFileSystem& fs, std::uint64_t first_index) {
  const std::string path = segment_path(first_index);
  const Bytes whole = fs.content(path);
  const LedgerId ledger_id = parse_header(whole).header.ledger_id;
  Bytes pruned(whole.begin(), whole.begin() + kSegmentHeaderBytes);
  ChainHasher hasher;
  std::vector<Digest> leaves;
  for (const FrameAt& at : frames_of(whole)) {
    const Frame frame = parse_frame(ByteView(whole).subspan(at.offset)).frame;
    if (!survives_pruning(static_cast<RecordType>(frame.type))) {
      leaves.push_back(hasher.leaf(ledger_id, frame));
      continue;
    }
    if (!leaves.empty()) encode_leaves(frame.index - leaves.size(), leaves, pruned);
    leaves.clear();
    const auto from = whole.begin() + static_cast<std::ptrdiff_t>(at.offset);
    pruned.insert(pruned.end(), from, from + static_cast<std::ptrdiff_t>(at.bytes));
  }
  ASSERT(leaves.empty());  // a seal ends it
  const std::string folder = std::string(kDirectory) + "/seg/";
  ASSERT(os::replace_file(fs, folder + pruned_file_name(first_index), pruned).has_value());
  ASSERT(fs.remove(path).has_value());
}

void repair_checksum(Bytes& segment, std::size_t offset) {
  const auto length = load_little<std::uint32_t>(segment, offset + 4);
  const ByteView frame = ByteView(segment).subspan(offset, frame_bytes(length));
  const std::uint32_t crc = crc32c(frame.subspan(24), crc32c(frame.first(20)));
  store_little(crc, segment, offset + 20);
}

bool long_form() {
  return os::environment("AIOSS_LONG") == "1";
}

}  // namespace aioss::ledger::test
