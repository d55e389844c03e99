#include "ledger/evidence/json_fields.h"

#include <algorithm>

#include "codec/base64.h"
#include "codec/hex.h"

namespace aioss::ledger {
namespace {

// A list of a thousand rotations, each in an element, with room.
constexpr std::size_t kNodesMax = 100'000;
constexpr std::size_t kDepthMax = 8;

Error malformed(std::string_view name, std::string_view what) {
  return {Code::kCorrupt, "its member \"" + std::string(name) + "\" " + std::string(what)};
}

bool is_lower_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

Result<codec::Json> parse_document(std::string_view text) {
  auto parsed = codec::parse_json(text, {kDocumentBytesMax, kDepthMax, kNodesMax});
  if (!parsed) return Error{Code::kCorrupt, parsed.error().message};
  if (!parsed->is_object()) return Error{Code::kCorrupt, "it is not a JSON object"};
  return parsed;
}

const codec::Json* find_member(const codec::Json& object, std::string_view name) {
  const auto found = object.find(std::string(name));
  return found == object.end() ? nullptr : &*found;
}

Result<std::string> text_member(const codec::Json& object, std::string_view name) {
  const codec::Json* const value = find_member(object, name);
  if (value == nullptr || !value->is_string()) return malformed(name, "is not a text");
  return value->get_ref<const std::string&>();
}

Result<std::uint64_t> uint_member(const codec::Json& object, std::string_view name) {
  const codec::Json* const value = find_member(object, name);
  if (value == nullptr || !value->is_number_unsigned()) {
    return malformed(name, "is not a whole number");
  }
  return value->get<std::uint64_t>();
}

Status hex_member(const codec::Json& object, std::string_view name, std::span<std::uint8_t> into) {
  AIOSS_TRY(const std::string text, text_member(object, name));
  const auto bytes = codec::from_hex(text);
  if (!bytes || bytes->size() != into.size() || !is_lower_hex(text)) {
    return malformed(name, "is not " + std::to_string(into.size()) + " bytes in hexadecimal");
  }
  std::copy(bytes->begin(), bytes->end(), into.begin());
  return ok();
}

Result<Bytes> base64_member(const codec::Json& object, std::string_view name,
                            std::size_t bytes_max) {
  AIOSS_TRY(const std::string text, text_member(object, name));
  auto bytes = codec::from_base64(text);
  if (!bytes || bytes->size() > bytes_max) return malformed(name, "is not base64, or too long");
  return bytes;
}

Result<std::vector<Bytes>> base64_list(const codec::Json& object, std::string_view name,
                                       std::size_t items_max, bool optional) {
  const codec::Json* const value = find_member(object, name);
  if (value == nullptr && optional) return std::vector<Bytes>();
  if (value == nullptr || !value->is_array() || value->size() > items_max) {
    return malformed(name, "is not a list, or too long");
  }
  std::vector<Bytes> items;
  for (const codec::Json& item : *value) {
    if (!item.is_string()) return malformed(name, "has an item that is not a text");
    auto bytes = codec::from_base64(item.get_ref<const std::string&>());
    if (!bytes) return malformed(name, "has an item that is not base64");
    items.push_back(std::move(*bytes));
  }
  return items;
}

Result<std::vector<Digest>> digest_list(const codec::Json& object, std::string_view name,
                                        std::size_t items_max) {
  AIOSS_TRY(const std::vector<Bytes> items, base64_list(object, name, items_max));
  std::vector<Digest> digests;
  for (const Bytes& item : items) {
    Digest digest;
    if (item.size() != digest.size()) return malformed(name, "has an item that is not 32 bytes");
    std::copy(item.begin(), item.end(), digest.begin());
    digests.push_back(digest);
  }
  return digests;
}

codec::OrderedJson digests_json(std::span<const Digest> digests) {
  codec::OrderedJson list = codec::OrderedJson::array();
  for (const Digest& digest : digests) list.push_back(codec::to_base64(digest));
  return list;
}

codec::OrderedJson base64_json(std::span<const Bytes> items) {
  codec::OrderedJson list = codec::OrderedJson::array();
  for (const Bytes& item : items) list.push_back(codec::to_base64(item));
  return list;
}

}  // namespace aioss::ledger
