// `aioss models bundle`: makes a folder of model files one that `aioss models add --from-bundle`
// takes: a list of their SHA-256 and, signed, the publisher's word for it.
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "cli/bundle.h"
#include "cli/bundle_note.h"
#include "cli/command_list.h"
#include "cli/model_store.h"
#include "cli/publisher.h"
#include "cli/text_file.h"
#include "codec/hex.h"
#include "codec/json.h"

namespace aioss::cli {
namespace {

// Every model file of the folder, the parts of split ones among them.
Result<std::vector<std::string>> files_of(const Services& services, const std::string& directory,
                                          std::uint64_t& bytes) {
  runtime::CatalogueOptions options;
  options.models_dir = directory;
  AIOSS_TRY(const runtime::Catalogue found, runtime::scan_catalogue(services.files, options));
  std::vector<std::string> files;
  for (const auto& [name, entry] : found.models) {
    if (entry.problem) return Error(*entry.problem).with_context(name);
    files.insert(files.end(), entry.paths.begin(), entry.paths.end());
    bytes += entry.file_bytes;
  }
  for (const auto& [name, adapter] : found.adapters) {
    files.push_back(adapter.path);
    bytes += adapter.file.size;
  }
  if (files.empty()) return Error{Code::kNotFound, "there is no .gguf file in " + directory};
  std::sort(files.begin(), files.end());
  return files;
}

Result<std::string> list_of(const Services& services, const std::string& directory) {
  std::uint64_t bytes = 0;
  AIOSS_TRY(const std::vector<std::string> files, files_of(services, directory, bytes));
  FileReader reader(services, "hashing", bytes);
  std::string list;
  for (const std::string& path : files) {
    AIOSS_TRY(const auto file, services.files.open(path, os::OpenMode::kRead));
    AIOSS_TRY(const Digest digest, reader.read(*file, nullptr));
    list += codec::to_hex(digest) + "  " + file_name_of(path) + "\n";
  }
  return list;
}

Result<std::string> bundle(const Services& services, const Invocation& invocation) {
  const std::string directory = invocation.operand(0);
  const std::string path = directory + "/" + std::string(kBundleList);
  const std::string note_path = path + std::string(kBundleNoteSuffix);
  AIOSS_TRY(const std::optional<Publisher> publisher, publisher_of(services, invocation));
  AIOSS_TRY(const std::string list, list_of(services, directory));
  std::string note, vkey;
  if (publisher) {
    AIOSS_TRY(note, sign_bundle(as_bytes(list), publisher->vkey.name, *publisher->key));
    vkey = ledger::format_verifier_key(publisher->vkey);
  }
  // No list ever lies beside the note of an earlier one.
  AIOSS_CHECK(os::remove_if_there(services.files, note_path));
  AIOSS_CHECK(write_text(services, path, list));
  if (publisher) AIOSS_CHECK(write_text(services, note_path, note));
  if (invocation.has("--json")) {
    codec::OrderedJson out;
    out["list"] = path;
    out["files"] = std::count(list.begin(), list.end(), '\n');
    out["vkey"] = nullptr;
    if (publisher) out["vkey"] = vkey;
    return codec::dump_json(out) + "\n";
  }
  if (publisher) services.console.note("aioss: " + path + " is signed; the key follows");
  if (!publisher) services.console.note("aioss: " + path + " is not signed");
  return publisher ? vkey + "\n" : list;
}

}  // namespace

int models_bundle_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto text = bundle(services, invocation);
  return console.print(text);
}

}  // namespace aioss::cli
