#include "ledger/format/subject.h"

#include <algorithm>
#include <array>

#include "codec/hex.h"
#include "crypto/hmac.h"
#include "ledger/format/record.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kIdPrefix = "s_";
constexpr std::size_t kIdBytes = 16;

constexpr std::string_view kSubjectLabel = "aioss/subject/v1\n";
constexpr std::string_view kSaltLabel = "aioss/salt/v1\n";
constexpr std::string_view kSealLabel = "aioss/seal/v1\n";
constexpr std::array<std::uint8_t, 1> kSeparator{0};

std::string id_of(const crypto::SecretKey& key) {
  const Digest digest = crypto::hmac_sha3_256(key.view(), {as_bytes(kSubjectLabel)});
  return std::string(kIdPrefix) + codec::to_hex(ByteView(digest).first(kIdBytes));
}

Digest derive(const crypto::SecretKey& key, std::string_view label, std::string_view request_id,
              std::string_view field) {
  return crypto::hmac_sha3_256(
      key.view(), {as_bytes(label), as_bytes(request_id), kSeparator, as_bytes(field)});
}

}  // namespace

std::string shown(const SubjectName& name) {
  return name.tenant + '/' + name.user;
}

Result<SubjectName> parse_subject_name(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    return Error{Code::kInvalidArgument, "a subject is written TENANT/USER, or by its id, s_…"};
  }
  SubjectName name{std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
  for (const std::string& part : {name.tenant, name.user}) {
    if (part.empty() || part.size() > kSubjectNameBytesMax) {
      return Error{Code::kInvalidArgument, "tenant and user of a subject have 1 to " +
                                               std::to_string(kSubjectNameBytesMax) + " bytes"};
    }
  }
  return name;
}

bool is_subject_id(std::string_view text) {
  if (text.size() != kIdPrefix.size() + 2 * kIdBytes || !text.starts_with(kIdPrefix)) return false;
  text.remove_prefix(kIdPrefix.size());
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::optional<std::string> subject_of(const codec::Map& body) {
  const codec::Value* const value = body.find(key::kActor);
  const codec::Map* const actor = value == nullptr ? nullptr : value->if_map();
  if (actor == nullptr) return std::nullopt;
  const codec::Value* named = actor->find(key::actor::kSubject);
  if (named == nullptr) named = actor->find(key::actor::kName);
  const std::string* const text = named == nullptr ? nullptr : named->if_text();
  if (text == nullptr || !is_subject_id(*text)) return std::nullopt;
  return *text;
}

Subject::Subject(SubjectName name, crypto::SecretKey key)
    : name_(std::move(name)), key_(key), id_(id_of(key_)) {}

Digest Subject::salt(std::string_view request_id, std::string_view field) const {
  return derive(key_, kSaltLabel, request_id, field);
}

crypto::SecretKey Subject::seal_key(std::string_view request_id, std::string_view field) const {
  Digest digest = derive(key_, kSealLabel, request_id, field);
  const crypto::SecretKey key{ByteView(digest)};
  crypto::wipe(digest);
  return key;
}

}  // namespace aioss::ledger
