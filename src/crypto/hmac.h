// HMAC-SHA3-256 (RFC 2104 over FIPS 202), from the static libcrypto. The algorithm is fetched once
// for the process. Thread-safe.
#pragma once

#include <initializer_list>

#include "base/bytes.h"

namespace aioss::crypto {

// Of the parts' concatenation; a key of any length.
Digest hmac_sha3_256(ByteView key, std::initializer_list<ByteView> parts);

}  // namespace aioss::crypto
