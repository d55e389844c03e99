// AES-256-GCM (NIST SP 800-38D): encryption that also shows any change of the text or of what goes
// with it. A nonce must never be used twice with one key. From the static libcrypto, fetched once.
// Thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/random.h"
#include "crypto/secret_key.h"

namespace aioss::crypto {

inline constexpr std::size_t kGcmNonceBytes = 12;
inline constexpr std::size_t kGcmTagBytes = 16;
// Of one text. Far more than anything that is sealed here; libcrypto counts in ints.
inline constexpr std::size_t kGcmTextBytesMax = std::size_t{1} << 30;
using GcmNonce = std::array<std::uint8_t, kGcmNonceBytes>;

GcmNonce gcm_nonce(Random& random);

// Ciphertext ‖ tag: kGcmTagBytes longer than the text, which has at most kGcmTextBytesMax.
// `associated` is not in it, but must be the same when it is opened.
Bytes gcm_seal(const SecretKey& key, const GcmNonce& nonce, ByteView text, ByteView associated);

// kCorrupt if key, nonce, text or `associated` is not what it was: then nothing of it is given out.
Result<Bytes> gcm_open(const SecretKey& key, const GcmNonce& nonce, ByteView sealed,
                       ByteView associated);

}  // namespace aioss::crypto
