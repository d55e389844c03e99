// A witness: whoever keeps, away from a ledger, how far it was at its last visit, and signs only
// what continues that. Its whole state is a folder, for a second machine or a USB stick:
//
//   witness.vkey         its public key, one line, to be given to those who check its cosignatures
//   keys/witness.key     its private key, mode 0600
//   origins/HASH.json    one ledger each: {format, vkey, size, root, note, time}; HASH = SHA3-256
//                        of the origin, in hexadecimal
//   evidence/…           a ledger's own signatures that contradict each other, as fork proofs
//   LOCK                 held while a Witness is open
//
// The rules are those of C2SP tlog-witness. Its one promise: of any two cosignatures that ever
// leave it for one ledger, the larger checkpoint continues the smaller. Therefore the new state is
// durable before the signature exists, checked and written under one lock; a crash in between
// leaves a witness that is ahead of its answers and never behind them. Blocking; one thread at a
// time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "crypto/ed25519.h"
#include "crypto/random.h"
#include "ledger/format/checkpoint.h"
#include "ledger/witness/anchor_request.h"
#include "ledger/witness/cosignature.h"
#include "os/file.h"

namespace aioss::ledger {

inline constexpr std::size_t kOriginsMax = 10'000;  // ledgers that one witness follows

// What the witness knows of one ledger.
struct WitnessedOrigin {
  VerifierKey key;         // in force for `size`; as given to trust() while nothing is cosigned
  std::uint64_t size = 0;  // of the last checkpoint cosigned; 0: none yet
  Digest root{};
  std::string note;          // that checkpoint, as its ledger signed it; "" if none
  std::uint64_t time_s = 0;  // of that cosignature
};

class Witness final {
 public:
  // Makes the folder and the key. kConflict if there is a witness already.
  static Result<WitnessKey> init(os::FileSystem& fs, crypto::Random& random,
                                 const std::string& directory, const std::string& name);
  // Locks the folder: kConflict if another process has it, kNotFound if there is no witness. The
  // references outlive the witness.
  static Result<std::unique_ptr<Witness>> open(os::FileSystem& fs, const Clock& clock,
                                               const std::string& directory);

  const WitnessKey& key() const { return key_; }

  // From now on cosigns for the ledger of this key. A ledger that is known already: nothing happens
  // if the key is the same; kConflict if it is another one.
  Status trust(const VerifierKey& key);

  struct Cosigned {
    Checkpoint checkpoint;
    Cosignature cosignature;
    std::string note;  // the checkpoint with the ledger's signature and the cosignature
    std::uint64_t previous_size = 0;
    bool clock_went_back = false;  // the cosignature before this one has a later time
  };
  // The one decision, over the text of a request (anchor_request.h). Not cosigned, and nothing
  // changed, with kNotFound: an unknown origin; kForbidden: not signed by the ledger's key in
  // force; kConflict: the request does not begin where the witness is, both numbers in the message;
  // kCorrupt: malformed, a wrong proof, or a fork. What proves a fork is kept in evidence/.
  Result<Cosigned> sign(std::string_view request);

 private:
  Witness(os::FileSystem& fs, const Clock& clock, std::string directory, WitnessKey key,
          std::unique_ptr<crypto::SigningKey> signing_key, std::unique_ptr<os::File> lock);
  Status check_history(const AnchorRequest& request, const WitnessedOrigin& known);
  Error fork(const AnchorRequest& request, const WitnessedOrigin& known,
             std::span<const Digest> proof);

  os::FileSystem& fs_;
  const Clock& clock_;
  const std::string directory_;
  const WitnessKey key_;
  const std::unique_ptr<crypto::SigningKey> signing_key_;
  const std::unique_ptr<os::File> lock_;
};

// For `witness status`: takes no lock and changes nothing.
Result<WitnessKey> read_witness_key(os::FileSystem& fs, const std::string& directory);
Result<std::vector<WitnessedOrigin>> read_witnessed(os::FileSystem& fs,
                                                    const std::string& directory);

}  // namespace aioss::ledger
