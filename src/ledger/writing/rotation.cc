#include "ledger/writing/rotation.h"

#include <utility>

#include "base/assert.h"
#include "base/strings.h"
#include "ledger/format/epochs.h"
#include "ledger/writing/policy.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kRestoreAction = "restore", kDone = "done";

Status stage(Appender& appender, RecordType type, const codec::Map& body) {
  AIOSS_TRY(const EncodedBody encoded, encode_own(body));
  appender.stage(type, encoded);
  return ok();
}

// Who restored it, and from what: behind the change of key, where it can no longer be denied.
codec::Map restore_action(const RestoredMark& mark) {
  AdminAction action;
  action.action = kRestoreAction;
  action.outcome = kDone;
  action.details = {"backup_size=" + std::to_string(mark.size), "by=" + mark.restored_by};
  return admin_action_body(action);
}

}  // namespace

Checkpoint checkpoint_of(const Appender& appender, const std::string& origin) {
  ChainHasher hasher;
  return {origin, appender.tree().size(), appender.tree().root(hasher)};
}

Result<EncodedBody> prepare_rotation(Signer& signer, const Appender& appender,
                                     const LedgerId& ledger_id, const RotateOptions& options) {
  ASSERT(appender.staged_bytes() == 0);
  AIOSS_CHECK(signer.stage_next());
  ChainHasher hasher;
  const auto sign = [&]() -> Result<EncodedBody> {
    AIOSS_TRY(const Rotation rotation,
              signer.sign_rotation(ledger_id, appender.next_index(), appender.tree().root(hasher)));
    codec::Map body;
    if (options.actor) body.set(key::kActor, codec::Value::map(*options.actor));
    add_rotation(rotation, replace_invalid_utf8(options.reason), options.approvals, body);
    return encode_own(body);
  };
  auto encoded = sign();
  if (!encoded) signer.drop_next();
  return encoded;
}

Result<RotationDone> carry_out_rotation(Signer& signer, Appender& appender,
                                        const std::string& origin, const EncodedBody& body) {
  const Committed committed = appender.stage(RecordType::kKeyRotate, body);
  AIOSS_CHECK(appender.commit());
  AIOSS_TRY(std::string note, signer.adopt_next(checkpoint_of(appender, origin)));
  return RotationDone{committed, std::move(note)};
}

Status begin_restored(os::FileSystem& fs, const std::string& directory, const RestoredWatch& watch,
                      Signer& signer, Appender& appender, const Identity& identity) {
  if (!watch.mark()) return ok();
  if (watch.recovery_is_missing()) {
    AIOSS_CHECK(stage(appender, RecordType::kRecovery, restored_body(*watch.mark())));
    AIOSS_CHECK(appender.commit());
  }
  if (watch.rotation_is_missing()) {
    RotateOptions options;
    options.reason = kRestoredCause;
    AIOSS_TRY(const EncodedBody body,
              prepare_rotation(signer, appender, identity.ledger_id, options));
    const auto done = carry_out_rotation(signer, appender, identity.origin, body);
    if (!done) return Error(done.error());
    AIOSS_CHECK(stage(appender, RecordType::kAdminAction, restore_action(*watch.mark())));
    AIOSS_CHECK(appender.commit());
  }
  return remove_restored_mark(fs, directory);
}

}  // namespace aioss::ledger
