#include "runtime/catalogue/catalogue.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>
#include <utility>

#include "base/clock.h"
#include "base/strings.h"
#include "os/fixed_content.h"
#include "runtime/catalogue/engines.h"
#include "runtime/catalogue/hash_cache.h"
#include "runtime/settings/gateway_options.h"

namespace aioss::runtime {
namespace {

constexpr std::size_t kNoticesMax = 64;  // a directory of other things must not fill the log
constexpr std::uint64_t kSettingsBytesMax = 64 << 10;  // of NAME.toml
constexpr std::size_t kPartDigits = 5;  // "-00001-of-00003", as llama.cpp writes them

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '+' || c == '-';
}

struct Stem {
  std::string name;
  std::string engine;
};

// The file name without an extension that we know; nothing for other files.
std::optional<Stem> model_stem(std::string_view file_name, bool fake_models) {
  constexpr std::string_view kGguf = ".gguf";
  constexpr std::string_view kFake = ".fake";
  const auto without = [&](std::string_view extension) {
    return std::string(file_name.substr(0, file_name.size() - extension.size()));
  };
  if (file_name.ends_with(kGguf)) return Stem{without(kGguf), "llama"};
  if (fake_models && file_name.ends_with(kFake))
    return Stem{without(kFake), std::string(kFakeEngine)};
  return std::nullopt;
}

// "x.lora" without its end; nothing if it has none.
std::optional<std::string> adapter_name(std::string_view stem) {
  constexpr std::string_view kLora = ".lora";
  if (!stem.ends_with(kLora) || stem.size() == kLora.size()) return std::nullopt;
  return std::string(stem.substr(0, stem.size() - kLora.size()));
}

struct Part {
  std::string prefix;
  std::uint32_t number = 0;  // from 1
  std::uint32_t count = 0;
};

// "prefix-00001-of-00003" taken apart; nothing if it is no such name.
std::optional<Part> parse_part(std::string_view stem) {
  constexpr std::string_view kOf = "-of-";
  constexpr std::size_t kSuffix = 1 + kPartDigits + kOf.size() + kPartDigits;
  if (stem.size() <= kSuffix) return std::nullopt;
  const std::string_view suffix = stem.substr(stem.size() - kSuffix);
  if (suffix[0] != '-' || suffix.substr(1 + kPartDigits, kOf.size()) != kOf) return std::nullopt;
  const auto number = parse_u64(suffix.substr(1, kPartDigits));
  const auto count = parse_u64(suffix.substr(kSuffix - kPartDigits));
  if (!number || !count || *number < 1 || *number > *count) return std::nullopt;
  return Part{std::string(stem.substr(0, stem.size() - kSuffix)),
              static_cast<std::uint32_t>(*number), static_cast<std::uint32_t>(*count)};
}

std::string part_name(const Part& part, std::uint32_t number) {
  std::array<char, 32> suffix{};
  std::snprintf(suffix.data(), suffix.size(), "-%05u-of-%05u.gguf", number, part.count);
  return part.prefix + suffix.data();
}

class Scanner final {
 public:
  Scanner(os::FileSystem& fs, const CatalogueOptions& options) : fs_(fs), options_(options) {}

  Status read_allow_list();
  Status scan_directory(const std::string& directory);
  Status add_file(const std::string& path);
  Status add_adapter_file(const std::string& path);
  Catalogue take();

 private:
  void add_from_directory(const std::string& directory, const std::string& file_name);
  bool add_adapter(std::string name, const std::string& engine, const std::string& path);
  CatalogueEntry split_entry(const std::string& directory, const Part& part);
  bool add_part(CatalogueEntry& entry, const std::string& path);
  void add(CatalogueEntry entry, const std::string& file_name);
  void find_settings(CatalogueEntry& entry, const std::string& directory);
  void notice(const std::string& file_name, std::string_view why);

