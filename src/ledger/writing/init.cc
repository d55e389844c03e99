// `aioss ledger init`. The order of the steps makes an interruption harmless: the segment gets its
// name last, and without a segment there is no ledger.
#include <algorithm>

#include "codec/hex.h"
#include "ledger/format/checkpoint.h"
#include "ledger/reading/walk.h"
#include "ledger/writing/appender.h"
#include "ledger/writing/directory.h"
#include "ledger/writing/ledger.h"
#include "ledger/writing/signer.h"
#include "os/destroy.h"

namespace aioss::ledger {
namespace {

constexpr unsigned kDirectoryPermissions = 0750;
constexpr unsigned kKeyDirectoryPermissions = 0700;
constexpr std::uint64_t kFirstRecordsMax =
    3;  // SEGMENT_OPEN, GENESIS, and the policy if there is one

Status make_directories(os::FileSystem& fs, const std::string& directory) {
  AIOSS_CHECK(fs.make_directories(directory, kDirectoryPermissions));
  AIOSS_CHECK(
      fs.make_directories(directory + '/' + std::string(kSegmentFolder), kDirectoryPermissions));
  return fs.make_directories(directory + "/keys", kKeyDirectoryPermissions);
}

Status refuse_second(os::FileSystem& fs, const std::string& directory) {
  AIOSS_TRY(const auto names, fs.list(directory + '/' + std::string(kSegmentFolder)));
  const bool any = std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return parse_segment_file_name(name).has_value();
  });
  if (any) return Error{Code::kConflict, "there is a ledger in " + directory + " already"};
  // An interrupted init leaves a checkpoint too, over the first records that it would have made.
  const auto note = read_checkpoint(fs, directory);
  if (!note || note->checkpoint.size <= kFirstRecordsMax) return ok();
  return Error{Code::kConflict, "in " + directory +
                                    " there was a ledger: its checkpoint is left, and no segment; "
                                    "keep it for 'aioss verify' and name another folder"};
}

// A key that an interrupted init left is taken up, unless it is to be written in another way.
Result<std::unique_ptr<crypto::SigningKey>> make_key(os::FileSystem& fs, crypto::Random& random,
                                                     const InitOptions& options) {
  const std::string path = signing_key_path(options.directory);
  if (options.guard == nullptr) {
    auto found = crypto::load_signing_key(fs, path, kSigningKeyLabel, nullptr);
    if (found) return std::move(found->key);
  }
  AIOSS_CHECK(os::destroy_file_durably(fs, path));
  AIOSS_TRY(auto key, crypto::SigningKey::generate(random));
  const crypto::KeyGuard none;
  AIOSS_CHECK(crypto::save_signing_key(fs, path, kSigningKeyLabel, *key,
                                       options.guard ? *options.guard : none, random));
  return key;
}

Result<EncodedBody> genesis_body(const std::string& origin, const crypto::PublicKey& public_key) {
  namespace own = key::genesis;
  using codec::Value;
  codec::Map body;
  body.set(own::kOrigin, Value::text(origin))
      .set(own::kPublicKey, Value::bytes(public_key))
      .set(own::kFormatVersion, Value::uint(kVersionMajor * 65'536U + kVersionMinor))
      .set(own::kProductVersion, Value::text(AIOSS_VERSION));
  return encode_own(body);
}

// The rule that holds for the ledger's life: recorded, and in a file for people.
Status set_policy(os::FileSystem& fs, const InitOptions& options, Appender& appender) {
  if (options.policy.dual_control.empty()) {
    return os::remove_if_there(fs, options.directory + '/' + std::string(kPolicyFile));
  }
  AIOSS_CHECK(write_policy(fs, options.directory, options.policy));
  AIOSS_TRY(const EncodedBody body, encode_own(policy_body(options.policy)));
  appender.stage(RecordType::kAdminAction, body);
  return ok();
}

}  // namespace

Result<Identity> init(os::FileSystem& fs, const Clock& clock, crypto::Random& random,
                      const InitOptions& options) {
  if (!options.origin.empty()) AIOSS_CHECK(check_origin(options.origin));
  const std::string& directory = options.directory;
  AIOSS_CHECK(make_directories(fs, directory));
  AIOSS_CHECK(check_file_system(fs, directory, options.trial));
  AIOSS_TRY(const LockedDirectory locked, LockedDirectory::lock(fs, directory));
  AIOSS_CHECK(refuse_second(fs, directory));
  AIOSS_CHECK(set_trial(fs, directory, options.trial));
  AIOSS_TRY(const auto key, make_key(fs, random, options));

  Identity identity;
  random.fill(identity.ledger_id);
  identity.origin = options.origin;
  if (identity.origin.empty()) {
    identity.origin = "aioss/" + codec::to_hex(ByteView(identity.ledger_id).first(8));
  }
  identity.verifier_key = format_verifier_key({identity.origin, key->public_key()});

  Position position;
  position.ledger_id = identity.ledger_id;
  position.chain = genesis_hash(identity.ledger_id, identity.origin, key->public_key());
  Appender appender(fs, clock, directory, new_instance(random, options.boot_id),
                    std::move(position));
  AIOSS_TRY(const EncodedBody genesis, genesis_body(identity.origin, key->public_key()));
  appender.start_ledger(genesis);
  AIOSS_CHECK(set_policy(fs, options, appender));
  // The one checkpoint that is signed before its records are durable: until they are, there is no
  // ledger that it could contradict, and afterwards there is none without a checkpoint.
  ChainHasher hasher;
  const MerkleTree& tree = appender.tree();
  AIOSS_CHECK(
      write_checkpoint(fs, directory, {identity.origin, tree.size(), tree.root(hasher)}, *key));
  AIOSS_CHECK(appender.publish());
  AIOSS_CHECK(fs.sync_directory(directory));
  AIOSS_CHECK(fs.sync_directory(directory + "/.."));
  return identity;
}

}  // namespace aioss::ledger
