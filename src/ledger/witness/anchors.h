// The ledger's side of anchors: checkpoints that leave it, on paper, on a stick or to a witness,
// and cosigned ones that come back. Each of these is an ANCHOR record. Works on an open ledger,
// thus also on one that a server holds. Blocking (the disk, and the ledger's thread); one thread at
// a time. What comes back is untrusted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "codec/cbor.h"
#include "ledger/witness/anchor_request.h"
#include "ledger/witness/cosignature.h"
#include "ledger/writing/ledger.h"
#include "os/file.h"

namespace aioss::ledger {

// <ledger>/anchors holds the cosigned notes.
inline constexpr std::string_view kAnchorsFolder = "anchors";
// "<size>-<witness>.note": the witness's name if it is 1 to 40 letters, digits, '.', '_' and '-',
// else such letters of it and eight hexadecimal digits of its hash.
std::string anchor_file_name(std::uint64_t size, std::string_view witness);
// The largest size among the notes of that witness; 0 if there is none.
Result<std::uint64_t> cosigned_size(os::FileSystem& fs, const std::string& ledger_directory,
                                    std::string_view witness);

// On whose behalf, for the record (keys of key::actor); nothing: whoever runs the command.
using AnchorActor = std::optional<codec::Map>;

struct GiveOut {
  std::string witness = {};  // a request to this one is wanted; "": only a signed checkpoint
  std::optional<std::uint64_t> old_size = {};  // that it has cosigned; nothing: as anchors/ says
  std::string medium;                          // for the record: "file", "qr code", "http"
  AnchorActor actor = {};
};
struct GivenOut {
  Checkpoint checkpoint;
  std::string note;
  std::string request;         // "" without a witness
  std::uint64_t old_size = 0;  // that the request goes on from
};

struct TakenIn {
  Checkpoint checkpoint;
  Cosignature cosignature;
  std::string file;                          // in the ledger's folder
  std::optional<std::uint64_t> record = {};  // the ANCHOR; nothing: it was there already
};

class Anchors final {
 public:
  // The references outlive this object; `directory` is the ledger's.
  Anchors(os::FileSystem& fs, Ledger& ledger, std::string directory)
      : fs_(fs), ledger_(ledger), directory_(std::move(directory)) {}

  // Signs a checkpoint over all that is durable; its record is durable before this returns.
  // kConflict: the witness has seen more than there is.
  Result<GivenOut> give_out(const GiveOut& wish);

  // A cosigned note, of at most kNoteBytesMax. kInvalidArgument: of another ledger. kForbidden: it
  // does not carry the signatures of this ledger and of that witness. kCorrupt, before anything is
  // written: its history is another one than the ledger's, or a longer one.
  Result<TakenIn> take_in(std::string_view note, const WitnessKey& witness,
                          const AnchorActor& actor = {});

  // That this ledger's owner, as `witness`, cosigned the checkpoint of another ledger. The index of
  // the record. kInvalidArgument, kForbidden: as above.
  Result<std::uint64_t> record_witnessed(std::string_view note, const WitnessKey& witness,
                                         const AnchorActor& actor = {});

 private:
  struct What;  // stands in an ANCHOR
  Result<std::uint64_t> record(const What& what, const AnchorActor& actor);
  Result<std::uint64_t> old_size_of(const GiveOut& wish, const Checkpoint& now);
  Result<std::string> make_request(Note note, std::uint64_t old_size);
  Result<Digest> root_at(std::uint64_t size);
  Status check_own(const Note& note);
  Result<bool> is_recorded(const TakenIn& anchor);

  os::FileSystem& fs_;
  Ledger& ledger_;
  const std::string directory_;
};

}  // namespace aioss::ledger
