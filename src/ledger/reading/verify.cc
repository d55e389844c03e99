#include "ledger/reading/verify.h"

#include <algorithm>
#include <utility>

#include "codec/hex.h"
#include "ledger/format/checkpoint.h"
#include "ledger/format/pruned.h"
#include "ledger/reading/walk.h"

namespace aioss::ledger {
namespace {

// Most severe first. A torn tail is reported before a missing key: it says more.
int rank(Verdict verdict) {
  switch (verdict) {
    case Verdict::kUsage:
      return 9;
    case Verdict::kFork:
      return 8;
    case Verdict::kTruncated:
      return 7;
    case Verdict::kTampered:
      return 6;
    case Verdict::kReplayMismatch:
      return 5;
    case Verdict::kPayloadMissing:
      return 4;
    case Verdict::kTornTail:
      return 3;
    case Verdict::kUnknown:
      return 2;
    case Verdict::kOk:
      return 0;
  }
  return 9;
}

std::string count(std::uint64_t n, std::string_view noun) {
  return std::to_string(n) + ' ' + std::string(noun) + (n == 1 ? "" : "s");
}

class Verifier {
 public:
  Verifier(os::FileSystem& fs, const VerifyOptions& options) : fs_(fs), options_(options) {}

  VerifyReport run() {
    if (!options_.verifier_key.empty()) {
      auto key = parse_verifier_key(options_.verifier_key);
      if (!key) return usage(key.error());
      key_ = std::move(*key);
    }
    read_note();  // before the records: they grow, and a note never covers more than there is
    WalkOptions walking{options_.directory, std::nullopt, nullptr, options_.progress};
    if (note_) walking.root_size = note_->checkpoint.size;
    if (options_.payloads) {
      // What the checkpoint does not cover accounts for nothing: see walk.h.
      walking.visit = [this, covered = walking.root_size.value_or(0)](const Record& record) {
        (record.index < covered ? standing_ : later_).note(record);
        return true;
      };
      walking.wants = [this](std::uint64_t, RecordType type) {
        return standing_.wants(type) || later_.wants(type);
      };
    }
    for (const KeptNote& kept : options_.kept) {
      walking.more_root_sizes.insert(kept.note.checkpoint.size);
    }
    auto walked = walk(fs_, walking);
    if (!walked && walked.error().code == Code::kNotFound && !note_missing_) return all_gone();
    if (!walked) return usage(walked.error());
    describe(*walked);
    judge_walk(*walked);
    judge_pruned(*walked);
    judge_key(*walked);
    judge_note(*walked);
    for (const KeptNote& kept : options_.kept) judge_kept(kept, *walked);
    report_.checkpoint = note_;
    if (const Status judged = judge_payloads(*walked); !judged) return usage(judged.error());
    if (report_.verdict == Verdict::kOk) report_.finding = proven();
    return std::move(report_);
  }

 private:
  VerifyReport usage(const Error& error) {
    report_.verdict = Verdict::kUsage;
    report_.finding = error.message;
    return std::move(report_);
  }

  // No segment is left. Whatever the checkpoint says, there was a ledger.
  VerifyReport all_gone() {
    report_.verdict = Verdict::kTruncated;
    report_.finding = "the ledger's records are gone: its checkpoint is left, and no segment";
    return std::move(report_);
  }

  void conclude(Verdict verdict, std::string finding) {
    if (rank(verdict) <= rank(report_.verdict)) return;
    report_.verdict = verdict;
    report_.finding = std::move(finding);
  }

  void read_note() {
    auto note = read_checkpoint(fs_, options_.directory);
    if (note) {
      note_ = std::move(*note);
    } else {
      note_missing_ = note.error().code == Code::kNotFound;
      note_problem_ = note_missing_ ? "it is missing" : note.error().message;
    }
  }

  void describe(const WalkResult& walked) {
    const WalkState& state = walked.state;
    report_.verdict = Verdict::kOk;
    report_.origin = state.origin.value_or("");
    report_.records = state.next_index;
    report_.segments = state.segments;
    report_.bytes = state.bytes;
    report_.first_wall_ns = state.first_wall_ns;
    report_.last_wall_ns = state.last_wall_ns;
    report_.head_chain_hex = codec::to_hex(state.chain);
    ChainHasher hasher;
    report_.root_hex = codec::to_hex(state.tree.root(hasher));
    report_.dangling_requests = state.open_requests.size() + state.untracked_requests;
    report_.pruned_records = state.pruned_records;
    report_.pruned_segments = state.pruned_segments;
  }

