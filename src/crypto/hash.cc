#include "crypto/hash.h"

#include <vector>

#include <openssl/crypto.h>

#include "crypto/openssl.h"

namespace aioss::crypto {
namespace {

constexpr std::size_t kFileBlockBytes = 1U << 20;

// An initialised context of each algorithm, made once and then only copied: fetching an algorithm
// by name takes longer than hashing a record.
const EVP_MD_CTX* initial_context(HashAlgorithm algorithm) {
  const auto make = [](const char* name) {
    initialize_openssl();
    EVP_MD* digest = EVP_MD_fetch(nullptr, name, nullptr);
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    ASSERT(digest != nullptr && context != nullptr);
    ASSERT(EVP_MD_get_size(digest) == static_cast<int>(Digest{}.size()));
    ASSERT(EVP_DigestInit_ex2(context, digest, nullptr) == 1);
    EVP_MD_free(digest);  // the context holds its own reference
    return context;
  };
  static const EVP_MD_CTX* const sha3_256 = make("SHA3-256");
  static const EVP_MD_CTX* const sha256 = make("SHA2-256");
  return algorithm == HashAlgorithm::kSha3_256 ? sha3_256 : sha256;
}

}  // namespace

struct Hasher::State {
  const EVP_MD_CTX* initial;
  DigestContext context;
};

Hasher::Hasher(HashAlgorithm algorithm)
    : state_(std::make_unique<State>(
          State{initial_context(algorithm), DigestContext(EVP_MD_CTX_new())})) {
  ASSERT(state_->context != nullptr);
  ASSERT(EVP_MD_CTX_copy_ex(state_->context.get(), state_->initial) == 1);
}

Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

Hasher& Hasher::update(ByteView bytes) {
  ASSERT(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) == 1);
  return *this;
}

Digest Hasher::finish() {
  Digest digest;
  unsigned size = 0;
  ASSERT(EVP_DigestFinal_ex(state_->context.get(), digest.data(), &size) == 1);
  ASSERT(size == digest.size());
  // Without a type the context starts over with the one it has: no fetch and no allocation.
  ASSERT(EVP_DigestInit_ex2(state_->context.get(), nullptr, nullptr) == 1);
  return digest;
}

Digest sha3_256(ByteView bytes) {
  return Hasher(HashAlgorithm::kSha3_256).update(bytes).finish();
}

Digest sha3_256(std::initializer_list<ByteView> parts) {
  Hasher hasher(HashAlgorithm::kSha3_256);
  for (const ByteView part : parts) hasher.update(part);
  return hasher.finish();
}

Digest sha256(ByteView bytes) {
  return Hasher(HashAlgorithm::kSha256).update(bytes).finish();
}

Result<Digest> hash_file(HashAlgorithm algorithm, os::File& file) {
  Hasher hasher(algorithm);
  std::vector<std::uint8_t> block(kFileBlockBytes);
  std::uint64_t offset = 0;
  for (;;) {
    AIOSS_TRY(const std::size_t count, file.read_at(offset, block));
    if (count == 0) return hasher.finish();
    hasher.update(ByteView(block.data(), count));
    offset += count;
  }
}

bool equal_constant_time(ByteView a, ByteView b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string library_version() {
  return OpenSSL_version(OPENSSL_VERSION);
}

}  // namespace aioss::crypto
