// Orders of operators about people and their texts, over HTTP: what /admin/ledger/… takes and
// gives. The same as `aioss ledger open|hold|erase`, on the ledger of a running server. Blocks on
// the disk: never on the io thread.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"
#include "ledger/custody/custody.h"
#include "runtime/calls/principal.h"
#include "server/routes.h"

namespace aioss::server {

inline constexpr std::size_t kOrderBytesMax = std::size_t{64} << 10;

bool is_ledger_order(Action action);

// kForbidden for somebody whom records could not tell from others: without keys, everybody on
// loopback is `local`.
Status check_named(const runtime::Principal& principal);

// The JSON of the answer. kInvalidArgument for a body that is not understood.
Result<std::string> carry_out(Action action, const std::string& body, runtime::Principal principal,
                              ledger::Custody& custody);

}  // namespace aioss::server
