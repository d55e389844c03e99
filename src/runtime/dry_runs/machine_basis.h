// What a thing that was measured or planned here is true of: this executable, on a processor with
// these abilities and so many cores. Reads /proc and a file's attributes; thread-safe.
#pragma once

#include <optional>
#include <string>

#include "base/bytes.h"
#include "os/file.h"

namespace aioss::runtime {

// Nothing if that cannot be told. `executable`: whose engines computed.
std::optional<Digest> machine_basis(os::FileSystem& fs, const std::string& executable);

}  // namespace aioss::runtime
