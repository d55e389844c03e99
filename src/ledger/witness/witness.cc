#include "ledger/witness/witness.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "codec/base64.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "crypto/hash.h"
#include "ledger/format/epochs.h"
#include "ledger/format/proof.h"
#include "ledger/format/render.h"
#include "ledger/witness/witness_state.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kForkFormat = "aioss-fork/1";  // of ledger documents

Error refused(Code code, std::string_view origin, std::string message) {
  return {code, "not cosigned: " + std::string(origin) + ": " + std::move(message)};
}

// The key that signs checkpoints of the request's size, by way of the rotations that it carries.
Result<VerifierKey> key_in_force(const AnchorRequest& request, const WitnessedOrigin& known) {
  if (request.key_frames.empty()) return known.key;
  const std::vector<ByteView> frames(request.key_frames.begin(), request.key_frames.end());
  const auto epochs = KeyEpochs::of_frames(request.ledger_id, frames, known.key.public_key);
  if (!epochs) {
    return refused(Code::kForbidden, known.key.name,
                   "its chain of keys does not hold (" + epochs.error().message + ")");
  }
  // Only rotations among the records that are new to this witness: the checkpoint covers each, so
  // that its proof does, and none can say that an old key was in force once more.
  for (std::size_t i = 1; i < epochs->list().size(); ++i) {
    const std::uint64_t first_size = epochs->list()[i].first_size;
    if (first_size <= request.old_size || first_size > request.note.checkpoint.size) {
      return refused(Code::kForbidden, known.key.name,
                     "its chain of keys has a rotation that is not among the records from " +
                         std::to_string(request.old_size) + " to its checkpoint's " +
                         std::to_string(request.note.checkpoint.size));
    }
  }
  // A chain in which another key signed what this witness has cosigned is another ledger's.
  if (known.size > 0 && epochs->in_force(known.size) != known.key.public_key) {
    return refused(Code::kForbidden, known.key.name,
                   "its chain of keys has another key where this witness cosigned");
  }
  return VerifierKey{known.key.name, epochs->in_force(request.note.checkpoint.size)};
}

// The note with no other signatures than those of this key.
Note signed_only_by(const Note& note, const VerifierKey& key) {
  Note out = note;
  const KeyId id = key_id(key);
  std::erase_if(out.signature_lines, [&](const std::string& line) {
    const auto given = parse_signature_line(line);
    return !given || given->name != key.name || given->key_id != id;
  });
  // One is as good as several equal ones.
  out.signature_lines.resize(std::min<std::size_t>(out.signature_lines.size(), 1));
  return out;
}

std::string fork_document(const AnchorRequest& request, const WitnessedOrigin& origin,
                          std::span<const Digest> proof) {
  codec::OrderedJson json;
  json["format"] = kForkFormat;
  json["origin"] = origin.key.name;
  if (!request.key_frames.empty()) json["ledger_id"] = codec::to_hex(request.ledger_id);
  json["first"] = origin.note;
  json["second"] = text_of(request.note);
  json["proof"] = codec::OrderedJson::array();
  for (const Digest& digest : proof) json["proof"].push_back(codec::to_base64(digest));
  for (const Bytes& frame : request.key_frames) json["keys"].push_back(codec::to_base64(frame));
  return codec::dump_json(json) + '\n';
}

}  // namespace

Result<WitnessKey> Witness::init(os::FileSystem& fs, crypto::Random& random,
                                 const std::string& directory, const std::string& name) {
  AIOSS_CHECK(check_origin(name));
  for (const char* folder : {"/keys", "/origins", "/evidence"}) {
    AIOSS_CHECK(fs.make_directories(directory + folder, 0700));
  }
  AIOSS_TRY(const auto lock, fs.open(witness_lock_path(directory), os::OpenMode::kReadWriteCreate));
  AIOSS_CHECK(lock->lock_exclusive());
  const auto existing = read_witness_key(fs, directory);
  if (existing || existing.error().code != Code::kNotFound) {
    return Error{Code::kConflict, "there is a witness in " + directory + " already"};
  }
  AIOSS_TRY(const auto key, crypto::SigningKey::generate(random));
  AIOSS_CHECK(key->save(fs, witness_signing_key_path(directory)));
  WitnessKey public_half{name, key->public_key()};
  AIOSS_CHECK(fs.sync_directory(directory));
  // Last: what is left of an interrupted start is no witness, and is begun again.
  AIOSS_CHECK(write_witness_key(fs, directory, public_half));
  AIOSS_CHECK(fs.sync_directory(directory + "/.."));
  return public_half;
}

Witness::Witness(os::FileSystem& fs, const Clock& clock, std::string directory, WitnessKey key,
                 std::unique_ptr<crypto::SigningKey> signing_key, std::unique_ptr<os::File> lock)
    : fs_(fs),
      clock_(clock),
      directory_(std::move(directory)),
      key_(std::move(key)),
      signing_key_(std::move(signing_key)),
      lock_(std::move(lock)) {}

Result<std::unique_ptr<Witness>> Witness::open(os::FileSystem& fs, const Clock& clock,
                                               const std::string& directory) {
  AIOSS_TRY(WitnessKey key, read_witness_key(fs, directory));
  AIOSS_TRY(auto lock, fs.open(witness_lock_path(directory), os::OpenMode::kReadWriteCreate));
  if (auto locked = lock->lock_exclusive(); !locked) {
    if (locked.error().code != Code::kConflict) return std::move(locked).error();
    return Error{Code::kConflict, "another process is working with this witness; try again"};
  }
  auto loaded = crypto::SigningKey::load(fs, witness_signing_key_path(directory));
  if (!loaded) return std::move(loaded).error().with_context("the witness's signing key");
  if ((*loaded)->public_key() != key.public_key) {
    return Error{Code::kCorrupt,
                 "witness.vkey and keys/witness.key do not belong together; put "
                 "them back from a copy"};
  }
  return std::unique_ptr<Witness>(
      new Witness(fs, clock, directory, std::move(key), std::move(*loaded), std::move(lock)));
}

