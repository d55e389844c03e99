// Who a caller is to the vault, and what opens the commitments to their texts.
#pragma once

#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "ledger/custody/custody.h"
#include "runtime/calls/principal.h"
#include "runtime/records/receipts.h"

namespace aioss::runtime {

ledger::SubjectName subject_name(const Principal& principal);
// Whoever reaches a server without keys: the one user whom records call by name.
bool is_local(const Principal& principal);

// Makes the caller known to the vault and sets principal.subject, so that records can say who it
// is. Blocks on the disk for one who is new. An error: nothing of them may be recorded.
Status identify(ledger::Custody& custody, Principal& principal);

// The salt of a commitment in a request of this caller; `field` is "prompt", "stop", "output/0", …,
// "comment". Of another's request it is a salt that opens nothing. Nothing if the caller is not
// known to the vault, or was erased since. Never blocks.
std::optional<Digest> salt_for(const ledger::Custody& custody, const Principal& principal,
                               std::string_view request_id, std::string_view field);

// The same for receipts. The custody outlives what is returned.
CallerSecrets secrets_in(ledger::Custody& custody);

}  // namespace aioss::runtime
