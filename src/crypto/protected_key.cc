#include "crypto/protected_key.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/assert.h"
#include "crypto/aead.h"
#include "crypto/openssl.h"

namespace aioss::crypto {
namespace {

constexpr std::string_view kMagic = "AIOSSKEY";
constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kScrypt = 1;
constexpr std::size_t kSaltOffset = 16;
constexpr std::size_t kNonceOffset = 32;
constexpr std::size_t kHeaderBytes = 48;

// What a file may ask for. The least keeps a guess from being free; the most keeps a forged file
// from taking the machine's memory.
constexpr ScryptCost kCostLeast{10, 1, 1};
constexpr ScryptCost kCostMost{20, 16, 4};
constexpr std::uint64_t kScryptBytesMax = 256ULL << 20;

using FileHeader = std::array<std::uint8_t, kHeaderBytes>;

std::uint64_t scrypt_bytes(ScryptCost cost) {
  return 128ULL * cost.r * ((1ULL << cost.log2_n) + cost.p);
}

bool is_bounded(ScryptCost cost) {
  const auto within = [](std::uint8_t value, std::uint8_t least, std::uint8_t most) {
    return value >= least && value <= most;
  };
  return within(cost.log2_n, kCostLeast.log2_n, kCostMost.log2_n) &&
         within(cost.r, kCostLeast.r, kCostMost.r) && within(cost.p, kCostLeast.p, kCostMost.p) &&
         scrypt_bytes(cost) <= kScryptBytesMax;
}

Bytes associated_data(std::string_view label, const FileHeader& header) {
  constexpr std::string_view kPrefix = "aioss/key/v1\n";
  Bytes out(kPrefix.begin(), kPrefix.end());
  out.insert(out.end(), label.begin(), label.end());
  out.push_back(0);
  out.insert(out.end(), header.begin(), header.end());
  return out;
}

// What a file says of how it was written; checked before anything is done for it.
struct Parameters {
  ScryptCost cost;
  std::array<std::uint8_t, 16> salt{};
};

Result<Parameters> parse_parameters(ByteView file) {
  if (file.size() < kHeaderBytes + kGcmTagBytes || file.size() > kKeyFileBytesMax) {
    return Error{Code::kCorrupt, "the protected key is cut off"};
  }
  if (file[8] != kVersion || file[9] != kScrypt) {
    return Error{Code::kUnsupported,
                 "the key was protected by a later version of aioss; start that version"};
  }
  Parameters parameters{{file[10], file[11], file[12]}, {}};
  if (!is_bounded(parameters.cost)) {
    return Error{Code::kCorrupt, "the protected key asks for more work than is allowed"};
  }
  std::copy_n(file.begin() + kSaltOffset, parameters.salt.size(), parameters.salt.begin());
  return parameters;
}

}  // namespace

std::string_view name(Protection protection) {
  return protection == Protection::kNone ? "none" : "passphrase";
}

std::optional<Protection> protection_from_name(std::string_view name) {
  if (name == "none") return Protection::kNone;
  if (name == "passphrase") return Protection::kPassphrase;
  return std::nullopt;
}

Result<KeyGuard> KeyGuard::derive(ByteView passphrase, const Salt& salt, ScryptCost cost) {
  initialize_openssl();
  Bytes bytes(SecretKey::kBytes);
  const bool made =
      EVP_PBE_scrypt(reinterpret_cast<const char*>(passphrase.data()), passphrase.size(),
                     salt.data(), salt.size(), 1ULL << cost.log2_n, cost.r, cost.p,
                     scrypt_bytes(cost) + (1U << 20), bytes.data(), bytes.size()) == 1;
  const Secret key(std::move(bytes));
  if (!made) return Error{Code::kNoMemory, "there is no memory to make a key of the passphrase"};
  KeyGuard guard;
  guard.cost_ = cost;
  guard.salt_ = salt;
  guard.wrapping_key_.emplace(key.view());
  return guard;
}

Result<KeyGuard> KeyGuard::from_passphrase(const Secret& passphrase, Random& random,
                                           ScryptCost cost) {
  ASSERT(is_bounded(cost));
  const std::size_t size = passphrase.view().size();
  if (size < kNewPassphraseBytesMin || size > kPassphraseBytesMax) {
    return Error{Code::kUsage, "the passphrase must have " +
                                   std::to_string(kNewPassphraseBytesMin) + " to " +
                                   std::to_string(kPassphraseBytesMax) + " bytes"};
  }
  Salt salt;
  random.fill(salt);
  return derive(passphrase.view(), salt, cost);
}

Result<Secret> KeyGuard::seal(std::string_view label, ByteView key, Random& random) const {
  ASSERT(key.size() <= kProtectedKeyBytesMax);
  if (!wrapping_key_) return Secret(Bytes(key.begin(), key.end()));
  FileHeader header{};
  std::copy(kMagic.begin(), kMagic.end(), header.begin());
  header[8] = kVersion;
  header[9] = kScrypt;
  header[10] = cost_.log2_n;
  header[11] = cost_.r;
  header[12] = cost_.p;
  std::copy(salt_.begin(), salt_.end(), header.begin() + kSaltOffset);
  const GcmNonce nonce = gcm_nonce(random);
  std::copy(nonce.begin(), nonce.end(), header.begin() + kNonceOffset);
  const Bytes sealed = gcm_seal(*wrapping_key_, nonce, key, associated_data(label, header));
  Bytes file(header.begin(), header.end());
  file.insert(file.end(), sealed.begin(), sealed.end());
  return Secret(std::move(file));
}

Result<Secret> KeyGuard::unwrap(std::string_view label, ByteView file) const {
  FileHeader header{};
  std::copy_n(file.begin(), kHeaderBytes, header.begin());
  GcmNonce nonce{};
  std::copy_n(file.begin() + kNonceOffset, nonce.size(), nonce.begin());
  auto key =
      gcm_open(*wrapping_key_, nonce, file.subspan(kHeaderBytes), associated_data(label, header));
  if (key) return Secret(std::move(*key));
  return Error{Code::kForbidden, "the passphrase is wrong, or the key file is damaged"};
}

bool KeyGuard::wrote(ByteView file) const {
  if (!wrapping_key_ || !is_protected(file)) return !wrapping_key_ && !is_protected(file);
  const auto parameters = parse_parameters(file);
  return parameters && parameters->cost == cost_ && parameters->salt == salt_;
}

Result<Secret> KeyGuard::open(std::string_view label, ByteView file,
                              const AskPassphrase& ask) const {
  if (wrapping_key_ && wrote(file)) return unwrap(label, file);
  AIOSS_TRY(OpenedKey opened, open_key(label, file, ask));
  return std::move(opened.key);
}

bool is_protected(ByteView file) {
  return as_text(file).starts_with(kMagic);
}

Result<OpenedKey> open_key(std::string_view label, ByteView file, const AskPassphrase& ask) {
  if (!is_protected(file)) return OpenedKey{Secret(Bytes(file.begin(), file.end())), {}};
  AIOSS_TRY(const Parameters asked, parse_parameters(file));
  if (!ask) return Error{Code::kUsage, "the key is protected by a passphrase, and none was given"};
  AIOSS_TRY(const Secret passphrase, ask());
  if (passphrase.view().size() > kPassphraseBytesMax) {
    return Error{Code::kUsage, "the passphrase is longer than any that could be set"};
  }
  AIOSS_TRY(KeyGuard guard, KeyGuard::derive(passphrase.view(), asked.salt, asked.cost));
  AIOSS_TRY(Secret key, guard.unwrap(label, file));
  return OpenedKey{std::move(key), std::move(guard)};
}

Result<OpenedSigningKey> load_signing_key(os::FileSystem& fs, const std::string& path,
                                          std::string_view label, const AskPassphrase& ask) {
  AIOSS_TRY(Bytes bytes, os::read_file(fs, path, kKeyFileBytesMax));
  const Secret file(std::move(bytes));
  AIOSS_TRY(OpenedKey opened, open_key(label, file.view(), ask));
  AIOSS_TRY(auto key, SigningKey::from_pem(opened.key.view()));
  return OpenedSigningKey{std::move(key), std::move(opened.guard)};
}

Status save_signing_key(os::FileSystem& fs, const std::string& path, std::string_view label,
                        const SigningKey& key, const KeyGuard& guard, Random& random) {
  AIOSS_TRY(const Secret pem, key.to_pem());
  AIOSS_TRY(const Secret file, guard.seal(label, pem.view(), random));
  return os::replace_file(fs, path, file.view(), 0600);
}

}  // namespace aioss::crypto
