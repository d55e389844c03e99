#include "plugins/engine_store.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "crypto/hash.h"
#include "plugins/plugin_file.h"

namespace aioss::plugins {
namespace {

constexpr std::string_view kPluginSuffix = ".so", kManifestSuffix = ".json";
constexpr std::size_t kCopyPieceBytes = std::size_t{1} << 20;

Result<Manifest> read_manifest(os::FileSystem& fs, const std::string& directory,
                               const std::string& name) {
  const std::string path = manifest_path(directory, name);
  auto bytes = os::read_file(fs, path, kManifestBytesMax);
  if (!bytes && bytes.error().code == Code::kNotFound) {
    return Error{Code::kNotFound,
                 "it has no manifest " + path + "; install engines with 'aioss engine add FILE'"};
  }
  if (!bytes) return std::move(bytes).error();
  AIOSS_TRY(Manifest manifest, parse_manifest(as_text(*bytes)));
  if (manifest.name != name) {
    return Error{Code::kCorrupt, "its manifest is of '" + manifest.name + "'"};
  }
  AIOSS_CHECK(check_abi(manifest));
  const auto& formats = manifest.formats;
  if (std::find(formats.begin(), formats.end(), kFormatGguf) == formats.end()) {
    return Error{Code::kUnsupported, "it takes no models in GGUF, and aioss has no others"};
  }
  return manifest;
}

// All bytes of `from` into a new file, which has the hash that was expected, or is gone again.
Status copy_checked(os::FileSystem& fs, const std::string& from, const std::string& to,
                    const Digest& expected) {
  AIOSS_TRY(const auto source, fs.open(from, os::OpenMode::kRead));
  AIOSS_TRY(const auto target, fs.open(to, os::OpenMode::kCreateNew, 0644));
  crypto::Hasher hasher(crypto::HashAlgorithm::kSha256);
  std::vector<std::uint8_t> buffer(kCopyPieceBytes);
  std::uint64_t offset = 0;
  for (;;) {
    AIOSS_TRY(const std::size_t count, source->read_at(offset, buffer));
    if (count == 0) break;
    ByteView piece(buffer.data(), count);
    hasher.update(piece);
    while (!piece.empty()) {
      AIOSS_TRY(const std::size_t written, target->write_at(offset, piece));
      if (written == 0) return Error{Code::kIo, "the disk takes no more"};
      offset += written;
      piece = piece.subspan(written);
    }
  }
  if (hasher.finish() != expected) {
    return Error{Code::kConflict, from + " was changed while it was copied; try again"};
  }
  return target->sync_all();
}

}  // namespace

std::string plugin_path(const std::string& directory, std::string_view name) {
  return directory + "/" + std::string(name) + std::string(kPluginSuffix);
}

std::string manifest_path(const std::string& directory, std::string_view name) {
  return directory + "/" + std::string(name) + std::string(kManifestSuffix);
}

Result<EngineImage> read_engine(os::FileSystem& fs, const std::string& directory,
                                const std::string& name, const Trust& trust) {
  if (!is_plugin_name(name)) return Error{Code::kUsage, "no engine can have this name"};
  AIOSS_TRY(const Manifest manifest, read_manifest(fs, directory, name));
  if (trust) AIOSS_CHECK(trust(manifest, name + std::string(kPluginSuffix)));
  const std::string path = plugin_path(directory, name);
  AIOSS_TRY(const PluginFile file, read_plugin(fs, path));
  if (file.sha256 != manifest.sha256) {
    return Error{Code::kCorrupt, path +
                                     " is not the file that was installed: its SHA-256 is not its "
                                     "manifest's; if you know why, put it there anew ('aioss "
                                     "engine add FILE --force')"};
  }
  EngineImage image;
  image.name = name;
  image.version = manifest.version;
  image.file = file.file;
  image.sha256 = file.sha256;
  image.origin = path;
  return image;
}

InstalledEngines read_engines(os::FileSystem& fs, const std::string& directory,
                              const Trust& trust) {
  InstalledEngines out;
  if (directory.empty()) return out;
  const auto files = fs.list(directory);
  if (!files) {
    if (files.error().code != Code::kNotFound) out.left_out.push_back({directory, files.error()});
    return out;
  }
  std::size_t looked_at = 0;
  for (const std::string& file : *files) {
    if (!file.ends_with(kPluginSuffix)) continue;
    const std::string name = file.substr(0, file.size() - kPluginSuffix.size());
    if (++looked_at > kEnginesMax) {
      out.left_out.push_back({one_line(name), {Code::kTooLarge, "there are too many engines"}});
      break;
    }
    auto image = read_engine(fs, directory, name, trust);
    if (image) {
      out.engines.push_back(std::move(*image));
    } else {
      out.left_out.push_back({one_line(name), std::move(image).error()});
    }
  }
  return out;
}

Status add_engine(os::FileSystem& fs, const std::string& directory, const Manifest& manifest,
                  const std::string& from, bool may_replace) {
  const std::string path = plugin_path(directory, manifest.name);
  if (!may_replace && fs.info(path)) {
    return Error{Code::kConflict,
                 "there is an engine '" + manifest.name + "'; --force replaces it"};
  }
  AIOSS_CHECK(fs.make_directories(directory));
  const std::string coming = path + ".new";
  AIOSS_CHECK(os::remove_if_there(fs, coming));
  if (const Status copied = copy_checked(fs, from, coming, manifest.sha256); !copied) {
    (void)os::remove_if_there(fs, coming);
    return copied;
  }
  // Between the two the pair does not fit, and is refused; never is one file half of another.
  AIOSS_CHECK(fs.rename(coming, path));
  return os::replace_file(fs, manifest_path(directory, manifest.name),
                          as_bytes(format_manifest(manifest)), 0644);
}

Status remove_engine(os::FileSystem& fs, const std::string& directory, const std::string& name) {
  if (!is_plugin_name(name)) return Error{Code::kUsage, "no engine can have this name"};
  const std::string path = plugin_path(directory, name);
  if (!fs.info(path) && !fs.info(manifest_path(directory, name))) {
    return Error{Code::kNotFound, "there is no engine '" + name + "' in " + directory};
  }
  AIOSS_CHECK(os::remove_if_there(fs, path));
  AIOSS_CHECK(os::remove_if_there(fs, manifest_path(directory, name)));
  return fs.sync_directory(directory);
}

}  // namespace aioss::plugins
