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

namespace aioss::cli {

struct Commander {
  codec::Map actor;  // for records
  // What else an auditor needs: which key file it was that knew the key ("keys_sha3=…").
  std::vector<std::string> evidence;
  bool has_key = false;
};

// --operator-key (a key, or @FILE that holds it), looked up in the key file of --keys. kUsage
// without a key file, kForbidden for a key that it does not know or that is no operator's.
Result<Commander> commander(const Services& services, const Invocation& invocation,
                            const Config& config);

// "unix:uid=1000", for what only needs to be known.
codec::Map os_user_actor();

}  // namespace aioss::cli