Status Witness::trust(const VerifierKey& key) {
  const auto known = read_origin(fs_, directory_, key.name);
  if (!known && known.error().code != Code::kNotFound) return Error(known.error());
  if (known && known->key == key) return ok();
  if (known && known->size > 0) {
    return Error{Code::kConflict,
                 "this witness follows a ledger of that name with another key, and has cosigned " +
                     count_of_records(known->size) +
                     " of it; a key that was rotated needs no new trust, its requests carry it"};
  }
  AIOSS_TRY(const auto all, read_witnessed(fs_, directory_));
  if (!known && all.size() >= kOriginsMax) {
    return Error{Code::kTooLarge,
                 "this witness follows " + std::to_string(kOriginsMax) + " ledgers; begin another"};
  }
  WitnessedOrigin origin;
  origin.key = key;
  return write_origin(fs_, directory_, origin);
}

Result<Witness::Cosigned> Witness::sign(std::string_view request_text) {
  AIOSS_TRY(const AnchorRequest request, parse_request(request_text));
  const Checkpoint& checkpoint = request.note.checkpoint;
  auto known = read_origin(fs_, directory_, checkpoint.origin);
  if (!known && known.error().code == Code::kNotFound) {
    return refused(Code::kNotFound, checkpoint.origin,
                   "this witness does not know that ledger; if its key is the right one, say so "
                   "with `aioss witness trust`");
  }
  if (!known) return Error(known.error());
  const WitnessedOrigin before = *known;
  WitnessedOrigin now = before;
  AIOSS_TRY(now.key, key_in_force(request, before));
  if (!signed_by(request.note, now.key)) {
    return refused(Code::kForbidden, checkpoint.origin,
                   "the checkpoint is not signed by the key that this witness trusts");
  }
  AIOSS_CHECK(check_history(request, before));
  Note note = signed_only_by(request.note, now.key);
  now.size = checkpoint.size;
  now.root = checkpoint.root;
  now.note = text_of(note);
  now.time_s =
      static_cast<std::uint64_t>(std::max<std::int64_t>(clock_.wall_ns(), 0) / kNsPerSecond);
  // Written also when it is what the disk seems to hold: after a failed sync that may be untrue.
  AIOSS_CHECK(write_origin(fs_, directory_, now));
  AIOSS_TRY(Cosignature cosignature, cosign(note, key_.name, now.time_s, *signing_key_));
  note.signature_lines.push_back(cosignature.line);
  return Cosigned{checkpoint, std::move(cosignature), text_of(note), before.size,
                  now.time_s < before.time_s};
}

// In the order of C2SP, but that a fork is called one whatever else is wrong with the request.
Status Witness::check_history(const AnchorRequest& request, const WitnessedOrigin& known) {
  const Checkpoint& now = request.note.checkpoint;
  const std::string seen = "this witness has cosigned " + count_of_records(known.size);
  if (known.size > 0 && now.size == known.size && now.root != known.root) {
    return fork(request, known, {});
  }
  if (now.size == 0) return refused(Code::kCorrupt, now.origin, "the checkpoint covers no record");
  if (now.size < known.size) {
    return refused(Code::kConflict, now.origin,
                   seen + ", the checkpoint covers only " + std::to_string(now.size) +
                       ": an old request, or the ledger was cut or put back (409)");
  }
  if (request.old_size != known.size) {
    return refused(Code::kConflict, now.origin,
                   seen + ", the request goes on from " + std::to_string(request.old_size) +
                       "; make it again with `aioss anchor export --old " +
                       std::to_string(known.size) + "` (409)");
  }
  if (known.size == 0 || now.size == known.size) {
    if (request.proof.empty()) return ok();
    return refused(Code::kCorrupt, now.origin, "there is nothing to prove, but a proof (422)");
  }
  const auto roots = roots_of_consistency(known.size, now.size, known.root, request.proof);
  if (roots && roots->second == now.root) {
    if (roots->first == known.root) return ok();
    return fork(request, known, request.proof);
  }
  return refused(Code::kCorrupt, now.origin,
                 "the proof does not lead from the " + count_of_records(known.size) +
                     " that this witness has cosigned to the checkpoint's " +
                     std::to_string(now.size) +
                     ": the request is damaged, or the ledger's history was rewritten (422)");
}

// Keeps the two signed notes that cannot both be true. That they could not be kept is the lesser
// problem: the request is in the operator's hand.
Error Witness::fork(const AnchorRequest& request, const WitnessedOrigin& known,
                    std::span<const Digest> proof) {
  const std::string text = fork_document(request, known, proof);
  const std::string name = "evidence/" + std::to_string(known.size) + "-" +
                           std::to_string(request.note.checkpoint.size) + "-" +
                           codec::to_hex(crypto::sha3_256(as_bytes(text))).substr(0, 16) + ".proof";
  const Status kept = os::replace_file(fs_, directory_ + '/' + name, as_bytes(text));
  return refused(Code::kCorrupt, known.key.name,
                 "FORK: its key has signed another history than the one of " +
                     count_of_records(known.size) + " that this witness has cosigned; " +
                     (kept ? "the proof is " + name + " in the witness's folder"
                           : "keep the request, it is the proof (" + kept.error().message + ")"));
}

}  // namespace aioss::ledger
