#include "os/testing/power_cut_file_system.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <random>

namespace aioss::os {
namespace {

constexpr std::size_t kSectorBytes = 512;  // what a disk writes whole or not at all
constexpr unsigned kOwnerWrites = 0200;

// "a/b/.." and "a//" are "a"; the root of everything is "".
std::string normal(const std::string& path) {
  std::string text = std::filesystem::path(path).lexically_normal().string();
  while (!text.empty() && text.back() == '/') text.pop_back();
  return text == "." ? "" : text;
}

std::string parent_of(const std::string& normal_path) {
  const std::size_t slash = normal_path.rfind('/');
  return slash == std::string::npos ? "" : normal_path.substr(0, slash);
}

// What chance decides at a power cut.
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : engine_(seed) {}
  bool coin() { return (engine_() & 1U) != 0; }
  std::size_t up_to(std::size_t most) { return static_cast<std::size_t>(engine_() % (most + 1)); }

 private:
  std::mt19937_64 engine_;
};

// Which of `count` ordered changes survive, as a mask.
std::vector<bool> surviving(std::size_t count, PowerCut::Keep keep, Chance& chance) {
  std::vector<bool> kept(count, false);
  if (keep == PowerCut::Keep::kPrefix) {
    std::fill_n(kept.begin(), static_cast<std::ptrdiff_t>(chance.up_to(count)), true);
  }
  if (keep == PowerCut::Keep::kSubset) {
    for (std::size_t i = 0; i < count; ++i) kept[i] = chance.coin();
  }
  return kept;
}

struct Change {  // to a file's bytes
  std::uint64_t offset = 0;
  std::optional<Bytes> bytes;  // nothing: the file was cut (or grown) to `offset`
};

void put(std::uint64_t offset, ByteView bytes, Bytes& image) {
  if (image.size() < offset + bytes.size()) image.resize(offset + bytes.size());
  std::copy(bytes.begin(), bytes.end(), image.begin() + static_cast<std::ptrdiff_t>(offset));
}

void make(const Change& change, Bytes& image) {
  if (change.bytes) {
    put(change.offset, *change.bytes, image);
  } else {
    image.resize(change.offset);
  }
}

// A write of which any sectors reached the disk; the new length may have, without them.
void make_sectors(const Change& change, Chance& chance, Bytes& image) {
  if (!change.bytes) {
    if (chance.coin()) make(change, image);
    return;
  }
  const ByteView bytes = *change.bytes;
  const std::uint64_t end = change.offset + bytes.size();
  if (chance.coin() && image.size() < end) image.resize(end);
  for (std::uint64_t at = change.offset; at < end;) {
    const std::uint64_t next = std::min(end, (at / kSectorBytes + 1) * kSectorBytes);
    if (chance.coin()) put(at, bytes.subspan(at - change.offset, next - at), image);
    at = next;
  }
}

Error power_is_out() {
  return {Code::kIo, "the power is out"};
}

}  // namespace

class PowerCutFileSystem::Node final {
 public:
  Node(bool is_directory, unsigned mode) : directory(is_directory), permissions(mode) {}

  void write(std::uint64_t offset, ByteView bytes) {
    unsynced_.push_back({offset, Bytes(bytes.begin(), bytes.end())});
    make(unsynced_.back(), seen);
  }
  void truncate(std::uint64_t size) {
    unsynced_.push_back({size, std::nullopt});
    make(unsynced_.back(), seen);
  }
  void sync() {
    for (const Change& change : unsynced_) make(change, durable_);
    unsynced_.clear();
  }
  // The kernel could not write the pages and calls them clean. A length is in the journal.
  void lose_unsynced_writes() {
    std::erase_if(unsynced_, [](const Change& change) { return change.bytes.has_value(); });
  }

  std::shared_ptr<Node> after_power_cut(PowerCut::Keep keep, Chance& chance) const {
    auto left = std::make_shared<Node>(directory, permissions);
    left->seen = durable_;
    if (keep == PowerCut::Keep::kSubset) {
      for (const Change& change : unsynced_) make_sectors(change, chance, left->seen);
    } else {
      const std::vector<bool> kept = surviving(unsynced_.size(), keep, chance);
      std::size_t next = 0;
      for (; next < kept.size() && kept[next]; ++next) make(unsynced_[next], left->seen);
      const bool tears = keep == PowerCut::Keep::kPrefix && next < unsynced_.size();
      if (tears && unsynced_[next].bytes) {
        const ByteView bytes = *unsynced_[next].bytes;
        put(unsynced_[next].offset, bytes.first(chance.up_to(bytes.size())), left->seen);
      }
    }
    left->durable_ = left->seen;
    return left;
  }

  const bool directory;
  unsigned permissions;
  bool locked = false;
  Bytes seen;

 private:
  Bytes durable_;
  std::vector<Change> unsynced_;  // since the last sync, in order
};