  os::FileSystem& fs_;
  const CatalogueOptions& options_;  // the caller's
  Catalogue catalogue_;
  std::set<std::string> splits_seen_;  // "prefix/count"
};

void Scanner::notice(const std::string& file_name, std::string_view why) {
  if (catalogue_.notices.size() >= kNoticesMax) return;
  catalogue_.notices.push_back("ignored '" + one_line(replace_invalid_utf8(file_name)) +
                               "': " + std::string(why));
}

// False if the file is not there or is no regular file.
bool Scanner::add_part(CatalogueEntry& entry, const std::string& path) {
  const Result<os::FileInfo> info = fs_.info(path);
  if (!info || !info->is_regular) return false;
  entry.paths.push_back(path);
  entry.parts.push_back(*info);
  entry.file_bytes += info->size;
  entry.modified_unix_s = std::max(entry.modified_unix_s, info->modified_ns / kNsPerSecond);
  return true;
}

CatalogueEntry Scanner::split_entry(const std::string& directory, const Part& part) {
  CatalogueEntry entry;
  entry.name = part.prefix;
  entry.engine = "llama";
  if (part.count > kSplitPartsMax) {
    entry.problem = Error{Code::kModelCorrupt,
                          "the model claims " + std::to_string(part.count) + " parts; at most " +
                              std::to_string(kSplitPartsMax) + " are supported"};
    return entry;
  }
  for (std::uint32_t number = 1; number <= part.count; ++number) {
    if (add_part(entry, directory + "/" + part_name(part, number)) || entry.problem) continue;
    entry.problem = Error{Code::kModelCorrupt,
                          "part " + std::to_string(number) + " of " + std::to_string(part.count) +
                              " is missing; put all parts into the models directory"};
  }
  return entry;
}

// And whether it may be loaded. A file with a mistake makes the model one that cannot be loaded:
// what its operator wanted is not known.
void Scanner::find_settings(CatalogueEntry& entry, const std::string& directory) {
  if (catalogue_.allowed && !entry.problem) {
    if (Status listed = catalogue_.allowed->check_names(entry.paths); !listed) {
      entry.problem = std::move(listed).error();
    }
  }
  if (options_.parse_settings) {
    const std::string file_name = entry.name + ".toml";
    const Result<Bytes> bytes = os::read_file(fs_, directory + "/" + file_name, kSettingsBytesMax);
    auto beside = bytes ? options_.parse_settings(as_text(*bytes), file_name)
                        : Result<ModelSettings>(bytes.error());
    if (beside) {
      entry.settings = std::move(*beside);
    } else if (beside.error().code != Code::kNotFound && !entry.problem) {
      notice(file_name, beside.error().message);
      entry.problem = Error{Code::kModelCorrupt, "its settings: " + beside.error().message};
    }
  }
  const auto own = options_.settings.find(entry.name);
  if (own != options_.settings.end()) entry.settings = entry.settings.under(own->second);
}

Catalogue Scanner::take() {
  for (const auto& [name, entry] : catalogue_.models) {
    for (const std::string& alias : entry.settings.aliases) {
      if (alias == name) continue;
      const bool free = !catalogue_.models.contains(alias);
      if (free && catalogue_.aliases.emplace(alias, name).second) continue;
      notice(alias, "the alias of '" + name + "' is the name or an alias of another model");
    }
  }
  return std::move(catalogue_);
}

void Scanner::add(CatalogueEntry entry, const std::string& file_name) {
  if (catalogue_.models.size() >= kModelsMax) {
    notice(file_name, "there are more than " + std::to_string(kModelsMax) + " models");
    return;
  }
  const std::string name = entry.name;
  if (!catalogue_.models.emplace(name, std::move(entry)).second) {
    notice(file_name, "another file has the model name '" + name + "'");
  }
}

void Scanner::add_from_directory(const std::string& directory, const std::string& file_name) {
  const std::optional<Stem> stem = model_stem(file_name, options_.fake_models);
  if (!stem) return;
  const std::optional<Part> part = stem->engine == "llama" ? parse_part(stem->name) : std::nullopt;
  const std::optional<std::string> adapter = adapter_name(stem->name);
  if (!is_model_name(part ? part->prefix : adapter ? *adapter : stem->name)) {
    notice(file_name, "rename it with letters, digits and . _ + - only");
    return;
  }
  if (adapter) {
    const bool added = add_adapter(*adapter, stem->engine, directory + "/" + file_name);
    if (!added) notice(file_name, "it cannot be read, or another adapter has its name");
    return;
  }
  if (part) {
    // The first part that is met stands for all of them.
    if (!splits_seen_.insert(part->prefix + "/" + std::to_string(part->count)).second) return;
    CatalogueEntry entry = split_entry(directory, *part);
    find_settings(entry, directory);
    add(std::move(entry), file_name);
    return;
  }
  CatalogueEntry entry;
  entry.name = stem->name;
  entry.engine = stem->engine;
  if (!add_part(entry, directory + "/" + file_name)) {
    notice(file_name, "it is not a regular file or cannot be read");
    return;
  }
  find_settings(entry, directory);
  add(std::move(entry), file_name);
}

bool Scanner::add_adapter(std::string name, const std::string& engine, const std::string& path) {
  const Result<os::FileInfo> info = fs_.info(path);
  if (!info || !info->is_regular) return false;
  if (catalogue_.adapters.size() >= kAdaptersInCatalogueMax) return false;
  AdapterEntry entry{name, engine, path, *info, {}};
  if (catalogue_.allowed) {
    if (Status listed = catalogue_.allowed->check_names({path}); !listed) {
      entry.problem = std::move(listed).error();
    }
  }
  return catalogue_.adapters.emplace(std::move(name), std::move(entry)).second;
}

Status Scanner::read_allow_list() {
  if (options_.allow_path.empty()) return ok();
  AIOSS_TRY(AllowList list, AllowList::read(fs_, options_.allow_path));
  catalogue_.allowed = std::make_shared<const AllowList>(std::move(list));
  return ok();
}

Status Scanner::scan_directory(const std::string& directory) {
  Result<std::vector<std::string>> names = fs_.list(directory);
  if (!names) {
    return Error{names.error().code, "cannot read the models directory '" + directory +
                                         "'; create it or name another: " + names.error().message};
  }
  for (const std::string& name : *names) add_from_directory(directory, name);
  return ok();
}

std::string safe_name(std::string name) {
  if (name.size() > kModelNameBytesMax) name.resize(kModelNameBytesMax);
  for (char& c : name) {
    if (!is_name_character(c)) c = '-';
  }
  if (name.empty() || name.front() == '.' || name.front() == '-') name.insert(0, 1, 'm');
  if (name.size() > kModelNameBytesMax) name.resize(kModelNameBytesMax);
  return name;
}

Status Scanner::add_file(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash);
  const std::string file_name = slash == std::string::npos ? path : path.substr(slash + 1);
  // A file that was named explicitly may have any extension: the engine looks at the content.
  const Stem stem = model_stem(file_name, true).value_or(Stem{file_name, "llama"});
  const std::optional<Part> part = stem.engine == "llama" ? parse_part(stem.name) : std::nullopt;
  CatalogueEntry entry;
  if (part) {
    entry = split_entry(directory.empty() ? "/" : directory, *part);
    if (entry.problem) return *entry.problem;
    entry.name = safe_name(part->prefix);
  } else {
    entry.name = safe_name(stem.name);
    entry.engine = stem.engine;
    AIOSS_TRY(const os::FileInfo info, fs_.info(path));
    if (!info.is_regular || !add_part(entry, path)) {
      return Error{Code::kInvalidArgument, "'" + path + "' is not a regular file"};
    }
  }
  find_settings(entry, directory);
  catalogue_.models.insert_or_assign(entry.name, entry);  // what was named wins over the directory
  return ok();
}