  void judge_walk(const WalkResult& walked) {
    if (walked.damage != Damage::kNone) {
      report_.bad_index = walked.state.next_index;
      report_.bad_file = std::string(kSegmentFolder) + '/' + walked.file;
      report_.bad_offset = walked.offset;
    }
    const std::string place = " (record " + std::to_string(walked.state.next_index) + ", " +
                              walked.file + " at byte " + std::to_string(walked.offset) + ")";
    switch (walked.damage) {
      case Damage::kNone:
        break;
      case Damage::kTornTail:
        conclude(Verdict::kTornTail, "the last write is incomplete: " + walked.problem + place +
                                         "; everything before it is good. Starting aioss on this "
                                         "ledger keeps a copy of the rest and records it");
        break;
      case Damage::kWrong:
        conclude(Verdict::kTampered, walked.problem + place);
        break;
      case Damage::kUnknownVersion:
        conclude(Verdict::kUnknown, walked.problem + place + "; verify with a newer aioss");
        break;
    }
    if (walked.state.first_unknown_type) {
      conclude(Verdict::kUnknown, "record " + std::to_string(*walked.state.first_unknown_type) +
                                      " has a type that this program does not know; verify with a "
                                      "newer aioss");
    }
  }

  // A drop is on the disk before any segment is pruned for it: no torn tail explains its absence.
  void judge_pruned(const WalkResult& walked) {
    if (walked.state.uncovered.empty() || walked.damage == Damage::kUnknownVersion) return;
    const DroppedRange& range = walked.state.uncovered.front();
    if (!report_.bad_index) report_.bad_index = range.first;
    bad_file(std::string(kSegmentFolder) + '/' + pruned_file_name(range.first));
    conclude(Verdict::kTampered, "the records " + std::to_string(range.first) + " to " +
                                     std::to_string(range.after - 1) +
                                     " were pruned, and no RETENTION_DROP that a checkpoint covers "
                                     "says so");
  }

  // An error only where the disk could not be read.
  Status judge_payloads(const WalkResult& walked) {
    if (!options_.payloads) return ok();
    AIOSS_TRY(report_.payloads,
              check_payloads(fs_, options_.directory, walked.state.next_index, standing_, later_));
    const PayloadReport& payloads = *report_.payloads;
    if (payloads.missing == 0) return ok();
    if (!report_.bad_index) report_.bad_index = payloads.first_missing;
    if (payloads.excused_late == payloads.missing) {
      conclude(Verdict::kPayloadMissing,
               count(payloads.missing, "sealed text") +
                   " that the records name are gone, and the REDACT that says why is behind the "
                   "checkpoint, where anyone could have written it; on a running ledger verify "
                   "again, for it is signed at once");
      return ok();
    }
    conclude(Verdict::kPayloadMissing,
             count(payloads.missing, "sealed text") + " of " + std::to_string(payloads.named) +
                 " that the records name " + (payloads.missing == 1 ? "is" : "are") +
                 " gone or changed, and no record says why (the first: record " +
                 std::to_string(*payloads.first_missing) + ")");
    return ok();
  }

  void judge_key(const WalkResult& walked) {
    const WalkState& state = walked.state;
    if (!state.origin) {
      if (walked.damage == Damage::kNone || walked.damage == Damage::kTornTail) {
        conclude(Verdict::kTruncated, "the ledger ends before its GENESIS");
      }
      return;
    }
    if (!key_) {
      conclude(Verdict::kUnknown,
               "self-consistent, untrusted: without --key anyone could have written this ledger");
    } else if (!is_of_an_epoch(*key_, state)) {
      const std::string rotations = state.epochs.list().size() > 1 ? ", and no KEY_ROTATE it" : "";
      conclude(Verdict::kTampered,
               "the ledger is not the one of the given key: its GENESIS names " +
                   format_verifier_key({*state.origin, state.public_key}) + rotations);
    }
  }

  static bool is_of_an_epoch(const VerifierKey& key, const WalkState& state) {
    return key.name == *state.origin && state.epochs.contains(key.public_key);
  }

  // Whose signature a checkpoint of this size must carry: the key's in force there. A key that no
  // record names may still be that of a rotation which was cut off with the end of the ledger.
  VerifierKey signer_of_size(std::uint64_t size, const WalkState& state) const {
    if (key_ && !is_of_an_epoch(*key_, state)) return *key_;
    return {*state.origin, state.epochs.in_force(size)};
  }

  // Of a key of any epoch: what was kept may be of another history, whose keys changed elsewhere.
  bool is_own(const Note& note, const WalkState& state) const {
    if (note.checkpoint.origin != *state.origin) return false;
    if (key_ && !is_of_an_epoch(*key_, state)) return signed_by(note, *key_);
    return signer_of(note, *state.origin, state.epochs).has_value();
  }