class PowerCutFileSystem::OpenFile final : public File {
 public:
  OpenFile(PowerCutFileSystem& owner, NodePtr node, bool writes)
      : owner_(owner), node_(std::move(node)), writes_(writes) {}
  ~OpenFile() override {
    std::lock_guard lock(owner_.mutex_);
    if (has_lock_) node_->locked = false;
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::uint8_t> into) override {
    std::lock_guard lock(owner_.mutex_);
    const Bytes& bytes = node_->seen;
    if (offset >= bytes.size()) return std::size_t{0};
    const std::size_t count = std::min<std::size_t>(into.size(), bytes.size() - offset);
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), count, into.begin());
    return count;
  }
  Result<std::size_t> write_at(std::uint64_t offset, ByteView bytes) override {
    std::lock_guard lock(owner_.mutex_);
    AIOSS_CHECK(check_writes());
    AIOSS_CHECK(owner_.operate());
    node_->write(offset, bytes);
    return bytes.size();
  }
  Status sync_data() override {
    std::lock_guard lock(owner_.mutex_);
    return owner_.sync(*node_);
  }
  Status sync_all() override { return sync_data(); }
  Status truncate(std::uint64_t size) override {
    std::lock_guard lock(owner_.mutex_);
    AIOSS_CHECK(check_writes());
    AIOSS_CHECK(owner_.operate());
    node_->truncate(size);
    return ok();
  }
  Result<FileInfo> info() override {
    std::lock_guard lock(owner_.mutex_);
    FileInfo about;
    about.size = node_->seen.size();
    about.is_regular = true;
    return about;
  }
  Status lock_exclusive() override {
    std::lock_guard lock(owner_.mutex_);
    if (node_->locked && !has_lock_) return Error{Code::kConflict, "the file is locked"};
    node_->locked = has_lock_ = true;
    return ok();
  }
  int descriptor() const override { return -1; }

 private:
  Status check_writes() const {
    return writes_ ? ok() : Status(error_from_errno(EBADF, "cannot write"));
  }

  PowerCutFileSystem& owner_;
  const NodePtr node_;
  const bool writes_;
  bool has_lock_ = false;
};

PowerCutFileSystem::PowerCutFileSystem() = default;
PowerCutFileSystem::~PowerCutFileSystem() = default;

std::unique_ptr<PowerCutFileSystem> PowerCutFileSystem::after_power_cut(PowerCut cut) const {
  std::lock_guard lock(mutex_);
  Chance chance(cut.seed);
  Names names = durable_;
  const auto kept = surviving(unsynced_names_.size(), cut.keep, chance);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (kept[i]) apply(unsynced_names_[i], names);
  }
  auto left = std::make_unique<PowerCutFileSystem>();
  std::map<const Node*, NodePtr> nodes;  // a node with two names stays one
  for (const auto& [path, node] : names) {
    // A parent sorts before what is in it. What is in a directory that has no name is lost with it.
    if (!left->is_directory(parent_of(path))) continue;
    NodePtr& copy = nodes[node.get()];
    if (!copy) copy = node->after_power_cut(cut.keep, chance);
    left->seen_[path] = copy;
  }
  left->durable_ = left->seen_;
  return left;
}

void PowerCutFileSystem::stop_after(std::uint64_t operations) {
  std::lock_guard lock(mutex_);
  operations_max_ = operations_ + operations;
}

std::uint64_t PowerCutFileSystem::operations() const {
  std::lock_guard lock(mutex_);
  return operations_;
}

void PowerCutFileSystem::fail_sync(std::uint64_t call) {
  std::lock_guard lock(mutex_);
  failing_sync_ = file_syncs_ + call;
}

void PowerCutFileSystem::lie_on_sync(std::uint64_t call) {
  std::lock_guard lock(mutex_);
  lying_sync_ = file_syncs_ + call;
}

std::uint64_t PowerCutFileSystem::file_syncs() const {
  std::lock_guard lock(mutex_);
  return file_syncs_;
}

Status PowerCutFileSystem::operate() {
  if (operations_ >= operations_max_) return power_is_out();
  ++operations_;
  return ok();
}

Status PowerCutFileSystem::sync(Node& node) {
  AIOSS_CHECK(operate());
  if (++file_syncs_ == failing_sync_) {
    node.lose_unsynced_writes();
    return error_from_errno(EIO, "cannot sync");
  }
  if (file_syncs_ != lying_sync_) node.sync();
  return ok();
}

Result<PowerCutFileSystem::NodePtr> PowerCutFileSystem::find(const std::string& path) const {
  const auto found = seen_.find(normal(path));
  if (found == seen_.end()) return error_from_errno(ENOENT, path);
  return found->second;
}

bool PowerCutFileSystem::is_directory(const std::string& path) const {
  if (path.empty()) return true;
  const auto found = seen_.find(path);
  return found != seen_.end() && found->second->directory;
}