Status Scanner::add_adapter_file(const std::string& path) {
  const std::string name = adapter_name_of(path);
  const bool fake = path.ends_with(".fake");
  catalogue_.adapters.erase(name);  // what was named wins over the directory
  if (add_adapter(name, fake ? std::string(kFakeEngine) : "llama", path)) return ok();
  return Error{Code::kNotFound, "'" + path + "' is no file that can be read"};
}

}  // namespace

bool is_model_name(std::string_view name) {
  return !name.empty() && name.size() <= kModelNameBytesMax && name.front() != '.' &&
         name.front() != '-' && std::all_of(name.begin(), name.end(), is_name_character);
}

std::string adapter_name_of(const std::string& path) {
  const std::string file_name = path.substr(path.rfind('/') + 1);
  const std::string stem = model_stem(file_name, true).value_or(Stem{file_name, ""}).name;
  return safe_name(adapter_name(stem).value_or(stem));
}

CatalogueOptions catalogue_options(const GatewayOptions& options) {
  return {options.models_dir,     options.model_files,          options.fake_models,
          options.model_settings, options.parse_model_settings, options.models_allow,
          options.adapter_files};
}

Result<Catalogue> scan_catalogue(os::FileSystem& fs, const CatalogueOptions& options) {
  Scanner scanner(fs, options);
  AIOSS_CHECK(scanner.read_allow_list());
  if (!options.models_dir.empty()) AIOSS_CHECK(scanner.scan_directory(options.models_dir));
  for (const std::string& file : options.model_files) AIOSS_CHECK(scanner.add_file(file));
  for (const std::string& file : options.adapter_files) {
    AIOSS_CHECK(scanner.add_adapter_file(file));
  }
  return scanner.take();
}

