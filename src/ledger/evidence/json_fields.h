// Reading members of the ledger's JSON documents, which come from anyone: types, sizes and forms
// are checked, members that are not asked for are ignored. kCorrupt, naming the member. Pure
// functions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "codec/json.h"
#include "ledger/format/proof.h"

namespace aioss::ledger {

// Of any document, and so of everything in it.
inline constexpr std::size_t kDocumentBytesMax = 4U << 20;

// One object, whatever its "format".
Result<codec::Json> parse_document(std::string_view text);

Result<std::string> text_member(const codec::Json& object, std::string_view name);
Result<std::uint64_t> uint_member(const codec::Json& object, std::string_view name);
// Of exactly into.size() bytes, lower-case hexadecimal.
Status hex_member(const codec::Json& object, std::string_view name, std::span<std::uint8_t> into);
Result<Bytes> base64_member(const codec::Json& object, std::string_view name,
                            std::size_t bytes_max);
// An array of base64 texts; absent is none if `optional`.
Result<std::vector<Bytes>> base64_list(const codec::Json& object, std::string_view name,
                                       std::size_t items_max, bool optional = false);
Result<std::vector<Digest>> digest_list(const codec::Json& object, std::string_view name,
                                        std::size_t items_max = kProofDigestsMax);
// nullptr if it is absent.
const codec::Json* find_member(const codec::Json& object, std::string_view name);

codec::OrderedJson digests_json(std::span<const Digest> digests);
codec::OrderedJson base64_json(std::span<const Bytes> items);

}  // namespace aioss::ledger
