#include "cli/model_store.h"

#include <span>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "base/suggest.h"
#include "cli/model_settings_file.h"
#include "crypto/hash.h"

namespace aioss::cli {
namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 20;

Status write_whole(os::File& file, std::uint64_t offset, ByteView bytes) {
  while (!bytes.empty()) {
    AIOSS_TRY(const std::size_t count, file.write_at(offset, bytes));
    if (count == 0) return Error{Code::kIo, "the disk takes no more"};
    offset += count;
    bytes = bytes.subspan(count);
  }
  return ok();
}

}  // namespace

Result<ModelStore> open_store(const Services& services, const Config& config) {
  ModelStore store;
  store.directory = config.text(Key::kModelsDir);
  if (store.directory.empty()) {
    return Error{Code::kUsage, "HOME is not set; name the folder with --models-dir"};
  }
  const auto found = services.files.info(store.directory);
  const bool missing = !found && found.error().code == Code::kNotFound &&
                       config.source(Key::kModelsDir) == Source::kDefault;
  runtime::CatalogueOptions options;
  options.models_dir = missing ? "" : store.directory;
  options.settings = config.models();
  options.parse_settings = parse_model_settings;
  options.allow_path = config.text(Key::kModelsAllow);
  AIOSS_TRY(store.catalogue, runtime::scan_catalogue(services.files, options));
  for (const auto& [name, adapter] : store.catalogue.adapters) {
    runtime::CatalogueEntry& entry = store.adapters[name];
    entry.name = name;
    entry.engine = adapter.engine;
    entry.paths = {adapter.path};
    entry.parts = {adapter.file};
    entry.file_bytes = adapter.file.size;
    entry.problem = adapter.problem;
  }
  return store;
}

Result<const runtime::CatalogueEntry*> find_model(const ModelStore& store,
                                                  const std::string& name) {
  const auto alias = store.catalogue.aliases.find(name);
  const auto found =
      store.catalogue.models.find(alias == store.catalogue.aliases.end() ? name : alias->second);
  if (found != store.catalogue.models.end()) return &found->second;
  const auto adapter = store.adapters.find(name);
  if (adapter != store.adapters.end()) return &adapter->second;
  std::vector<std::string> names;
  for (const auto& [known, entry] : store.adapters) names.push_back(known);
  for (const auto& [known, entry] : store.catalogue.models) names.push_back(known);
  for (const auto& [known, model] : store.catalogue.aliases) names.push_back(known);
  const std::string hint = did_you_mean(name, names);
  return Error{Code::kNotFound, "there is no model '" + one_line(replace_invalid_utf8(name)) +
                                    "' in " + store.directory +
                                    (hint.empty() ? "; 'aioss models' lists them" : hint)};
}

std::string file_name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

Result<Digest> FileReader::read(os::File& from, os::File* copy) {
  crypto::Hasher hasher(crypto::HashAlgorithm::kSha256);
  std::vector<std::uint8_t> buffer(kReadBytes);
  for (std::uint64_t offset = 0;;) {
    AIOSS_TRY(const std::size_t count, from.read_at(offset, buffer));
    if (count == 0) break;
    const ByteView bytes(buffer.data(), count);
    hasher.update(bytes);
    if (copy != nullptr) AIOSS_CHECK(write_whole(*copy, offset, bytes));
    offset += count;
    done_ += count;
    if (bytes_all_ > 0) {
      progress_.update(static_cast<float>(done_) / static_cast<float>(bytes_all_));
    }
  }
  if (done_ >= bytes_all_) progress_.clear();
  return hasher.finish();
}

}  // namespace aioss::cli
