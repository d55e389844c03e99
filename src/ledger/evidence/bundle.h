// Export bundles: a gapless stretch of a ledger's records with the proof that they are in it, the
// signed checkpoint, the chain of its keys, the notes that witnesses cosigned, and the records as
// tables for people; one tar file, *.aioss. Format: docs/formats/proofs.md. Memory does not grow
// with the ledger. Blocking.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "ledger/evidence/document.h"
#include "os/file.h"

namespace aioss::ledger {

using Progress = std::function<void(std::uint64_t bytes_done, std::uint64_t bytes_in_all)>;

struct ExportOptions {
  std::string directory;
  std::string path;  // of the bundle; must not exist
  std::uint64_t first = 0;
  std::optional<std::uint64_t> after = {};  // nothing: all that the checkpoint covers
  Progress progress = {};
};
struct Exported {
  std::string origin;
  std::uint64_t first = 0, after = 0, size = 0;
  std::uint64_t bytes = 0;  // of the bundle
};
// Two passes over the ledger. kInvalidArgument: the checkpoint does not cover that range. kCorrupt:
// the ledger does not verify. kNotFound: a record of the range was dropped at the end of its
// retention. kConflict: there is a file of that name. kTooLarge: a file of more than 8 GiB. What it
// has written is removed again after an error.
Result<Exported> export_bundle(os::FileSystem& fs, const ExportOptions& options);

DocumentReport judge_bundle(os::FileSystem& fs, const std::string& path,
                            const std::optional<VerifierKey>& key, const Progress& progress = {});

}  // namespace aioss::ledger
