// GET and POST /admin/anchor: `aioss anchor export` and `import` for a ledger that this server
// holds. Parsing is pure; the rest blocks and belongs on a side thread, always the same one.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/server.h"
#include "ledger/witness/anchors.h"
#include "runtime/calls/principal.h"

namespace aioss::server {

// "witness=NAME&old=N", percent-encoded, both optional.
Result<ledger::GiveOut> parse_anchor_export(std::string_view query,
                                            const runtime::Principal& principal);

struct AnchorImport {
  std::string note;
  ledger::WitnessKey witness;
  bool witnessed = false;  // this ledger's owner is the witness, the note is of another ledger
  ledger::AnchorActor actor;
};
// A note, its escapes, and a key.
inline constexpr std::size_t kAnchorBodyBytesMax = 4 * ledger::kNoteBytesMax;
// {"note": "…", "witness_key": "…", "witnessed": false}
Result<AnchorImport> parse_anchor_import(std::string_view body,
                                         const runtime::Principal& principal);

http::Response answer_anchor_export(ledger::Anchors& anchors, const ledger::GiveOut& wish);
http::Response answer_anchor_import(ledger::Anchors& anchors, const AnchorImport& given);

}  // namespace aioss::server
