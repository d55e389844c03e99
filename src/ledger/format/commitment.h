// Salted commitments: what the chain holds instead of a text. docs/formats/commitments.md.
#pragma once

#include <string_view>

#include "base/bytes.h"
#include "crypto/random.h"

namespace aioss::ledger {

struct Commitment {
  Digest value{};
  Digest salt{};  // to be kept: without it nobody can open the commitment
};
Commitment commit(crypto::Random& random, std::string_view text);
Digest commitment_of(const Digest& salt, std::string_view text);

}  // namespace aioss::ledger