void PowerCutFileSystem::apply(const NameChange& change, Names& names) {
  for (const auto& [path, node] : change) {
    if (node) {
      names[path] = node;
    } else {
      names.erase(path);
    }
  }
}

void PowerCutFileSystem::change_names(NameChange change) {
  apply(change, seen_);
  unsynced_names_.push_back(std::move(change));
}

Result<std::unique_ptr<File>> PowerCutFileSystem::open(const std::string& path, OpenMode mode,
                                                       unsigned permissions) {
  std::lock_guard lock(mutex_);
  const bool creates = mode == OpenMode::kCreateNew || mode == OpenMode::kReadWriteCreate;
  const bool writes = mode != OpenMode::kRead;
  auto node = find(path);
  if (node && mode == OpenMode::kCreateNew) return error_from_errno(EEXIST, path);
  if (node && (*node)->directory) return error_from_errno(EISDIR, path);
  if (node && writes && ((*node)->permissions & kOwnerWrites) == 0) {
    return error_from_errno(EACCES, path);
  }
  if (!node && !creates) return std::move(node).error();
  if (!node) {
    const std::string name = normal(path);
    if (!is_directory(parent_of(name))) return error_from_errno(ENOENT, path);
    AIOSS_CHECK(operate());
    node = std::make_shared<Node>(false, permissions);
    change_names({{name, *node}});
  }
  return std::make_unique<OpenFile>(*this, *node, writes);
}

Result<FileInfo> PowerCutFileSystem::info(const std::string& path) {
  std::lock_guard lock(mutex_);
  FileInfo about;
  about.is_directory = is_directory(normal(path));
  if (about.is_directory) return about;
  AIOSS_TRY(const NodePtr node, find(path));
  about.size = node->seen.size();
  about.is_regular = true;
  return about;
}

Result<std::vector<std::string>> PowerCutFileSystem::list(const std::string& directory) {
  std::lock_guard lock(mutex_);
  const std::string folder = normal(directory);
  if (!is_directory(folder)) return error_from_errno(ENOENT, directory);
  std::vector<std::string> names;
  for (const auto& [path, node] : seen_) {
    if (parent_of(path) == folder)
      names.push_back(path.substr(folder.empty() ? 0 : folder.size() + 1));
  }
  return names;
}

Status PowerCutFileSystem::make_directories(const std::string& path, unsigned permissions) {
  std::lock_guard lock(mutex_);
  return make_one_directory(normal(path), permissions);
}

Status PowerCutFileSystem::make_one_directory(const std::string& path, unsigned permissions) {
  if (is_directory(path)) return ok();
  if (seen_.contains(path)) return error_from_errno(ENOTDIR, path);
  AIOSS_CHECK(make_one_directory(parent_of(path), permissions));
  AIOSS_CHECK(operate());
  change_names({{path, std::make_shared<Node>(true, permissions)}});
  return ok();
}

Status PowerCutFileSystem::rename(const std::string& from, const std::string& to) {
  std::lock_guard lock(mutex_);
  AIOSS_TRY(const NodePtr node, find(from));
  if (node->directory) return error_from_errno(ENOTSUP, "cannot rename a directory");
  if (!is_directory(parent_of(normal(to)))) return error_from_errno(ENOENT, to);
  AIOSS_CHECK(operate());
  change_names({{normal(from), nullptr}, {normal(to), node}});
  return ok();
}

Status PowerCutFileSystem::remove(const std::string& path) {
  std::lock_guard lock(mutex_);
  AIOSS_TRY(const NodePtr node, find(path));
  if (node->directory) return error_from_errno(ENOTSUP, "cannot remove a directory");
  AIOSS_CHECK(operate());
  change_names({{normal(path), nullptr}});
  return ok();
}

Status PowerCutFileSystem::set_permissions(const std::string& path, unsigned permissions) {
  std::lock_guard lock(mutex_);
  AIOSS_TRY(const NodePtr node, find(path));
  if (node->directory) return error_from_errno(EISDIR, path);
  AIOSS_CHECK(operate());
  node->permissions = permissions;
  return ok();
}

Status PowerCutFileSystem::sync_directory(const std::string& path) {
  std::lock_guard lock(mutex_);
  const std::string folder = normal(path);
  if (!is_directory(folder)) return error_from_errno(ENOENT, path);
  AIOSS_CHECK(operate());
  std::vector<NameChange> others;
  for (NameChange& change : unsynced_names_) {
    const bool here = std::any_of(change.begin(), change.end(), [&folder](const auto& entry) {
      return parent_of(entry.first) == folder;
    });
    if (here) {
      apply(change, durable_);
    } else {
      others.push_back(std::move(change));
    }
  }
  unsynced_names_ = std::move(others);
  return ok();
}

}  // namespace aioss::os
