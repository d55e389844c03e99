// What the keys of records are called where people and scripts read them, and how their values are
// shown. One table for every rendering. Constants and look-ups only.
#pragma once

#include <cstdint>
#include <string_view>

#include "ledger/format/record.h"

namespace aioss::ledger {

// What a value is, beyond its CBOR type. The last four are maps with keys of their own.
enum class As { kPlain, kFloat, kSampler, kActor, kChoices, kAdapters };

struct KeyName {
  std::uint64_t key = 0;
  std::string_view name;
  As as = As::kPlain;
  bool in_line = false;  // one of the few that tell records apart
};

// Of a body; the common keys too. nullptr if it is not known.
const KeyName* key_name(RecordType type, std::uint64_t key);
// Of a map inside a body.
const KeyName* inner_key_name(As map, std::uint64_t key);

}  // namespace aioss::ledger
