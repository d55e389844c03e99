// Receipts of inferences for those whose they are (ledger/evidence/receipt.h): who may have which,
// and the salts, which only the caller himself gets. Thread-safe; blocks on the disk and on the
// ledger thread: never on the io thread.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "ledger/evidence/receipt.h"
#include "ledger/writing/ledger.h"
#include "runtime/calls/principal.h"

namespace aioss::runtime {

// What whoever keeps the salts knows of a caller. Called from any thread. Empty functions: records
// say the user's name, and no salt is kept.
struct CallerSecrets {
  // Actor key 1, or key 4; "": nobody whom records could name.
  std::function<std::string(const Principal&)> name_in_records;
  // Before the caller is named in a record. May block on the disk.
  std::function<Status(Principal&)> identify = {};
  // Of "prompt", "stop", "output/0", …; nothing if there is none, or none any more.
  std::function<std::optional<Digest>(const Principal&, const std::string& request_id,
                                      const std::string& field)>
      salt;
};

class Receipts final {
 public:
  // The ledger outlives the object.
  Receipts(ledger::Ledger& ledger, CallerSecrets secrets)
      : ledger_(ledger), secrets_(std::move(secrets)) {}

  // The JSON of the receipt of a request that has ended; a checkpoint is signed if the newest does
  // not cover it. With salts for the caller whose request it was, without them for operators and
  // auditors, whose look at another's request is recorded first (ACCESS). kNotFound for everyone
  // else, as for a request that never was. kConflict while it runs.
  Result<std::string> receipt(const Principal& caller, const std::string& request_id) const;

 private:
  bool is_of(const codec::Map& body, const Principal& caller) const;
  std::optional<ledger::Salts> salts_for(const Principal& caller, const std::string& request_id,
                                         const ledger::RequestRecords& found) const;
  Status record_access(const Principal& caller, std::uint64_t index) const;

  ledger::Ledger& ledger_;
  const CallerSecrets secrets_;
};

}  // namespace aioss::runtime
