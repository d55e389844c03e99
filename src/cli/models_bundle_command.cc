// `aioss models bundle`: makes a folder of model files one that `aioss models add --from-bundle`
// takes: a list of their SHA-256 and, signed, the publisher's word for it.
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cli/bundle.h"
#include "cli/bundle_note.h"
#include "cli/command_list.h"
#include "cli/model_store.h"
#include "cli/text_file.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "crypto/ed25519.h"

namespace aioss::cli {
namespace {

constexpr std::string_view kKeySuffix = ".vkey";
constexpr std::uint64_t kVkeyBytesMax = 4096;

struct Publisher {
  std::unique_ptr<crypto::SigningKey> key;
  ledger::VerifierKey vkey;
};

// KEYFILE, and KEYFILE.vkey, which says under which name it signs.
Result<Publisher> make_key(const Services& services, const std::string& path,
                           const std::string& name) {
  AIOSS_CHECK(ledger::check_origin(name));
  if (services.files.info(path)) {
    return Error{Code::kConflict, path + " is there already; leave --new-key out to sign with it"};
  }
  Publisher publisher;
  AIOSS_TRY(publisher.key, crypto::SigningKey::generate(services.random));
  publisher.vkey = {name, publisher.key->public_key()};
  AIOSS_CHECK(write_text(services, path + std::string(kKeySuffix),
                         ledger::format_verifier_key(publisher.vkey) + "\n"));
  AIOSS_CHECK(publisher.key->save(services.files, path));
  return publisher;
}

Result<Publisher> read_key(const Services& services, const std::string& path) {
  Publisher publisher;
  if (!services.files.info(path)) {
    return Error{Code::kNotFound, "there is no key " + path + "; make it with --new-key NAME"};
  }
  AIOSS_TRY(publisher.key, crypto::SigningKey::load(services.files, path));
  const std::string beside = path + std::string(kKeySuffix);
  AIOSS_TRY(const std::string text, read_text(services, beside, kVkeyBytesMax));
  auto vkey = ledger::parse_verifier_key(text);
  if (!vkey) return Error{Code::kCorrupt, beside + " holds no public key"};
  if (vkey->public_key != publisher.key->public_key()) {
    return Error{Code::kCorrupt, path + " and " + beside + " do not belong together"};
  }
  publisher.vkey = std::move(*vkey);
  return publisher;
}

Result<std::optional<Publisher>> publisher_of(const Services& services,
                                              const Invocation& invocation) {
  const auto path = invocation.text("--sign");
  const auto name = invocation.text("--new-key");
  if (!path && name) return Error{Code::kUsage, "--new-key needs --sign: where does the key go?"};
  if (!path) return std::optional<Publisher>();
  auto publisher = name ? make_key(services, *path, *name) : read_key(services, *path);
  if (!publisher) return std::move(publisher).error();
  return std::optional<Publisher>(std::move(*publisher));
}

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
  const Status removed = services.files.remove(note_path);
  if (!removed && removed.error().code != Code::kNotFound) return removed.error();
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
  if (!text) return console.fail(text.error());
  return console.out(*text) ? 0 : static_cast<int>(ExitCode::kFailure);
}

}  // namespace aioss::cli