  void judge_note(const WalkResult& walked) {
    if (!walked.state.origin) return;
    if (!note_) {
      bad_file(std::string(kCheckpointFile));
      conclude(Verdict::kTampered,
               "the checkpoint cannot be read (" + note_problem_ + "); every ledger has one");
      return;
    }
    const Checkpoint& checkpoint = note_->checkpoint;
    const VerifierKey signer = signer_of_size(checkpoint.size, walked.state);
    signed_by_given_ = key_ == signer;
    if (checkpoint.origin != signer.name || !signed_by(*note_, signer)) {
      report_.checkpoint_state = NoteState::kNotOwn;
      bad_file(std::string(kCheckpointFile));
      conclude(Verdict::kTampered, "the checkpoint is not signed by the ledger's key");
      return;
    }
    if (walked.root_at || checkpoint.size == 0) {
      if (!walked.root_at || *walked.root_at != checkpoint.root) {
        report_.checkpoint_state = NoteState::kOtherRoot;
        bad_file(std::string(kCheckpointFile));
        conclude(Verdict::kFork, "the ledger's own key has signed another history: the root over " +
                                     count(checkpoint.size, "record") +
                                     " is not the one in the checkpoint");
        return;
      }
      report_.checkpoint_state = NoteState::kHolds;
      report_.checkpoint_size = checkpoint.size;
    } else if (walked.damage == Damage::kNone || walked.damage == Damage::kTornTail) {
      conclude(Verdict::kTruncated, "the ledger was cut: its checkpoint covers " +
                                        count(checkpoint.size, "record") + ", only " +
                                        std::to_string(walked.state.next_index) + " are there");
    }
  }

  void judge_kept(const KeptNote& kept, const WalkResult& walked) {
    NoteState& state = report_.kept.emplace_back(NoteState::kUnchecked);
    if (!walked.state.origin) return;
    const Checkpoint& checkpoint = kept.note.checkpoint;
    if (!is_own(kept.note, walked.state)) {
      state = NoteState::kNotOwn;
      return conclude(Verdict::kTampered, kept.what +
                                              " is not signed by the ledger's key: the "
                                              "ledger is another one than it was");
    }
    const auto root = walked.roots.find(checkpoint.size);
    if (root != walked.roots.end()) {
      state = root->second == checkpoint.root ? NoteState::kHolds : NoteState::kOtherRoot;
    } else if (checkpoint.size > walked.state.next_index &&
               (walked.damage == Damage::kNone || walked.damage == Damage::kTornTail)) {
      state = NoteState::kBeyond;
    }
    if (state == NoteState::kOtherRoot) {
      conclude(Verdict::kFork, "the ledger was rewritten: the root over " +
                                   count(checkpoint.size, "record") + " is not the one in " +
                                   kept.what);
    } else if (state == NoteState::kBeyond) {
      conclude(Verdict::kTruncated, "the ledger was cut: " + kept.what + " covers " +
                                        count(checkpoint.size, "record") + ", only " +
                                        std::to_string(walked.state.next_index) + " are there");
    }
  }

  void bad_file(std::string name) {
    if (!report_.bad_file) report_.bad_file = std::move(name);
  }

  std::string proven() const {
    const std::uint64_t covered = report_.checkpoint_size.value_or(0);
    const std::uint64_t after = report_.records - covered;
    std::string text = count(report_.records, "record") + " in " +
                       count(report_.segments, "segment") +
                       " are unchanged and in order; the checkpoint signed by " +
                       (signed_by_given_ ? "the given key" : "another key of the same ledger") +
                       " covers the first " + std::to_string(covered);
    if (after > 0) {
      text += ", the " + std::to_string(after) + " after it are covered by the chain alone";
    }
    if (report_.pruned_records > 0) {
      text += "; of " + std::to_string(report_.pruned_records) +
              " only hashes are left, as RETENTION_DROP records say";
    }
    return text;
  }

  os::FileSystem& fs_;
  const VerifyOptions& options_;
  std::optional<VerifierKey> key_;  // as given
  bool signed_by_given_ = false;    // the checkpoint; otherwise by a key of another epoch
  std::optional<Note> note_;
  Standing standing_;  // filled if the payloads are looked for
  Standing later_;     // likewise, from what the checkpoint does not cover
  std::string note_problem_;
  bool note_missing_ = false;
  VerifyReport report_;
};

}  // namespace

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kUsage:
      return "usage";
    case Verdict::kTampered:
      return "tampered";
    case Verdict::kTruncated:
      return "truncated";
    case Verdict::kFork:
      return "fork";
    case Verdict::kTornTail:
      return "torn_tail";
    case Verdict::kUnknown:
      return "unknown";
    case Verdict::kPayloadMissing:
      return "payload_missing";
    case Verdict::kReplayMismatch:
      return "replay_mismatch";
  }
  return "usage";
}

bool is_worse(Verdict verdict, Verdict other) {
  return rank(verdict) > rank(other);
}

VerifyReport verify(os::FileSystem& fs, const VerifyOptions& options) {
  return Verifier(fs, options).run();
}

Status read_records(os::FileSystem& fs, const std::string& directory, std::uint64_t from_index,
                    const std::function<bool(const Record&)>& visit) {
  WalkOptions walking{directory, std::nullopt, nullptr, nullptr};
  walking.visit = visit;
  walking.wants = [&](std::uint64_t index, RecordType) { return index >= from_index; };
  AIOSS_TRY(const WalkResult walked, walk(fs, walking));
  if (walked.damage == Damage::kNone) return ok();
  return Error{Code::kCorrupt, "record " + std::to_string(walked.state.next_index) + " in " +
                                   walked.file + " at byte " + std::to_string(walked.offset) +
                                   ": " + walked.problem};
}

}  // namespace aioss::ledger
