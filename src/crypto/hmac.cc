#include "crypto/hmac.h"

#include <array>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "crypto/openssl.h"

namespace aioss::crypto {
namespace {

using MacContext = std::unique_ptr<EVP_MAC_CTX, OpenSslDelete<EVP_MAC_CTX_free>>;

// A context that knows its algorithm, made once and then only copied. It has a key of zeros: one
// without any cannot be copied in OpenSSL 3.0.
const EVP_MAC_CTX* initial_context() {
  static const EVP_MAC_CTX* const initial = [] {
    initialize_openssl();
    EVP_MAC* mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    ASSERT(mac != nullptr);
    EVP_MAC_CTX* context = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);  // the context holds its own reference
    ASSERT(context != nullptr);
    char digest[] = "SHA3-256";
    const std::array<OSSL_PARAM, 2> parameters{
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end()};
    const Digest zeros{};
    ASSERT(EVP_MAC_init(context, zeros.data(), zeros.size(), parameters.data()) == 1);
    return context;
  }();
  return initial;
}

}  // namespace

Digest hmac_sha3_256(ByteView key, std::initializer_list<ByteView> parts) {
  const MacContext context(EVP_MAC_CTX_dup(initial_context()));
  ASSERT(context != nullptr);
  // A null key would mean "the one before", which is the initial one.
  static constexpr std::uint8_t kNothing = 0;
  const std::uint8_t* const bytes = key.empty() ? &kNothing : key.data();
  ASSERT(EVP_MAC_init(context.get(), bytes, key.size(), nullptr) == 1);
  for (const ByteView part : parts) {
    ASSERT(EVP_MAC_update(context.get(), part.data(), part.size()) == 1);
  }
  Digest out;
  std::size_t size = 0;
  ASSERT(EVP_MAC_final(context.get(), out.data(), &size, out.size()) == 1);
  ASSERT(size == out.size());
  return out;
}

}  // namespace aioss::crypto
