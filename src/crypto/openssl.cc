#include "crypto/openssl.h"

#include <openssl/crypto.h>

namespace aioss::crypto {

void initialize_openssl() {
  static const bool done = OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) == 1;
  ASSERT(done);
}

}  // namespace aioss::crypto
