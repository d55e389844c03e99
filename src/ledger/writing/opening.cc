#include "ledger/writing/opening.h"

#include <set>
#include <utility>

#include "base/strings.h"
#include "ledger/format/checkpoint.h"
#include "ledger/reading/walk.h"
#include "ledger/writing/backup.h"
#include "ledger/writing/clock_watch.h"
#include "ledger/writing/recovery.h"
#include "ledger/writing/restored.h"
#include "ledger/writing/rotation.h"

namespace aioss::ledger {
namespace {

Status write_recovered(Appender& appender, const Clock& clock, const Recovered& recovered,
                       const std::set<std::uint64_t>& open_requests) {
  const auto stage = [&appender](RecordType type, const codec::Map& body) -> Status {
    AIOSS_TRY(const EncodedBody encoded, encode_own(body));
    appender.stage(type, encoded);
    return appender.staged_bytes() < kGroupBytesMax ? ok() : appender.commit();
  };
  if (const auto jump = behind_last_record(clock, recovered.last_wall_ns)) {
    AIOSS_CHECK(stage(RecordType::kClock, clock_body(*jump, clock_source::kOpening)));
  }
  for (const codec::Map& body : recovered.recovery_bodies) {
    AIOSS_CHECK(stage(RecordType::kRecovery, body));
  }
  for (const std::uint64_t request : open_requests) {
    codec::Map body;
    body.set(key::kRefIndex, codec::Value::uint(request))
        .set(key::infer_abort::kCause, codec::Value::text(abort_cause::kCrash));
    AIOSS_CHECK(stage(RecordType::kInferAbort, body));
  }
  for (const auto& [type, body] : recovered.leftovers.endings()) AIOSS_CHECK(stage(type, body));
  return appender.commit();
}

Status check_reserve(os::FileSystem& fs, const OpenOptions& options) {
  AIOSS_TRY(const std::uint64_t bytes, fs.bytes_available(options.directory));
  const std::uint64_t least =
      options.may_use_reserve ? options.reserve_bytes / kReserveParts : options.reserve_bytes;
  if (bytes >= least) return ok();
  return Error{Code::kLedgerUnavailable, "less than " + human_bytes(least) +
                                             " are free on the disk of the ledger; free some "
                                             "space there, then start aioss again"};
}

Status check_openable(os::FileSystem& fs, const OpenOptions& options) {
  if (auto found = fs.info(options.directory + '/' + std::string(kSegmentFolder)); !found) {
    return Error{Code::kNotFound, "there is no ledger in " + options.directory +
                                      "; make one with `aioss ledger init`"};
  }
  AIOSS_CHECK(refuse_backup(fs, options.directory));
  return check_file_system(fs, options.directory, is_trial(fs, options.directory));
}

// What was recorded when the ledger was made is what holds; a file that says less was changed.
Status check_policy(const Policy& recorded, const Policy& file) {
  if (recorded == file) return ok();
  return Error{
      Code::kCorrupt,
      "the ledger's file 'policy' does not say what was recorded when the ledger was made; "
      "put it back as it was ('aioss ledger show 2' shows that record)"};
}

}  // namespace

Result<Opened> open_directory(os::FileSystem& fs, const Clock& clock, crypto::Random& random,
                              const OpenOptions& options) {
  const std::string& directory = options.directory;
  AIOSS_CHECK(check_openable(fs, options));
  AIOSS_TRY(LockedDirectory locked, LockedDirectory::lock(fs, directory));
  AIOSS_CHECK(check_reserve(fs, options));
  AIOSS_TRY(const Policy policy_file, read_policy(fs, directory));
  AIOSS_TRY(auto mark, read_restored_mark(fs, directory));
  RestoredWatch restored(std::move(mark));
  ControlBook controls;
  AIOSS_TRY(auto signer, Signer::load(fs, random, directory, options.ask_passphrase));
  auto index = std::make_unique<HistoryIndex>();
  RecoveryOptions recovering{directory, signer->candidates()};
  Standing standing;
  recovering.wants = [&standing](RecordType type) {
    return type == RecordType::kRecovery || type == RecordType::kKeyRotate ||
           type == RecordType::kAdminAction || standing.wants(type);
  };
  recovering.visit = [&](const Record& record) {
    restored.see(record);
    controls.see(record);
    standing.note(record);
  };
  AIOSS_TRY(Recovered recovered, recover(fs, recovering, *index));
  AIOSS_CHECK(check_policy(controls.policy(), policy_file));
  signer->choose(recovered.epochs.newest());
  Identity identity{recovered.origin, recovered.position.ledger_id, ""};
  const std::set<std::uint64_t> open_requests = recovered.position.open_requests;
  auto appender = std::make_unique<Appender>(
      fs, clock, directory, new_instance(random, options.boot_id), std::move(recovered.position));
  appender->set_index(index.get());
  AIOSS_CHECK(recovered.needs_segment ? appender->start_segment() : appender->reopen());
  AIOSS_CHECK(signer->settle(checkpoint_of(*appender, identity.origin)));
  AIOSS_CHECK(begin_restored(fs, directory, restored, *signer, *appender, identity));
  AIOSS_CHECK(write_recovered(*appender, clock, recovered, open_requests));
  index->publish(appender->next_index());
  identity.verifier_key = format_verifier_key({identity.origin, signer->public_key()});
  AIOSS_TRY(const Note note, read_checkpoint(fs, directory));  // perhaps a new one by now
  return Opened{
      std::move(locked),   std::move(signer),   std::move(identity), recovered.leftovers.program(),
      std::move(controls), std::move(standing), std::move(index),    std::move(appender),
      text_of(note),       note.checkpoint.size};
}

}  // namespace aioss::ledger
