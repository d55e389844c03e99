// What a ledger asks of a witness, as a file that fits on a stick or in a QR code: the body of
// add-checkpoint of C2SP tlog-witness, and before its hashes one line for each change of the
// ledger's key that the witness has to follow. A ledger whose key was never rotated makes exactly
// C2SP's request. Parsing takes untrusted text and is a pure function.
//
//   old 20\n
//   ledger <ledger_id in hexadecimal>\n       only with keys, whose signatures cover it
//   key <base64 of a KEY_ROTATE frame>\n      for each rotation, in order
//   <base64 of a hash>\n                      consistency proof from 20 to the checkpoint's size
//   \n
//   <signed checkpoint>
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "ledger/format/checkpoint.h"
#include "ledger/format/format.h"

namespace aioss::ledger {

inline constexpr std::size_t kProofLinesMax = 63;          // C2SP's bound: sizes are below 2^63
inline constexpr std::size_t kKeyFramesMax = 256;          // a rotation a month for twenty years
inline constexpr std::size_t kKeyFrameBytesMax = 4 << 10;  // with a reason and approvals: some 500
inline constexpr std::uint64_t kRequestBytesMax = 1'500'000;  // more than all of them in base64

struct AnchorRequest {
  std::uint64_t old_size = 0;  // what the witness is thought to have cosigned; 0: nothing yet
  LedgerId ledger_id{};        // only with key_frames
  std::vector<Bytes> key_frames;
  std::vector<Digest> proof;
  Note note;
};

std::string format_request(const AnchorRequest& request);
Result<AnchorRequest> parse_request(std::string_view text);  // kCorrupt says what is wrong

}  // namespace aioss::ledger
