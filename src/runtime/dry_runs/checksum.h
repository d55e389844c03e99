// The end of a file of the state folder: the SHA-256 of what is before it, so that a file that was
// cut off or changed is seen before it is parsed. Not for secrets: whoever can write can compute
// it. Any thread.
#pragma once

#include "base/bytes.h"
#include "base/result.h"

namespace aioss::runtime {

Bytes with_checksum(Bytes body);
// The bytes before their checksum; kCorrupt says what is wrong.
Result<ByteView> without_checksum(ByteView bytes);

}  // namespace aioss::runtime
