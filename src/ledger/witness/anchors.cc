#include "ledger/witness/anchors.h"

#include <algorithm>

#include "base/strings.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "ledger/format/epochs.h"
#include "ledger/format/proof.h"
#include "ledger/format/render.h"
#include "ledger/reading/history.h"
#include "ledger/reading/verify.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kNoteSuffix = ".note";
constexpr std::size_t kNameCharactersMax = 40;  // so that a bundle can hold a file of that name
constexpr std::size_t kHashCharacters = 8;

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

std::string file_word(std::string_view witness) {
  std::string word(witness.substr(0, kNameCharactersMax));
  std::replace_if(word.begin(), word.end(), [](char c) { return !is_plain(c); }, '_');
  if (word == witness) return word;
  return word + '-' + codec::to_hex(crypto::sha3_256(as_bytes(witness))).substr(0, kHashCharacters);
}

// "…<size>-<word>.note": the size, if the name is of that witness.
std::optional<std::uint64_t> size_in_name(std::string_view name, std::string_view word) {
  const std::string end = '-' + std::string(word) + std::string(kNoteSuffix);
  if (!name.ends_with(end)) return std::nullopt;
  return parse_u64(name.substr(0, name.size() - end.size()));
}

Result<Note> read_note(std::string_view text) {
  if (text.size() <= kNoteBytesMax) return parse_note(text);
  return Error{Code::kTooLarge,
               "a checkpoint has at most " + std::to_string(kNoteBytesMax) + " bytes"};
}

Result<Cosignature> cosignature_on(const Note& note, const WitnessKey& witness) {
  auto found = cosignature_of(note, witness);
  if (found) return std::move(*found);
  return Error{Code::kForbidden, "the checkpoint is not cosigned by " + witness.name +
                                     " with the key that was given"};
}

}  // namespace

struct Anchors::What {
  AnchorKind kind{};
  const Checkpoint& checkpoint;
  std::string_view witness;  // or the medium
  const Cosignature* cosignature = nullptr;
};

Result<std::uint64_t> Anchors::record(const What& what, const AnchorActor& actor) {
  namespace own = key::anchor;
  using codec::Value;
  codec::Map body;
  if (actor) body.set(key::kActor, Value::map(*actor));
  body.set(own::kKind, Value::uint(static_cast<std::uint64_t>(what.kind)))
      .set(own::kOrigin, Value::text(what.checkpoint.origin))
      .set(own::kSize, Value::uint(what.checkpoint.size))
      .set(own::kRoot, Value::bytes(what.checkpoint.root))
      .set(own::kWitness, Value::text(what.witness));
  if (what.cosignature != nullptr) {
    body.set(own::kCosignature, Value::text(what.cosignature->line))
        .set(own::kTime, Value::uint(what.cosignature->time_s));
  }
  AIOSS_TRY(const Committed committed,
            ledger_.append_and_wait(RecordType::kAnchor, std::move(body)));
  return committed.index;
}

std::string anchor_file_name(std::uint64_t size, std::string_view witness) {
  return std::to_string(size) + '-' + file_word(witness) + std::string(kNoteSuffix);
}

Result<std::uint64_t> cosigned_size(os::FileSystem& fs, const std::string& ledger_directory,
                                    std::string_view witness) {
  const std::string word = file_word(witness);
  std::uint64_t size = 0;
  const auto names = fs.list(ledger_directory + '/' + std::string(kAnchorsFolder));
  if (!names && names.error().code == Code::kNotFound) return size;
  if (!names) return Error(names.error());
  for (const std::string& name : *names) {
    size = std::max(size, size_in_name(name, word).value_or(0));
  }
  return size;
}

Result<GivenOut> Anchors::give_out(const GiveOut& wish) {
  if (!wish.witness.empty()) AIOSS_CHECK(check_origin(wish.witness));
  GivenOut out;
  AIOSS_TRY(out.note, ledger_.checkpoint_now());
  AIOSS_TRY(Note note, parse_note(out.note));
  out.checkpoint = note.checkpoint;
  std::string medium = wish.medium;
  if (!wish.witness.empty()) {
    AIOSS_TRY(out.old_size, old_size_of(wish, out.checkpoint));
    AIOSS_TRY(out.request, make_request(std::move(note), out.old_size));
    medium += " for " + wish.witness;
  }
  AIOSS_CHECK(record({AnchorKind::kGivenOut, out.checkpoint, medium}, wish.actor));
  return out;
}

Result<std::uint64_t> Anchors::old_size_of(const GiveOut& wish, const Checkpoint& now) {
  AIOSS_TRY(const std::uint64_t noted, cosigned_size(fs_, directory_, wish.witness));
  const std::uint64_t old_size = wish.old_size.value_or(noted);
  if (old_size <= now.size) return old_size;
  return Error{Code::kConflict, wish.witness + " has cosigned " + count_of_records(old_size) +
                                    " of this ledger, which has only " + std::to_string(now.size) +
                                    ": was it put back from an old copy?"};
}

