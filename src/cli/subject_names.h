// Names for the subject ids in records, where the vault can be read: for people who look at
// records. Read once; a value.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/services.h"
#include "ledger/custody/vault.h"
#include "ledger/format/record.h"

namespace aioss::cli {

// What the vault of the ledger in `directory` holds. An error if it is not ours to read.
Result<std::vector<ledger::SubjectPtr>> read_subjects(const Services& services,
                                                      const std::string& directory);

class SubjectNames final {
 public:
  // Of the ledger in `directory`. None if there is no vault or it is not ours to read.
  static SubjectNames load(const Services& services, const std::string& directory);

  std::string of(const std::string& id) const;  // "tenant/user", or ""
  // Of every id that a record has a name for here.
  std::map<std::string, std::string> in(const ledger::Record& record) const;

 private:
  std::map<std::string, std::string> names_;  // by id
};

}  // namespace aioss::cli
