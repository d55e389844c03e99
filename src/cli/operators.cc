#include "cli/operators.h"

#include <utility>

#include "base/strings.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "os/environment.h"
#include "runtime/calls/principal.h"
#include "runtime/records/records.h"
#include "runtime/records/salts.h"
#include "server/key_file.h"

namespace aioss::cli {
namespace {

constexpr std::string_view kFlag = "--operator-key";

Result<crypto::Secret> shown_key(os::FileSystem& files, const std::string& given) {
  Bytes bytes(given.begin(), given.end());
  if (given.starts_with('@')) {
    auto read = os::read_file(files, given.substr(1), server::kKeyBytesMax);
    if (!read) return std::move(read).error().with_context(std::string(kFlag) + " " + given);
    bytes = std::move(*read);
  }
  const crypto::Secret whole(std::move(bytes));
  const std::string_view text = trim(as_text(whole.view()));
  if (text.empty()) return Error(Code::kUsage, std::string(kFlag) + ": there is no key in it");
  return crypto::Secret(Bytes(text.begin(), text.end()));
}

}  // namespace

Commander os_user() {
  Commander out;
  out.principal.user = os::user_name();
  out.principal.role = runtime::Role::kOperator;
  out.principal.source = "unix:uid=" + std::to_string(os::user_id());
  out.actor = runtime::records::actor(out.principal);
  return out;
}

Status know(Commander& commander, ledger::Custody& custody) {
  AIOSS_CHECK(runtime::identify(custody, commander.principal));
  commander.actor = runtime::records::actor(commander.principal);
  return ok();
}

Result<Commander> commander(const Services& services, const Invocation& invocation,
                            const Config& config) {
  Commander out;
  const auto given = invocation.text(kFlag);
  if (!given) return os_user();
  const std::string key_file = config.text(Key::kKeys);
  if (key_file.empty()) {
    return Error(Code::kUsage, std::string(kFlag) +
                                   " is looked up in the key file; name it with "
                                   "--keys");
  }
  AIOSS_TRY(const crypto::Secret key, shown_key(services.files, *given));
  AIOSS_TRY(const auto ring, server::KeyRing::create(services.files, key_file));
  const auto principal = ring->find(as_text(key.view()));
  if (!principal) {
    return Error(Code::kForbidden,
                 std::string(kFlag) + ": " + key_file + " does not know this key");
  }
  if (principal->role != runtime::Role::kOperator) {
    return Error(Code::kForbidden,
                 std::string(kFlag) + ": " + principal->user + " is no operator in " + key_file);
  }
  AIOSS_TRY(const Bytes bytes, os::read_file(services.files, key_file, server::kKeyFileBytesMax));
  out.principal = *principal;
  out.actor = runtime::records::actor(*principal);
  out.evidence.push_back("keys_sha3=" + codec::to_hex(crypto::sha3_256(bytes)));
  out.has_key = true;
  return out;
}

}  // namespace aioss::cli