Result<std::string> Anchors::make_request(Note note, std::uint64_t old_size) {
  AnchorRequest request;
  request.old_size = old_size;
  request.note = std::move(note);
  const Checkpoint& now = request.note.checkpoint;
  const History& history = ledger_.history();
  request.ledger_id = history.ledger_id();
  AIOSS_TRY(request.key_frames, history.rotations(now.size));
  AIOSS_TRY(const auto known, old_size > 0 ? history.rotations(old_size)
                                           : Result<std::vector<Bytes>>(std::vector<Bytes>{}));
  // The witness has followed those before what it cosigned; what it was told to trust at first may
  // be any of them.
  request.key_frames.erase(request.key_frames.begin(),
                           request.key_frames.begin() + static_cast<std::ptrdiff_t>(known.size()));
  if (request.key_frames.size() > kKeyFramesMax) {
    return Error{Code::kTooLarge, "the ledger's key was rotated more than " +
                                      std::to_string(kKeyFramesMax) +
                                      " times since; let the witness trust the newest key"};
  }
  History::Tree tree = history.tree();
  AIOSS_TRY(request.proof, prove_consistency(tree, old_size, now.size));
  if (old_size > 0 && old_size < now.size) {
    AIOSS_TRY(const Digest old_root, root_at(old_size));
    const auto roots = roots_of_consistency(old_size, now.size, old_root, request.proof);
    if (!roots || roots->first != old_root || roots->second != now.root) {
      return Error{Code::kCorrupt, "the ledger on the disk is not what was signed; verify it"};
    }
  }
  return format_request(request);
}

Result<Digest> Anchors::root_at(std::uint64_t size) {
  History::Tree tree = ledger_.history().tree();
  AIOSS_TRY(RangeProof covering, prove_range(tree, size, size, size));
  const auto whole = MerkleTree::from_frontier(size, std::move(covering.left));
  if (!whole) return Error{Code::kInternal, "a tree of another size; please report it"};
  ChainHasher hasher;
  return whole->root(hasher);
}

// Signed by this ledger, and of its history.
Status Anchors::check_own(const Note& note) {
  const Checkpoint& given = note.checkpoint;
  const Identity& identity = ledger_.identity();
  if (given.origin != identity.origin) {
    return Error{Code::kInvalidArgument, "the checkpoint is of another ledger: " + given.origin +
                                             ", this one is " + identity.origin};
  }
  const History& history = ledger_.history();
  const std::uint64_t size = history.size();
  AIOSS_TRY(const VerifierKey own, parse_verifier_key(identity.verifier_key));
  AIOSS_TRY(const std::vector<Bytes> rotations, history.rotations(size));
  const std::vector<ByteView> frames(rotations.begin(), rotations.end());
  AIOSS_TRY(const KeyEpochs epochs,
            KeyEpochs::of_frames(identity.ledger_id, frames, own.public_key));
  if (!signed_by(note, {identity.origin, epochs.in_force(given.size)})) {
    return Error{Code::kForbidden, "the checkpoint is not signed by this ledger's key"};
  }
  if (given.size > size) {
    return Error{Code::kCorrupt, "the ledger was cut or put back from an old copy: it has signed " +
                                     count_of_records(given.size) + ", only " +
                                     std::to_string(size) +
                                     " are there; keep the cosigned checkpoint, it is the proof"};
  }
  AIOSS_TRY(const Digest root, root_at(given.size));
  if (root == given.root) return ok();
  return Error{Code::kCorrupt, "FORK: the ledger's key has signed another history of " +
                                   count_of_records(given.size) +
                                   " than the one that is here; keep the "
                                   "cosigned checkpoint, it is the proof"};
}

// Whether an ANCHOR says so: only looked for if the file is there, which is written first.
Result<bool> Anchors::is_recorded(const TakenIn& anchor) {
  namespace own = key::anchor;
  bool found = false;
  const std::uint64_t end = ledger_.history().size();
  const auto visit = [&](const Record& record) {
    if (record.type == RecordType::kAnchor) {
      const auto line = record.body.get_text(own::kCosignature, "");
      found = line && *line == anchor.cosignature.line;
    }
    return !found && record.index + 1 < end;
  };
  AIOSS_CHECK(read_records(fs_, directory_, anchor.checkpoint.size, visit));
  return found;
}

Result<TakenIn> Anchors::take_in(std::string_view text, const WitnessKey& witness,
                                 const AnchorActor& actor) {
  AIOSS_TRY(const Note note, read_note(text));
  AIOSS_CHECK(check_own(note));
  TakenIn taken;
  taken.checkpoint = note.checkpoint;
  AIOSS_TRY(taken.cosignature, cosignature_on(note, witness));
  const std::string folder = directory_ + '/' + std::string(kAnchorsFolder);
  const std::string name = anchor_file_name(note.checkpoint.size, witness.name);
  taken.file = std::string(kAnchorsFolder) + '/' + name;
  const std::string path = folder + '/' + name;
  const auto there = os::read_file(fs_, path, kNoteBytesMax);
  if (there && as_text(*there) == text) {
    AIOSS_TRY(const bool recorded, is_recorded(taken));
    if (recorded) return taken;
  }
  AIOSS_CHECK(fs_.make_directories(folder));
  AIOSS_CHECK(fs_.sync_directory(directory_));
  // The file first: a record without the note that it is about could not be used.
  AIOSS_CHECK(os::replace_file(fs_, path, as_bytes(text)));
  AIOSS_TRY(
      taken.record,
      record({AnchorKind::kCosigned, taken.checkpoint, witness.name, &taken.cosignature}, actor));
  return taken;
}

Result<std::uint64_t> Anchors::record_witnessed(std::string_view text, const WitnessKey& witness,
                                                const AnchorActor& actor) {
  AIOSS_TRY(const Note note, read_note(text));
  if (note.checkpoint.origin == ledger_.identity().origin) {
    return Error{Code::kInvalidArgument,
                 "the checkpoint is of this ledger itself, which cannot be its own witness"};
  }
  AIOSS_TRY(const Cosignature cosignature, cosignature_on(note, witness));
  return record({AnchorKind::kWitnessed, note.checkpoint, witness.name, &cosignature}, actor);
}

}  // namespace aioss::ledger
