#include "runtime/catalogue.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>
#include <utility>

#include "base/strings.h"
#include "runtime/hash_cache.h"

namespace aioss::runtime {
namespace {

constexpr std::size_t kNoticesMax = 64;  // a directory of other things must not fill the log
constexpr std::size_t kPartDigits = 5;   // "-00001-of-00003", as llama.cpp writes them

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
  if (fake_models && file_name.ends_with(kFake)) return Stem{without(kFake), "fake"};
  return std::nullopt;
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
  Scanner(os::FileSystem& fs, bool fake_models) : fs_(fs), fake_models_(fake_models) {}

  Status scan_directory(const std::string& directory);
  Status add_file(const std::string& path);
  Catalogue take() { return std::move(catalogue_); }

 private:
  void add_from_directory(const std::string& directory, const std::string& file_name);
  CatalogueEntry split_entry(const std::string& directory, const Part& part);
  bool add_part(CatalogueEntry& entry, const std::string& path);
  void add(CatalogueEntry entry, const std::string& file_name);
  void notice(const std::string& file_name, std::string_view why);

  os::FileSystem& fs_;
  const bool fake_models_;
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
  entry.modified_unix_s =
      std::max(entry.modified_unix_s, info->modified_ns / std::int64_t{1'000'000'000});
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
    if (add_part(entry, directory + "/" + part_name(part, number))) continue;
    entry.problem = Error{Code::kModelCorrupt,
                          "part " + std::to_string(number) + " of " + std::to_string(part.count) +
                              " is missing; put all parts into the models directory"};
    return entry;
  }
  return entry;
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
  const std::optional<Stem> stem = model_stem(file_name, fake_models_);
  if (!stem) return;
  const std::optional<Part> part = stem->engine == "llama" ? parse_part(stem->name) : std::nullopt;
  if (!is_model_name(part ? part->prefix : stem->name)) {
    notice(file_name, "rename it with letters, digits and . _ + - only");
    return;
  }
  if (part) {
    // The first part that is met stands for all of them.
    if (!splits_seen_.insert(part->prefix + "/" + std::to_string(part->count)).second) return;
    add(split_entry(directory, *part), file_name);
    return;
  }
  CatalogueEntry entry;
  entry.name = stem->name;
  entry.engine = stem->engine;
  if (!add_part(entry, directory + "/" + file_name)) {
    notice(file_name, "it is not a regular file or cannot be read");
    return;
  }
  add(std::move(entry), file_name);
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
  catalogue_.models.insert_or_assign(entry.name, entry);  // what was named wins over the directory
  return ok();
}

}  // namespace

bool is_model_name(std::string_view name) {
  return !name.empty() && name.size() <= kModelNameBytesMax && name.front() != '.' &&
         name.front() != '-' && std::all_of(name.begin(), name.end(), is_name_character);
}

Result<Catalogue> scan_catalogue(os::FileSystem& fs, const CatalogueOptions& options) {
  Scanner scanner(fs, options.fake_models);
  if (!options.models_dir.empty()) AIOSS_CHECK(scanner.scan_directory(options.models_dir));
  for (const std::string& file : options.model_files) AIOSS_CHECK(scanner.add_file(file));
  return scanner.take();
}

bool is_same_file(const os::FileInfo& a, const os::FileInfo& b) {
  return HashCache::key_of(a) == HashCache::key_of(b);
}

std::uint64_t OpenModel::bytes() const {
  std::uint64_t total = 0;
  for (const os::FileInfo& part : parts) total += part.size;
  return total;
}

// A file that cannot be asked (its server is away) is not known to have changed.
bool OpenModel::was_changed() const {
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
    model->files.push_back(std::move(*file));
    model->parts.push_back(info);
  }
  return model;
}

}  // namespace aioss::runtime
