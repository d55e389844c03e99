// Makes the last commit group of a segment durable again, because what was read at a start proves
// only what the page cache holds.
//
// After a failed fdatasync the kernel keeps the pages, calls them clean and never writes them; a
// process that starts then reads the lost group as good, and its own syncs, which all succeed,
// leave it out. Records built upon it would be acknowledged and, after the next power cut, stand
// behind a hole. Writing the same bytes once more makes the pages dirty again, so that the sync
// that follows covers them. The last group is enough: everything before its first record was
// synced, or written again by such a start, before that record was (docs/formats/ledger.md, section
// 3). Names need nothing like it: they are journalled, and a file system whose journal fails takes
// no more writes.
#pragma once

#include <string>

#include "base/result.h"
#include "ledger/reading/walk.h"
#include "os/file.h"

namespace aioss::ledger {

// `segment` as the walk left it, `chain` that of its last record. kCorrupt if the file no longer
// says what the walk read: the page may have gone since, and its successor holds what is on the
// disk.
Status rewrite_last_group(os::FileSystem& fs, const std::string& path, const SegmentState& segment,
                          const Digest& chain);

}  // namespace aioss::ledger
