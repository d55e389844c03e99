// Replaces a sealed segment by what a retention drop leaves of it (ledger/format/pruned.h).
// Blocking.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "ledger/format/record.h"
#include "os/file.h"

namespace aioss::ledger {

// What goes when a segment is pruned, for whoever has more to destroy than its frames. An error
// ends the pruning before a file has changed.
struct PruneEvents {
  std::function<Status(const Record&)> going;  // each record of which only the leaf is left
  std::function<Status()> replacing;           // after the last of them
};
// Replaces seg/N.aioss, a sealed segment that the caller knows to be good, by seg/N.pruned. A crash
// leaves the segment, or both files (then the segment counts), or the pruned one: doing it again is
// safe.
Status prune_segment(os::FileSystem& fs, const std::string& directory, std::uint64_t first_index,
                     const PruneEvents& events);

}  // namespace aioss::ledger
