// The append-only ledger: one writer thread, group commit, SHA3-256 chain. Durable means: fdatasync
// has returned. A failed write or sync latches the ledger shut: every later append fails at once
// with kLedgerUnavailable, nothing is retried on that file, and only a new process re-reads the
// disk.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/drive.h"
#include "base/result.h"
#include "codec/cbor.h"
#include "crypto/protected_key.h"
#include "crypto/random.h"
#include "ledger/format/record.h"
#include "ledger/reading/standing.h"
#include "ledger/writing/policy.h"
#include "os/file.h"

namespace aioss::ledger {

struct Committed {
  std::uint64_t index = 0;
  Digest leaf{};
};

struct InitOptions {
  std::string directory;
  std::string origin = {};  // its name in checkpoints: "bank.example/ward-3"; "" makes one
  bool trial = false;       // it, and its copies, may lie where writes can be lost
  std::optional<std::array<std::uint8_t, 16>> boot_id = {};  // nothing: the kernel's
  const crypto::KeyGuard* guard = nullptr;  // how the key is written; null: unprotected
  Policy policy = {};                       // for the ledger's life
};

struct Identity {
  std::string origin;
  std::array<std::uint8_t, 16> ledger_id{};
  // C2SP vkey line: name+hash+base64(0x01 ‖ public key). Of the key in force when the ledger was
  // made or opened.
  std::string verifier_key;
};

class History;

// Creates directory, signing key, first segment, GENESIS and the first checkpoint. kConflict if
// there is a ledger already. An interrupted init can be run again.
Result<Identity> init(os::FileSystem& fs, const Clock& clock, crypto::Random& random,
                      const InitOptions& options);

struct OpenOptions {
  std::string directory;
  // A segment is sealed after the commit group that reaches either of these.
  std::uint64_t segment_bytes_max = 256ULL << 20;
  std::int64_t segment_age_max_ns = 24LL * 3600 * 1'000'000'000;
  // Below this much free space: refuse to start, and refuse new work (requests, loads). What ends
  // work under way is still taken, down to a sixteenth of it.
  std::uint64_t reserve_bytes = 256ULL << 20;
  // For work that frees space: opens with a sixteenth of the reserve, too.
  bool may_use_reserve = false;
  std::optional<std::array<std::uint8_t, 16>> boot_id = {};  // nothing: the kernel's
  // New records wait this long at most for a checkpoint; one is also signed over each sealed
  // segment, and by checkpoint_now() and close().
  std::int64_t checkpoint_interval_ns = 60LL * 1'000'000'000;
  crypto::AskPassphrase ask_passphrase = {};  // for a protected key; called in open() alone
  Drive drive = Drive::kThread;               // by hand: one thread alone may use the ledger
};

struct RotateOptions {
  std::string reason;
  std::vector<std::string> approvals = {};  // "tenant/user" of two operators, with dual control
  std::optional<codec::Map> actor = {};     // who does it, keys of key::actor
};
struct Rotated {
  std::uint64_t index = 0;   // of the KEY_ROTATE
  std::string verifier_key;  // of the key that is in force now
};

struct Program {  // that ran an engine
  Digest sha3{};  // of the executable
  std::string version;
};

struct Health {
  bool writable = false;              // takes new work
  bool shut = false;                  // takes nothing at all, not even the end of work under way
  std::string reason;                 // why not: one sentence that says what to do
  std::uint64_t size = 0;             // durable records
  std::uint64_t checkpoint_size = 0;  // of them, covered by the newest checkpoint
};

class Ledger final {
 public:
  // Locks (kConflict if another process has it), verifies every record, recovers a torn tail
  // (RECOVERY, and INFER_ABORT, MODEL_UNLOAD and ENGINE_STOP for what was left open), starts the
  // writer thread. A wall clock that is behind the last record, or that is set later, is recorded
  // (CLOCK) before the next record.
  // kCorrupt if no crash explains what is on the disk: then nothing was changed. The references
  // outlive the ledger.
  static Result<std::unique_ptr<Ledger>> open(os::FileSystem& fs, const Clock& clock,
                                              crypto::Random& random, const OpenOptions& options);
  // Without close(): stops the thread after what is queued, writes no checkpoint.
  ~Ledger();

  using Done = std::function<void(const Result<Committed>&)>;
  // Thread-safe, never blocks. The common keys 0–3 (times, boot, instance) are set by the ledger;
  // the body brings the rest. Records stand in the order of the calls. `done` runs on the ledger
  // thread once the record is durable or has failed; it must not block. What fails before it is
  // queued fails in this call, on the caller's thread: kBusy (full queue), kTooLarge (body over
  // 65,400 bytes), kLedgerUnavailable (the ledger is shut). GENESIS, SEGMENT_OPEN, SEGMENT_SEAL are
  // the ledger's own.
  void append(RecordType type, codec::Map body, Done done);
  // append() and wait. Not on the io thread and not from a `done`.
  Result<Committed> append_and_wait(RecordType type, codec::Map body);

  // Signs a checkpoint over at least what was durable at the call, unless the newest one covers it
  // already, and gives the signed note, which is then on the disk. Waits for the ledger thread: not
  // on the io thread and not from a `done`. kBusy, kLedgerUnavailable.
  Result<std::string> checkpoint_now();
  std::string checkpoint() const;  // the newest signed note; thread-safe
  // What was written, for as long as the ledger lives; thread-safe.
  const History& history() const;

  Health health() const;             // thread-safe
  const Identity& identity() const;  // thread-safe
  // As the records said when it was opened: who is under legal hold, what was dropped.
  const Standing& standing() const;  // thread-safe
  std::string instance_id_hex() const;
  const std::string& directory() const;  // thread-safe
  // Of the last ENGINE_START or UPDATE before this opening; nothing if no engine ever ran.
  const std::optional<Program>& last_program() const { return last_program_; }

  // Puts a new signing key in force: KEY_ROTATE and a checkpoint by the new key, between two commit
  // groups; then the old private key is destroyed. Waits; not on the io thread and not from a
  // `done`. kForbidden if rotation is under dual control and there are not two approvals. A failure
  // after the record was written latches the ledger shut; the next opening finishes the change.
  Result<Rotated> rotate_key(RotateOptions options);
  // Writes the private keys, that of the vault too, in another way. Waits, likewise.
  Status protect_keys(crypto::KeyGuard guard);
  // How the private keys are written, as it was when the ledger was opened: for those that are kept
  // beside it. Thread-safe.
  const crypto::KeyGuard& key_guard() const;

  // Dual control, as the records said when the ledger was opened. Thread-safe.
  const ControlBook& controls() const;

  // Waits for what is queued, signs one checkpoint over it, releases the lock.
  Status close();

  // Driven by hand: one turn of the ledger thread, with everything that is queued. What waits for
  // an answer takes such turns itself.
  void run_pending();
  std::size_t queued() const;  // records that wait for it; thread-safe

 private:
  class Impl;
  explicit Ledger(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
  std::optional<Program> last_program_;  // set by open()
  Standing standing_;                    // likewise
};

}  // namespace aioss::ledger
