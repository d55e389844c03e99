// Ed25519 keys and signatures (RFC 8032). A private key is written as PKCS #8 PEM, to a file of
// mode 0600 (crypto/protected_key.h encrypts it), and is wiped from memory when the object goes.
// Keys are immutable: thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/random.h"
#include "crypto/secret.h"
#include "os/file.h"

namespace aioss::crypto {

using PublicKey = std::array<std::uint8_t, 32>;
using Signature = std::array<std::uint8_t, 64>;

class SigningKey final {
 public:
  static Result<std::unique_ptr<SigningKey>> generate(Random& random);
  static Result<std::unique_ptr<SigningKey>> from_seed(ByteView seed);  // 32 bytes
  static Result<std::unique_ptr<SigningKey>> from_pem(ByteView pem);
  static Result<std::unique_ptr<SigningKey>> load(os::FileSystem& fs, const std::string& path);
  ~SigningKey();
  SigningKey(const SigningKey&) = delete;
  SigningKey& operator=(const SigningKey&) = delete;

  const PublicKey& public_key() const { return public_key_; }
  Result<Signature> sign(ByteView message) const;
  Result<Secret> to_pem() const;  // unencrypted
  // Replaces the file, mode 0600, and syncs it and its directory.
  Status save(os::FileSystem& fs, const std::string& path) const;

 private:
  struct State;
  SigningKey(std::unique_ptr<State> state, const PublicKey& public_key);
  std::unique_ptr<State> state_;
  PublicKey public_key_;
};

bool verify(const PublicKey& key, ByteView message, const Signature& signature);

}  // namespace aioss::crypto
