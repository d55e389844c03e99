#include "runtime/catalogue/hash_cache.h"

#include <utility>

#include "base/log.h"
#include "codec/cbor.h"

namespace aioss::runtime {
namespace {

constexpr std::uint64_t kHashFileVersion = 1;
// Four times the models of a full directory, about 350 KB.
constexpr std::size_t kEntriesMax = 4096;
constexpr std::uint64_t kFileBytesMax = 1U << 20;
enum HashFileKey : std::uint64_t { kHashVersionKey = 0, kHashEntriesKey = 1 };
enum HashEntryKey : std::uint64_t { kDevice, kInode, kSize, kModifiedNs, kSha256 };

}  // namespace

HashCache::HashCache(os::FileSystem& fs, const std::string& directory) : fs_(fs) {
  if (directory.empty()) return;
  directory_ = directory;
  path_ = directory + "/model-hashes.cbor";
  read();
}

HashCache::Key HashCache::key_of(const os::FileInfo& file) {
  return {file.device, file.inode, file.size, file.modified_ns};
}

void HashCache::read() {
  const Result<Bytes> bytes = os::read_file(fs_, path_, kFileBytesMax);
  if (!bytes) return;
  const Result<codec::Map> map = codec::decode_map(*bytes);
  if (!map) return;
  const auto version = map->get_uint(kHashVersionKey, "version");
  const auto list = map->get_array(kHashEntriesKey, "entries");
  if (!version || *version != kHashFileVersion || !list) return;
  for (const codec::Value& value : **list) {
    const codec::Map* entry = value.if_map();
    if (entry == nullptr || entries_.size() >= kEntriesMax) return;
    const auto device = entry->get_uint(kDevice, "device");
    const auto inode = entry->get_uint(kInode, "inode");
    const auto size = entry->get_uint(kSize, "size");
    const auto modified = entry->get_int(kModifiedNs, "modified");
    const auto digest = entry->get_digest(kSha256, "sha256");
    if (!device || !inode || !size || !modified || !digest) return;
    entries_.emplace(Key{*device, *inode, *size, *modified}, *digest);
  }
}

Bytes HashCache::encode() const {
  codec::Array list;
  for (const auto& [key, digest] : entries_) {
    codec::Map entry;
    entry.set(kDevice, codec::Value::uint(std::get<0>(key)))
        .set(kInode, codec::Value::uint(std::get<1>(key)))
        .set(kSize, codec::Value::uint(std::get<2>(key)))
        .set(kModifiedNs, codec::Value::integer(std::get<3>(key)))
        .set(kSha256, codec::Value::bytes(digest));
    list.push_back(codec::Value::map(std::move(entry)));
  }
  codec::Map map;
  map.set(kHashVersionKey, codec::Value::uint(kHashFileVersion))
      .set(kHashEntriesKey, codec::Value::array(std::move(list)));
  return codec::encode(std::move(map));
}

std::optional<Digest> HashCache::find(const os::FileInfo& file) const {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(key_of(file));
  if (found == entries_.end()) return std::nullopt;
  return found->second;
}

void HashCache::put(const os::FileInfo& file, const Digest& digest, std::int64_t now_wall_ns) {
  if (path_.empty() || now_wall_ns - file.modified_ns < kSettledNs) return;
  Bytes bytes;
  {
    std::lock_guard lock(mutex_);
    // A device and inode have one content at a time: what the file was before goes.
    std::erase_if(entries_, [&](const auto& entry) {
      return std::get<0>(entry.first) == file.device && std::get<1>(entry.first) == file.inode;
    });
    if (entries_.size() >= kEntriesMax) entries_.clear();
    entries_.emplace(key_of(file), digest);
    bytes = encode();
  }
  Status written = fs_.make_directories(directory_);
  if (written) written = os::replace_file(fs_, path_, bytes);
  if (!written) {
    log::warn("the cache of model hashes cannot be written", {{"reason", written.error().message}});
  }
}

}  // namespace aioss::runtime
