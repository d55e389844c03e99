// `aioss ledger init`. The order of the steps makes an interruption harmless: the segment gets its
// name last, and without a segment there is no ledger.
#include <algorithm>

#include "codec/hex.h"
#include "ledger/appender.h"
#include "ledger/checkpoint.h"
#include "ledger/directory.h"
#include "ledger/ledger.h"
#include "ledger/walk.h"

namespace aioss::ledger {
namespace {

constexpr unsigned kDirectoryPermissions = 0750;
constexpr unsigned kKeyDirectoryPermissions = 0700;

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
  if (!any) return ok();
  return Error{Code::kConflict, "there is a ledger in " + directory + " already"};
}

Result<std::unique_ptr<crypto::SigningKey>> make_key(os::FileSystem& fs, crypto::Random& random,
                                                     const std::string& directory) {
  const std::string path = signing_key_path(directory);
  if (fs.info(path)) return crypto::SigningKey::load(fs, path);  // of an interrupted init
  AIOSS_TRY(auto key, crypto::SigningKey::generate(random));
  AIOSS_CHECK(key->save(fs, path));
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

}  // namespace

Result<Identity> init(os::FileSystem& fs, const Clock& clock, crypto::Random& random,
                      const InitOptions& options) {
  if (!options.origin.empty()) AIOSS_CHECK(check_origin(options.origin));
  const std::string& directory = options.directory;
  AIOSS_CHECK(make_directories(fs, directory));
  AIOSS_CHECK(check_file_system(fs, directory, options.allow_unsafe_file_system));
  AIOSS_TRY(const LockedDirectory locked, LockedDirectory::lock(fs, directory));
  AIOSS_CHECK(refuse_second(fs, directory));
  AIOSS_TRY(const auto key, make_key(fs, random, directory));

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
