// Private keys on the disk: as they are, or encrypted with a key made of a passphrase (scrypt,
// AES-256-GCM), and how to get rid of one. The file's layout is in docs/keys.md. Reading takes
// untrusted bytes: what a file may ask of memory and time is bounded. Thread-compatible.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/ed25519.h"
#include "crypto/random.h"
#include "crypto/secret.h"
#include "crypto/secret_key.h"
#include "os/file.h"

namespace aioss::crypto {

enum class Protection { kNone, kPassphrase };
std::string_view name(Protection protection);  // "none", "passphrase"
std::optional<Protection> protection_from_name(std::string_view name);

// Asked only if a key needs it. An error says what the user can do.
using AskPassphrase = std::function<Result<Secret>()>;

inline constexpr std::size_t kPassphraseBytesMax = 1'024;
inline constexpr std::size_t kNewPassphraseBytesMin = 8;     // of one that is being set
inline constexpr std::size_t kProtectedKeyBytesMax = 4'096;  // of a key itself
inline constexpr std::uint64_t kKeyFileBytesMax = 8'192;

// 128 MiB and about half a second for each guess.
struct ScryptCost {
  std::uint8_t log2_n = 17;
  std::uint8_t r = 8;
  std::uint8_t p = 1;
  bool operator==(const ScryptCost&) const = default;
};

struct OpenedKey;

// How a ledger's keys are written. With a passphrase it holds the key that was made of it, not the
// passphrase; so a running ledger can write its next key without asking again. A value; whoever
// holds one can read the files that it wrote.
class KeyGuard final {
 public:
  KeyGuard() = default;  // protects nothing
  // kUsage for a passphrase that is too short or too long.
  static Result<KeyGuard> from_passphrase(const Secret& passphrase, Random& random,
                                          ScryptCost cost = {});

  Protection protection() const {
    return wrapping_key_ ? Protection::kPassphrase : Protection::kNone;
  }
  // Whether a key file is as seal() writes it: without protection if this guard protects nothing,
  // with the key of this passphrase otherwise. Looks at its header only.
  bool wrote(ByteView file) const;
  // The bytes of a key file. `label` says which key it is ("keys/signing.key"), so that one file
  // cannot stand for another; not secret.
  Result<Secret> seal(std::string_view label, ByteView key, Random& random) const;
  // As open_key(), but without asking if this guard wrote the file.
  Result<Secret> open(std::string_view label, ByteView file, const AskPassphrase& ask) const;

 private:
  using Salt = std::array<std::uint8_t, 16>;
  friend Result<OpenedKey> open_key(std::string_view label, ByteView file,
                                    const AskPassphrase& ask);
  static Result<KeyGuard> derive(ByteView passphrase, const Salt& salt, ScryptCost cost);
  Result<Secret> unwrap(std::string_view label, ByteView file) const;

  ScryptCost cost_;
  Salt salt_{};
  std::optional<SecretKey> wrapping_key_;  // nothing: no protection
};

struct OpenedKey {
  Secret key;
  KeyGuard guard;  // writes the next one in the same way
};
// The key in a key file. kForbidden for a wrong passphrase, kCorrupt for a damaged file; what `ask`
// says if it has none; kUsage if one is needed and there is nobody to ask.
Result<OpenedKey> open_key(std::string_view label, ByteView file, const AskPassphrase& ask);
bool is_protected(ByteView file);

struct OpenedSigningKey {
  std::unique_ptr<SigningKey> key;
  KeyGuard guard;
};
Result<OpenedSigningKey> load_signing_key(os::FileSystem& fs, const std::string& path,
                                          std::string_view label, const AskPassphrase& ask);
// Replaces the file, mode 0600, and syncs it and its directory.
Status save_signing_key(os::FileSystem& fs, const std::string& path, std::string_view label,
                        const SigningKey& key, const KeyGuard& guard, Random& random);

}  // namespace aioss::crypto
