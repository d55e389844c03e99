#include "ledger/format/commitment.h"

#include "crypto/hash.h"
#include "ledger/format/bytes_io.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kCommitTag = "aioss/commit/v1\n";

}  // namespace

Digest commitment_of(const Digest& salt, std::string_view text) {
  const auto length = big_endian(static_cast<std::uint64_t>(text.size()));
  return crypto::sha3_256({as_bytes(kCommitTag), salt, length, as_bytes(text)});
}

Commitment commit(crypto::Random& random, std::string_view text) {
  Commitment commitment;
  random.fill(commitment.salt);
  commitment.value = commitment_of(commitment.salt, text);
  return commitment;
}

}  // namespace aioss::ledger
