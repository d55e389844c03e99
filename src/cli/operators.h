// Who gives an order to a ledger on the command line: an operator of the key file, who shows a key,
// or, where that is enough, a user of the operating system. Blocking.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/args.h"
#include "cli/config.h"
#include "cli/services.h"
#include "codec/cbor.h"
#include "ledger/custody/custody.h"
#include "runtime/calls/principal.h"

namespace aioss::cli {

struct Commander {
  runtime::Principal principal;
  codec::Map actor;  // for records; names nobody until know() was called
  // What else an auditor needs: which key file it was that knew the key ("keys_sha3=…").
  std::vector<std::string> evidence;
  bool has_key = false;
};

// --operator-key (a key, or @FILE that holds it), looked up in the key file of --keys. kUsage
// without a key file, kForbidden for a key that it does not know or that is no operator's.
Result<Commander> commander(const Services& services, const Invocation& invocation,
                            const Config& config);

// The user of the operating system.
Commander os_user();

// Makes the commander known to the vault of the open ledger, so that records can say who it was.
Status know(Commander& commander, ledger::Custody& custody);

}  // namespace aioss::cli
