// The models folder as the commands `aioss models …` see it. Blocking; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "cli/config.h"
#include "cli/progress.h"
#include "cli/services.h"
#include "runtime/catalogue/catalogue.h"

namespace aioss::cli {

struct ModelStore {
  std::string directory;
  runtime::Catalogue catalogue;
  // Adapters of the folder, as models of one file: what is done with files is the same.
  std::map<std::string, runtime::CatalogueEntry, std::less<>> adapters = {};
};

// A default folder that is not there is an empty one; one that was asked for must be there.
Result<ModelStore> open_store(const Services& services, const Config& config);

// By its name or an alias, or an adapter by its name; kNotFound with the nearest name.
Result<const runtime::CatalogueEntry*> find_model(const ModelStore& store, const std::string& name);

// "model.gguf" of a path.
std::string file_name_of(const std::string& path);

// Reads files one after the other, with one progress bar over all of them.
class FileReader final {
 public:
  FileReader(const Services& services, std::string label, std::uint64_t bytes_all)
      : services_(services),
        bytes_all_(bytes_all),
        progress_(services.console, services.clock, std::move(label)) {}
  // SHA-256 of a whole file; what is read is also written to `copy` if there is one.
  Result<Digest> read(os::File& from, os::File* copy);

 private:
  const Services& services_;
  const std::uint64_t bytes_all_;
  std::uint64_t done_ = 0;
  Progress progress_;
};

}  // namespace aioss::cli
