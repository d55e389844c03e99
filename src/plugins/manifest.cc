#include "plugins/manifest.h"

#include <algorithm>
#include <set>

#include "codec/hex.h"
#include "codec/json.h"

namespace aioss::plugins {
namespace {

using codec::Json;

constexpr std::size_t kNameBytesMax = 64;
constexpr std::size_t kFormatsMax = 8;

Error wrong(const std::string& what) {
  return {Code::kCorrupt, "the manifest " + what};
}

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

Result<std::string> text_of(const Json& json, const char* key, std::size_t bytes_max) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_string()) {
    return wrong("has no text '" + std::string(key) + "'");
  }
  auto text = found->get<std::string>();
  if (text.size() > bytes_max) return wrong("has a '" + std::string(key) + "' that is too long");
  return text;
}

Result<Digest> digest_of(const Json& json) {
  AIOSS_TRY(const std::string text, text_of(json, "sha256", 2 * sizeof(Digest)));
  const auto bytes = codec::from_hex(text);
  Digest digest{};
  if (!bytes || bytes->size() != digest.size()) return wrong("has no SHA-256 in 'sha256'");
  std::copy(bytes->begin(), bytes->end(), digest.begin());
  return digest;
}

Result<std::vector<std::string>> formats_of(const Json& json) {
  const auto found = json.find("formats");
  if (found == json.end() || !found->is_array() || found->empty() || found->size() > kFormatsMax) {
    return wrong("has no list 'formats'");
  }
  std::vector<std::string> formats;
  for (const Json& one : *found) {
    if (!one.is_string() || !is_plugin_name(one.get_ref<const std::string&>())) {
      return wrong("names a format that is none");
    }
    formats.push_back(one.get<std::string>());
  }
  return formats;
}

Status check_keys(const Json& json) {
  static const std::set<std::string> kKnown = {"name",   "version", "abi",
                                               "sha256", "formats", "signature"};
  for (const auto& [key, value] : json.items()) {
    if (!kKnown.contains(key)) return wrong("has a field that this aioss does not know");
  }
  return ok();
}

}  // namespace

bool is_plugin_name(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax || !is_letter_or_digit(name.front())) {
    return false;
  }
  return std::all_of(name.begin(), name.end(), [](char c) {
    return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-';
  });
}

std::string format_manifest(const Manifest& manifest) {
  codec::OrderedJson out;
  out["name"] = manifest.name;
  out["version"] = manifest.version;
  out["abi"] = manifest.abi;
  out["sha256"] = codec::to_hex(manifest.sha256);
  out["formats"] = manifest.formats;
  if (!manifest.signature.empty()) out["signature"] = manifest.signature;
  return codec::dump_json(out) + "\n";
}

Result<Manifest> parse_manifest(std::string_view text) {
  codec::JsonLimits limits;
  limits.bytes_max = kManifestBytesMax;
  limits.depth_max = 3;
  limits.nodes_max = 64;
  const auto json = codec::parse_json(text, limits);
  if (!json || !json->is_object()) return wrong("is no JSON object, or absurdly large");
  AIOSS_CHECK(check_keys(*json));
  Manifest out;
  AIOSS_TRY(out.name, text_of(*json, "name", kNameBytesMax));
  if (!is_plugin_name(out.name)) return wrong("has a name that no engine can have");
  AIOSS_TRY(out.version, text_of(*json, "version", kManifestTextBytesMax));
  const auto abi = json->find("abi");
  if (abi == json->end() || !abi->is_number_unsigned() || abi->get<std::uint64_t>() > UINT32_MAX) {
    return wrong("has no number 'abi'");
  }
  out.abi = abi->get<std::uint32_t>();
  AIOSS_TRY(out.sha256, digest_of(*json));
  AIOSS_TRY(out.formats, formats_of(*json));
  if (json->contains("signature")) {
    AIOSS_TRY(out.signature, text_of(*json, "signature", kSignatureBytesMax));
  }
  return out;
}

Status check_abi(const Manifest& manifest) {
  if (manifest.abi == AIOSS_ENGINE_ABI_VERSION) return ok();
  const bool newer = manifest.abi > AIOSS_ENGINE_ABI_VERSION;
  return Error{Code::kUnsupported,
               "it is installed as an engine of ABI version " + std::to_string(manifest.abi) +
                   ", and this program speaks version " + std::to_string(AIOSS_ENGINE_ABI_VERSION) +
                   (newer ? "; update aioss, or add" : "; add") +
                   " the engine built for this program ('aioss engine add FILE --force')"};
}

}  // namespace aioss::plugins