namespace {

// That the list of allowed files is another is told once, not of each model.
std::string_view problem_of(const CatalogueEntry& entry) {
  const bool told = entry.problem && entry.problem->code != Code::kForbidden;
  return told ? std::string_view(entry.problem->message) : std::string_view();
}

bool is_like(const CatalogueEntry& a, const CatalogueEntry& b) {
  return problem_of(a) == problem_of(b) && a.settings == b.settings &&
         std::equal(a.parts.begin(), a.parts.end(), b.parts.begin(), b.parts.end(), is_same_file);
}

// "WORD NAME" of what vanished, appeared or is not like() what it was.
template <typename Map, typename Like>
void add_differences(const Map& before, const Map& after, const std::string& kind, Like like,
                     std::vector<std::string>& details) {
  for (const auto& [name, entry] : before) {
    if (!after.contains(name)) details.push_back("vanished " + kind + name);
  }
  for (const auto& [name, entry] : after) {
    const auto known = before.find(name);
    if (known == before.end()) {
      details.push_back("appeared " + kind + name);
    } else if (!like(known->second, entry)) {
      details.push_back("changed " + kind + name);
    }
  }
}

}  // namespace

std::vector<std::string> adapters_of(const Catalogue& catalogue, const CatalogueEntry& model) {
  std::vector<std::string> names;
  const auto& listed = model.settings.adapters;
  for (const auto& [name, adapter] : catalogue.adapters) {
    const bool may = !listed || std::find(listed->begin(), listed->end(), name) != listed->end();
    if (may && adapter.engine == model.engine) names.push_back(name);
  }
  return names;
}

std::vector<std::string> differences(const Catalogue& before, const Catalogue& after) {
  std::vector<std::string> details;
  add_differences(before.models, after.models, "", is_like, details);
  add_differences(
      before.adapters, after.adapters, "adapter ",
      [](const AdapterEntry& a, const AdapterEntry& b) { return is_same_file(a.file, b.file); },
      details);
  const bool same_list = before.allowed && after.allowed ? *before.allowed == *after.allowed
                                                         : before.allowed == after.allowed;
  if (!same_list) details.push_back("other list of allowed models");
  return details;
}

bool is_same_file(const os::FileInfo& a, const os::FileInfo& b) {
  return HashCache::key_of(a) == HashCache::key_of(b);
}

std::uint64_t OpenModel::bytes() const {
  std::uint64_t total = 0;
  for (const os::FileInfo& part : parts) total += part.size;
  return total;
}

std::vector<int> OpenModel::descriptors() const {
  std::vector<int> all;
  for (const os::Fd& fd : sealed) all.push_back(fd.get());
  if (!all.empty()) return all;
  for (const auto& file : files) all.push_back(file->descriptor());
  return all;
}

// A file that cannot be asked (its server is away) is not known to have changed.
bool OpenModel::was_changed() const {
  if (!sealed.empty()) return false;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const Result<os::FileInfo> now = os::descriptor_info(files[i]->descriptor());
    if (!now) continue;
    if (now->size != parts[i].size || now->modified_ns != parts[i].modified_ns) return true;
  }
  return false;
}

bool OpenModel::is_of(const CatalogueEntry& entry) const {
  return std::equal(parts.begin(), parts.end(), entry.parts.begin(), entry.parts.end(),
                    is_same_file);
}

Result<std::shared_ptr<OpenModel>> open_model(os::FileSystem& fs, const CatalogueEntry& entry) {
  if (entry.problem) return *entry.problem;
  auto model = std::make_shared<OpenModel>();
  for (const std::string& path : entry.paths) {
    // The path stays out of the message: it reaches clients.
    auto file = fs.open(path, os::OpenMode::kRead);
    if (!file) {
      return Error{file.error().code == Code::kNotFound ? Code::kNotFound : Code::kIo,
                   "the file of model '" + entry.name +
                       "' cannot be opened; check that it is there and readable"};
    }
    AIOSS_TRY(const os::FileInfo info, (*file)->info());
    if (!info.is_regular || (*file)->descriptor() < 0) {
      return Error{Code::kModelCorrupt, "model '" + entry.name + "' is not a regular file"};
    }
    if (os::is_open_for_writing((*file)->descriptor()).value_or(false)) {
      return Error{Code::kModelCorrupt, "the file of model '" + entry.name +
                                            "' is still being written; try again when it is whole"};
    }
    model->files.push_back(std::move(*file));
    model->parts.push_back(info);
  }
  return model;
}

}  // namespace aioss::runtime
