#include "crypto/ed25519.h"

#include <utility>

#include <openssl/crypto.h>
#include <openssl/pem.h>

#include "crypto/openssl.h"

namespace aioss::crypto {
namespace {

constexpr std::size_t kSeedBytes = 32;
constexpr std::uint64_t kPemBytesMax = 4096;  // one of these is 119 bytes

Error key_error(std::string_view what) {
  return {Code::kCorrupt, std::string(what)};
}

Key key_from_pem(ByteView pem) {
  initialize_openssl();
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (bio == nullptr) return nullptr;
  // Never ask a terminal for a passphrase: an encrypted key is one that cannot be read here.
  const auto no_passphrase = [](char*, int, int, void*) { return 0; };
  return Key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
}

Result<PublicKey> public_key_of(const EVP_PKEY* key) {
  PublicKey bytes;
  std::size_t size = bytes.size();
  if (EVP_PKEY_is_a(key, "ED25519") != 1 ||
      EVP_PKEY_get_raw_public_key(key, bytes.data(), &size) != 1 || size != bytes.size()) {
    return key_error("the private key is not an Ed25519 key");
  }
  return bytes;
}

}  // namespace

struct SigningKey::State {
  Key key;
};

SigningKey::SigningKey(std::unique_ptr<State> state, const PublicKey& public_key)
    : state_(std::move(state)), public_key_(public_key) {}

SigningKey::~SigningKey() = default;  // libcrypto wipes the key as it frees it

Result<std::unique_ptr<SigningKey>> SigningKey::generate(Random& random) {
  std::array<std::uint8_t, kSeedBytes> seed;
  random.fill(seed);
  auto key = from_seed(seed);
  OPENSSL_cleanse(seed.data(), seed.size());
  return key;
}

Result<std::unique_ptr<SigningKey>> SigningKey::from_seed(ByteView seed) {
  ASSERT(seed.size() == kSeedBytes);
  initialize_openssl();
  Key key(EVP_PKEY_new_raw_private_key_ex(nullptr, "ED25519", nullptr, seed.data(), seed.size()));
  if (key == nullptr) return Error{Code::kNoMemory, "cannot make an Ed25519 key"};
  AIOSS_TRY(const PublicKey public_key, public_key_of(key.get()));
  auto state = std::make_unique<State>(State{std::move(key)});
  return std::unique_ptr<SigningKey>(new SigningKey(std::move(state), public_key));
}

Result<std::unique_ptr<SigningKey>> SigningKey::from_pem(ByteView pem) {
  Key key = key_from_pem(pem);
  if (key == nullptr) return key_error("the private key is not an unencrypted PKCS #8 PEM file");
  AIOSS_TRY(const PublicKey public_key, public_key_of(key.get()));
  auto state = std::make_unique<State>(State{std::move(key)});
  return std::unique_ptr<SigningKey>(new SigningKey(std::move(state), public_key));
}

Result<std::unique_ptr<SigningKey>> SigningKey::load(os::FileSystem& fs, const std::string& path) {
  AIOSS_TRY(Bytes bytes, os::read_file(fs, path, kPemBytesMax));
  const Secret pem(std::move(bytes));
  auto key = from_pem(pem.view());
  if (!key) return std::move(key).error().with_context(path);
  return key;
}

Result<Signature> SigningKey::sign(ByteView message) const {
  DigestContext context(EVP_MD_CTX_new());
  Signature signature;
  std::size_t size = signature.size();
  if (context == nullptr ||
      EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, state_->key.get()) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &size, message.data(), message.size()) != 1 ||
      size != signature.size()) {
    return Error{Code::kInternal, "Ed25519 signing failed"};
  }
  return signature;
}

Result<Secret> SigningKey::to_pem() const {
  Bio bio(BIO_new(BIO_s_secmem()));
  if (bio == nullptr || PEM_write_bio_PKCS8PrivateKey(bio.get(), state_->key.get(), nullptr,
                                                      nullptr, 0, nullptr, nullptr) != 1) {
    return Error{Code::kInternal, "cannot encode the private key"};
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  ASSERT(size > 0);
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(data);
  return Secret(Bytes(bytes, bytes + size));
}

Status SigningKey::save(os::FileSystem& fs, const std::string& path) const {
  AIOSS_TRY(const Secret pem, to_pem());
  return os::replace_file(fs, path, pem.view(), 0600);
}

bool verify(const PublicKey& key, ByteView message, const Signature& signature) {
  initialize_openssl();
  Key public_key(
      EVP_PKEY_new_raw_public_key_ex(nullptr, "ED25519", nullptr, key.data(), key.size()));
  DigestContext context(EVP_MD_CTX_new());
  return public_key != nullptr && context != nullptr &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, public_key.get()) == 1 &&
         EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(),
                          message.size()) == 1;
}

}  // namespace aioss::crypto
