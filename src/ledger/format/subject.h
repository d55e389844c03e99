// A subject: a user of a tenant, as far as the ledger keeps anything of them. K, 32 random bytes
// that only the vault keeps, makes all that stands for them elsewhere: the id that records say
// instead of the name, the salts of commitments, the keys of sealed texts. Whoever destroys K makes
// the records of that person nobody's. Formulas: docs/formats/commitments.md.
#pragma once

#include <atomic>
#include <compare>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "codec/cbor.h"
#include "crypto/secret_key.h"

namespace aioss::ledger {

struct SubjectName {
  std::string tenant, user;
  auto operator<=>(const SubjectName&) const = default;
};
inline constexpr std::size_t kSubjectNameBytesMax = 256;  // of a tenant, of a user
// "tenant/user", for people.
std::string shown(const SubjectName& name);
// From the same; the first slash divides. kInvalidArgument without one, or for a part that is empty
// or too long.
Result<SubjectName> parse_subject_name(std::string_view text);

// "s_" and 32 lower-case hexadecimal digits: safe as the name of a folder.
bool is_subject_id(std::string_view text);
// Whose a record is: by its actor. Nothing if it names no subject.
std::optional<std::string> subject_of(const codec::Map& body);

// Immutable but for `erased`; thread-safe. Whoever still holds one after its erasure can finish
// what it began, but nothing of it may reach a disk any more.
class Subject final {
 public:
  Subject(SubjectName name, crypto::SecretKey key);

  const std::string& id() const { return id_; }
  const SubjectName& name() const { return name_; }
  const crypto::SecretKey& key() const { return key_; }
  // `field`: "prompt", "stop", "output/0", …, "comment".
  Digest salt(std::string_view request_id, std::string_view field) const;
  crypto::SecretKey seal_key(std::string_view request_id, std::string_view field) const;
  bool erased() const { return erased_.load(); }

 private:
  friend class Vault;
  const SubjectName name_;
  const crypto::SecretKey key_;
  const std::string id_;
  mutable std::atomic<bool> erased_{false};  // set by the vault, once
};
using SubjectPtr = std::shared_ptr<const Subject>;

}  // namespace aioss::ledger
