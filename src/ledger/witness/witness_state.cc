#include "ledger/witness/witness_state.h"

#include <algorithm>
#include <utility>

#include "codec/base64.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "crypto/hash.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kStateFormat = "aioss-witness/1";
constexpr std::string_view kOriginSuffix = ".json";
// A note, once more as large for its escapes, and some numbers.
constexpr std::uint64_t kOriginBytesMaxOnDisk = 3 * kNoteBytesMax;
constexpr std::uint64_t kKeyLineBytesMax = 4096;

std::string key_path(const std::string& directory) {
  return directory + "/witness.vkey";
}

std::string origins_folder(const std::string& directory) {
  return directory + "/origins";
}

std::string origin_file(std::string_view origin) {
  return codec::to_hex(crypto::sha3_256(as_bytes(origin))) + std::string(kOriginSuffix);
}

Error damaged(std::string_view file, std::string_view what) {
  return {Code::kCorrupt, "origins/" + std::string(file) + " " + std::string(what) +
                              "; put it back from a copy: a witness that has forgotten what it "
                              "signed must not sign"};
}

std::string state_text_of(const codec::Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Result<std::uint64_t> number_of(const codec::Json& json, const char* name, std::string_view file) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_number_unsigned()) return damaged(file, "lacks a number");
  return found->get<std::uint64_t>();
}

// The note is the state's own proof: size and root must be the ones that it says.
Status check_note(const WitnessedOrigin& origin, std::string_view file) {
  if (origin.note.empty()) {
    if (origin.size == 0) return ok();
    return damaged(file, "has a size without a checkpoint");
  }
  const auto note = parse_note(origin.note);
  if (!note || note->checkpoint.size != origin.size || note->checkpoint.root != origin.root ||
      note->checkpoint.origin != origin.key.name || !signed_by(*note, origin.key)) {
    return damaged(file, "contradicts the checkpoint in it");
  }
  return ok();
}

Result<WitnessedOrigin> parse_origin(std::string_view text, std::string_view file) {
  const auto json = codec::parse_json(text, {kOriginBytesMaxOnDisk, 4, 64});
  if (!json || !json->is_object() || state_text_of(*json, "format") != kStateFormat) {
    return damaged(file, "cannot be read");
  }
  WitnessedOrigin origin;
  auto key = parse_verifier_key(state_text_of(*json, "vkey"));
  if (!key) return damaged(file, "has no key");
  origin.key = std::move(*key);
  if (origin_file(origin.key.name) != file) return damaged(file, "is of another ledger");
  AIOSS_TRY(origin.size, number_of(*json, "size", file));
  AIOSS_TRY(origin.time_s, number_of(*json, "time", file));
  const auto root = codec::from_base64(state_text_of(*json, "root"));
  if (!root || root->size() != origin.root.size()) return damaged(file, "has no root");
  std::copy(root->begin(), root->end(), origin.root.begin());
  origin.note = state_text_of(*json, "note");
  AIOSS_CHECK(check_note(origin, file));
  return origin;
}

Result<WitnessedOrigin> read_origin_file(os::FileSystem& fs, const std::string& directory,
                                         const std::string& file) {
  AIOSS_TRY(const Bytes bytes,
            os::read_file(fs, origins_folder(directory) + '/' + file, kOriginBytesMaxOnDisk));
  return parse_origin(as_text(bytes), file);
}

}  // namespace

std::string witness_signing_key_path(const std::string& directory) {
  return directory + "/keys/witness.key";
}

std::string witness_lock_path(const std::string& directory) {
  return directory + "/LOCK";
}

Status write_witness_key(os::FileSystem& fs, const std::string& directory, const WitnessKey& key) {
  return os::replace_file(fs, key_path(directory), as_bytes(format_witness_key(key) + '\n'));
}

Result<WitnessKey> read_witness_key(os::FileSystem& fs, const std::string& directory) {
  const auto bytes = os::read_file(fs, key_path(directory), kKeyLineBytesMax);
  if (!bytes && bytes.error().code == Code::kNotFound) {
    return Error{Code::kNotFound,
                 "there is no witness in " + directory + "; make one with `aioss witness init`"};
  }
  if (!bytes) return Error(bytes.error());
  auto key = parse_witness_key(as_text(*bytes));
  if (!key) return Error{Code::kCorrupt, "witness.vkey is damaged; put it back from a copy"};
  return key;
}

Result<WitnessedOrigin> read_origin(os::FileSystem& fs, const std::string& directory,
                                    std::string_view origin) {
  return read_origin_file(fs, directory, origin_file(origin));
}

Status write_origin(os::FileSystem& fs, const std::string& directory,
                    const WitnessedOrigin& origin) {
  codec::OrderedJson json;
  json["format"] = kStateFormat;
  json["vkey"] = format_verifier_key(origin.key);
  json["size"] = origin.size;
  json["root"] = codec::to_base64(origin.root);
  json["note"] = origin.note;
  json["time"] = origin.time_s;
  return os::replace_file(fs, origins_folder(directory) + '/' + origin_file(origin.key.name),
                          as_bytes(codec::dump_json(json) + '\n'));
}

Result<std::vector<WitnessedOrigin>> read_witnessed(os::FileSystem& fs,
                                                    const std::string& directory) {
  AIOSS_TRY(const auto names, fs.list(origins_folder(directory)));
  std::vector<WitnessedOrigin> origins;
  for (const std::string& name : names) {
    if (!name.ends_with(kOriginSuffix)) continue;
    if (origins.size() == kOriginsMax) {
      return Error{Code::kTooLarge,
                   "this witness follows more than " + std::to_string(kOriginsMax) + " ledgers"};
    }
    AIOSS_TRY(WitnessedOrigin origin, read_origin_file(fs, directory, name));
    origins.push_back(std::move(origin));
  }
  std::sort(origins.begin(), origins.end(), [](const WitnessedOrigin& a, const WitnessedOrigin& b) {
    return a.key.name < b.key.name;
  });
  return origins;
}

}  // namespace aioss::ledger
