// The catalogue: which models there are, by name. Models are named in requests, never by path, so a
// request cannot reach a file that the operator did not put in the directory.
//
// A name is the file's name without its extension and uses letters, digits and . _ + - only; a file
// with another name is left out, with a notice. A set "x-00001-of-00003.gguf" … is one model "x".
// Symbolic links are followed, because model stores use them; but a file is resolved once, when it
// is opened, and the hash, the record and the worker all use that descriptor, so a link that is
// swapped later changes nothing. What must be a regular file is checked on the descriptor.
//
// NAME.lora.gguf is no model but an adapter NAME (LoRA), one file. Which models it fits, its
// content says, which only a worker reads: any model of its engine may be asked for with it, unless
// the model's settings list the adapters that may.
//
// NAME.toml beside the file of a model holds its settings; what the server's own configuration says
// of the model wins. An alias never hides a model. Values; functions block on the disk.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/file.h"
#include "runtime/catalogue/allow_list.h"
#include "runtime/settings/model_settings.h"

namespace aioss::runtime {

inline constexpr std::size_t kModelsMax = 1024;  // of one directory; far past any disk's room
inline constexpr std::size_t kModelNameBytesMax = 128;
inline constexpr std::size_t kAdaptersInCatalogueMax = 1024;
// Each is a descriptor of the worker, which takes no more than these.
inline constexpr std::uint32_t kSplitPartsMax = 64;

struct CatalogueOptions {
  std::string models_dir;                // "" for none
  std::vector<std::string> model_files;  // their names are made safe rather than refused
  bool fake_models = false;
  ModelSettingsMap settings = {};          // of the server's configuration
  ParseModelSettings parse_settings = {};  // null: NAME.toml is not looked at
  std::string allow_path = {};             // of the list of files that may be loaded; "": all may
  std::vector<std::string> adapter_files = {};  // as model_files, of adapters
};

struct GatewayOptions;
// Of the catalogue that a gateway with these options has.
CatalogueOptions catalogue_options(const GatewayOptions& options);

struct CatalogueEntry {
  std::string name;
  std::string engine;                // "llama" or "fake"
  std::vector<std::string> paths;    // in the order of the parts
  std::uint64_t file_bytes = 0;      // of all parts
  std::int64_t modified_unix_s = 0;  // of the newest part
  std::vector<os::FileInfo> parts;   // as they were when scanned
  std::optional<Error> problem;      // why it cannot be loaded (a part is missing)
  ModelSettings settings;
};

struct AdapterEntry {
  std::string name;
  std::string engine;  // of models that it may fit
  std::string path;
  os::FileInfo file;             // as it was when scanned
  std::optional<Error> problem;  // why it cannot be loaded (it is not in the list of allowed files)
};

struct Catalogue {
  std::map<std::string, CatalogueEntry, std::less<>> models;
  std::map<std::string, AdapterEntry, std::less<>> adapters;
  std::map<std::string, std::string, std::less<>> aliases;  // and the models that they name
  std::shared_ptr<const AllowList> allowed;                 // null: all may be loaded
  std::vector<std::string> notices;                         // what was left out, and why
};

bool is_model_name(std::string_view name);
// What an adapter in a file that is named by its path is called.
std::string adapter_name_of(const std::string& path);

Result<Catalogue> scan_catalogue(os::FileSystem& fs, const CatalogueOptions& options);

// Of those, the names that may be asked for with this model, in order.
std::vector<std::string> adapters_of(const Catalogue& catalogue, const CatalogueEntry& model);

// "vanished NAME", "appeared NAME" and "changed NAME" (its files or its settings), of adapters
// "adapter NAME" in place of the name, and that the list of allowed files is another; for a record.
std::vector<std::string> differences(const Catalogue& before, const Catalogue& after);

// Equal device, inode, size and modification time: that counts as the same content.
bool is_same_file(const os::FileInfo& a, const os::FileInfo& b);

// The open files of a model, in order, at offset 0.
struct OpenModel {
  std::vector<std::unique_ptr<os::File>> files;
  std::vector<os::FileInfo> parts;  // as they were when opened
  // Made by the hasher if the worker must read exactly what was hashed: sealed copies of the files,
  // or their own descriptors again where the system keeps them from changing (hasher.h).
  std::vector<os::Fd> sealed;
  std::atomic<std::uint64_t> copied_bytes{0};  // of those copies, as far as they are
  std::uint64_t bytes() const;
  std::vector<int> descriptors() const;  // what a worker is given: the sealed ones, if there are
  // Whether a part was written to since then. Asks the descriptors, so a name that now leads to
  // another file is no change, and neither is it if the worker reads sealed ones. Any thread may
  // ask.
  bool was_changed() const;
  // Whether these are the files that the scan found.
  bool is_of(const CatalogueEntry& entry) const;
};
// kModelCorrupt: a file that somebody has open for writing, as far as the system tells.
Result<std::shared_ptr<OpenModel>> open_model(os::FileSystem& fs, const CatalogueEntry& entry);

}  // namespace aioss::runtime
