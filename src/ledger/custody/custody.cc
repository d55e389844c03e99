#include "ledger/custody/custody.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "codec/utf8.h"
#include "ledger/writing/policy.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kIntentFile = "erasing";
constexpr std::uint64_t kIntentBytesMax = 64 << 10;
constexpr std::string_view kMethod = "key_destroyed";
constexpr unsigned kIntentPermissions = 0600;
// A shorter name is part of too many words.
constexpr std::size_t kNameBytesChecked = 3;

namespace intent_key {
constexpr std::uint64_t kVersion = 0, kSubject = 1, kBody = 2;
}  // namespace intent_key
constexpr std::uint64_t kIntentVersion = 1;

// What goes into the chain beside a person must not name them.
Status check_text(std::string_view what, std::string_view text, const Subject* subject) {
  if (trim(text).empty() || text.size() > kOrderTextBytesMax || !codec::is_utf8(text)) {
    return Error{Code::kInvalidArgument, "the " + std::string(what) + " must be a text of 1 to " +
                                             std::to_string(kOrderTextBytesMax) + " bytes"};
  }
  if (subject == nullptr || subject->name().user.size() < kNameBytesChecked) return ok();
  if (ascii_lower(text).find(ascii_lower(subject->name().user)) == std::string::npos) return ok();
  return Error{Code::kInvalidArgument,
               "the " + std::string(what) +
                   " names the person: it would stay in the ledger for ever; write it without "
                   "the name"};
}

Error held(const LegalHold& hold) {
  return {Code::kConflict, "there is a legal hold (case '" + one_line(hold.case_name) +
                               "', record " + std::to_string(hold.record) +
                               "): nothing may be destroyed until it is cleared"};
}

}  // namespace

Custody::Custody(os::FileSystem& fs, const Clock& clock, crypto::Random& random, Ledger& ledger,
                 CustodyOptions options)
    : fs_(fs),
      clock_(clock),
      ledger_(ledger),
      options_(std::move(options)),
      blobs_(fs, random, options_.directory, ledger.identity().ledger_id),
      prefixes_(fs, random, options_.directory, ledger.identity().ledger_id),
      standing_(ledger.standing()) {}

Result<std::unique_ptr<Custody>> Custody::open(os::FileSystem& fs, const Clock& clock,
                                               crypto::Random& random, Ledger& ledger,
                                               const CustodyOptions& options) {
  std::unique_ptr<Custody> custody(new Custody(fs, clock, random, ledger, options));
  VaultOptions vault;
  vault.directory = options.directory;
  vault.ledger_id = ledger.identity().ledger_id;
  vault.must_exist = ledger.standing().names_subjects();
  vault.subjects_max = options.subjects_max;
  vault.master = options.master;
  AIOSS_TRY(custody->vault_, Vault::open(fs, random, vault));
  AIOSS_CHECK(custody->finish_erasure());
  return custody;
}

std::vector<LegalHold> Custody::holds() const {
  std::lock_guard lock(mutex_);
  return standing_.holds();
}

Result<SubjectPtr> Custody::subject_of_order(std::string_view who) const {
  SubjectPtr subject;
  if (is_subject_id(who)) {
    subject = vault_->find_id(who);
  } else {
    AIOSS_TRY(const SubjectName name, parse_subject_name(who));
    subject = vault_->find(name);
  }
  if (subject != nullptr) return subject;
  return Error{Code::kNotFound, "the vault knows no subject '" + one_line(who) +
                                    "': it never asked for anything, or was erased"};
}

Result<std::uint64_t> Custody::append(RecordType type, const codec::Map& body) {
  AIOSS_TRY(const Committed committed, ledger_.append_and_wait(type, body));
  std::lock_guard lock(mutex_);
  standing_.note(type, committed.index, body);
  return committed.index;
}

// A record accounts for what is gone only once a checkpoint covers it.
Status Custody::sign_order() {
  const auto signed_note = ledger_.checkpoint_now();
  return signed_note ? ok() : Status(signed_note.error());
}

// ---- erasure ------------------------------------------------------------------------------------

std::string Custody::intent_path() const {
  return options_.directory + '/' + std::string(kVaultFolder) + '/' + std::string(kIntentFile);
}

Status Custody::write_intent(const Intent& intent) {
  codec::Map map;
  map.set(intent_key::kVersion, codec::Value::uint(kIntentVersion))
      .set(intent_key::kSubject, codec::Value::text(intent.subject))
      .set(intent_key::kBody, codec::Value::map(intent.body));
  return os::replace_file(fs_, intent_path(), codec::encode(std::move(map)), kIntentPermissions);
}

Result<std::optional<Custody::Intent>> Custody::read_intent() {
  auto bytes = os::read_file(fs_, intent_path(), kIntentBytesMax);
  if (!bytes && bytes.error().code == Code::kNotFound) return std::optional<Intent>();
  if (!bytes) return std::move(bytes).error();
  const auto map = codec::decode_map(*bytes);
  const Error broken{Code::kCorrupt,
                     "vault/erasing, an erasure under way, cannot be read; restore "
                     "the folder vault/ whole, from one backup"};
  if (!map) return broken;
  const auto version = map->get_uint(intent_key::kVersion, "version");
  const auto subject = map->get_text(intent_key::kSubject, "subject");
  const auto body = map->get_map(intent_key::kBody, "body");
  if (!version || *version != kIntentVersion || !subject || !is_subject_id(*subject) || !body) {
    return broken;
  }
  return std::optional<Intent>(Intent{*subject, **body});
}

