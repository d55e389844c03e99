// The files of a witness's folder (witness.h): what is read from them is checked, what is written
// is durable when the call returns. Values and functions; blocking.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "ledger/witness/witness.h"
#include "os/file.h"

namespace aioss::ledger {

std::string witness_signing_key_path(const std::string& directory);
std::string witness_lock_path(const std::string& directory);

Status write_witness_key(os::FileSystem& fs, const std::string& directory, const WitnessKey& key);

// kNotFound: not known. kCorrupt: the file is not what was written, and nothing may be signed for
// that ledger until it is put back: a witness that forgets is none.
Result<WitnessedOrigin> read_origin(os::FileSystem& fs, const std::string& directory,
                                    std::string_view origin);
Status write_origin(os::FileSystem& fs, const std::string& directory,
                    const WitnessedOrigin& origin);

}  // namespace aioss::ledger
