// How this folder meets libcrypto: initialised without any configuration file of the host, owned by
// smart pointers. Private to src/crypto.
#pragma once

#include <memory>

#include <openssl/bio.h>
#include <openssl/evp.h>

#include "base/assert.h"

namespace aioss::crypto {

template <auto kFree>
struct OpenSslDelete {
  template <typename T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using DigestContext = std::unique_ptr<EVP_MD_CTX, OpenSslDelete<EVP_MD_CTX_free>>;
using Key = std::unique_ptr<EVP_PKEY, OpenSslDelete<EVP_PKEY_free>>;
using Bio = std::unique_ptr<BIO, OpenSslDelete<BIO_free_all>>;

// Call before any other use of libcrypto; cheap after the first time. A host's openssl.cnf could
// load other implementations of what we rely on, so it is never read.
void initialize_openssl();

}  // namespace aioss::crypto