// Not overwritten: there is no secret in it, and a half of it could not be read.
Status Custody::forget_intent() {
  AIOSS_CHECK(fs_.remove(intent_path()));
  return fs_.sync_directory(options_.directory + '/' + std::string(kVaultFolder));
}

// Everything behind the destruction of the key. Before it nothing has happened, and the intent is
// forgotten.
Status Custody::finish_erasure() {
  AIOSS_TRY(const std::optional<Intent> intent, read_intent());
  if (!intent) return ok();
  if (vault_->find_id(intent->subject) != nullptr) return forget_intent();
  AIOSS_CHECK(blobs_.destroy_all(intent->subject));
  AIOSS_CHECK(prefixes_.destroy_all(intent->subject));
  bool recorded = false;
  {
    std::lock_guard lock(mutex_);
    recorded = standing_.redacted(intent->subject).has_value();
  }
  if (!recorded) AIOSS_CHECK(append(RecordType::kRedact, intent->body));
  AIOSS_CHECK(sign_order());
  return forget_intent();
}

Result<codec::Map> Custody::redact_body(const Subject& subject, std::string_view ground,
                                        const codec::Map& actor,
                                        const std::vector<std::string>& approvals) const {
  namespace own = key::redact;
  using codec::Value;
  AIOSS_TRY(const std::uint64_t blobs, blobs_.count(subject.id()));
  codec::Map body;
  body.set(key::kActor, Value::map(actor))
      .set(own::kSubject, Value::text(subject.id()))
      .set(own::kGround, Value::text(ground))
      .set(own::kMethod, Value::text(kMethod))
      .set(own::kBlobs, Value::uint(blobs));
  if (approvals.empty()) return body;
  codec::Array names;
  for (const std::string& name : approvals) names.push_back(Value::text(name));
  body.set(own::kApprovals, Value::array(std::move(names)));
  return body;
}

Result<std::string> Custody::check_erasure(std::string_view who, std::string_view ground) const {
  const auto found = subject_of_order(who);
  if (!found && found.error().code == Code::kNotFound) return std::string();
  if (!found) return found.error();
  AIOSS_CHECK(check_text("ground", ground, found->get()));
  std::lock_guard lock(mutex_);
  if (const LegalHold* hold = standing_.hold_on((*found)->id())) return held(*hold);
  return (*found)->id();
}

Result<Erased> Custody::erase(std::string_view who, std::string_view ground,
                              const codec::Map& actor, const std::vector<std::string>& approvals) {
  std::lock_guard ordering(orders_mutex_);
  AIOSS_CHECK(finish_erasure());  // one that the ledger could not record in its time
  AIOSS_TRY(const std::string id, check_erasure(who, ground));
  const SubjectPtr found = id.empty() ? nullptr : vault_->find_id(id);
  if (found == nullptr) return Erased{};
  if (ledger_.controls().policy().needs_approval(kEraseAction) && approvals.empty()) {
    return Error{Code::kForbidden,
                 "erasures from this ledger need two operators: stop the server, request it with "
                 "'aioss ledger erase', and have another operator approve it"};
  }
  const Subject& subject = *found;
  AIOSS_TRY(codec::Map body, redact_body(subject, ground, actor, approvals));
  Erased erased;
  erased.erased = true;
  erased.subject = subject.id();
  erased.blobs = *body.get_uint(key::redact::kBlobs, "blobs");
  AIOSS_CHECK(write_intent({subject.id(), std::move(body)}));
  AIOSS_CHECK(vault_->erase(found));
  AIOSS_CHECK(finish_erasure());
  std::lock_guard lock(mutex_);
  erased.record = standing_.redacted(erased.subject).value_or(0);
  return erased;
}

// ---- legal hold ---------------------------------------------------------------------------------

Result<std::uint64_t> Custody::hold(std::string_view who, bool on, std::string_view case_name,
                                    const codec::Map& actor) {
  namespace own = key::legal_hold;
  using codec::Value;
  std::lock_guard ordering(orders_mutex_);
  std::string subject(kEverySubject);
  if (who != kEverySubject) {
    AIOSS_TRY(const SubjectPtr found, subject_of_order(who));
    AIOSS_CHECK(check_text("case", case_name, found.get()));
    subject = found->id();
  } else {
    AIOSS_CHECK(check_text("case", case_name, nullptr));
  }
  const std::vector<LegalHold> holds = this->holds();
  const bool in_force = std::any_of(holds.begin(), holds.end(), [&](const LegalHold& hold) {
    return hold.subject == subject && hold.case_name == case_name;
  });
  if (in_force == on) {
    return Error{on ? Code::kConflict : Code::kNotFound,
                 on ? "this hold is in force already"
                    : "there is no such hold; 'aioss ledger hold list' shows those in force"};
  }
  codec::Map body;
  body.set(key::kActor, Value::map(actor))
      .set(own::kSubject, Value::text(subject))
      .set(own::kOn, Value::boolean(on))
      .set(own::kCase, Value::text(case_name));
  return append(RecordType::kLegalHold, body);
}

}  // namespace aioss::ledger
