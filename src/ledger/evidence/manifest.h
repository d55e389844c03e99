// What an export bundle says of itself: manifest.json, its first file, and README.txt, for people.
// Format: docs/formats/proofs.md. Pure functions; parsing takes untrusted text.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "ledger/evidence/document.h"
#include "ledger/format/format.h"
#include "ledger/format/proof.h"
#include "ledger/format/render.h"

namespace aioss::ledger {

// The files of a bundle behind kManifestFile, in this order; cosigned notes stand before the
// tables.
namespace bundle_file {
inline constexpr std::string_view kCheckpoint = "checkpoint", kFrames = "frames.bin",
                                  kKeys = "keys.bin", kCosigned = "cosigned/",
                                  kJsonLines = "records.jsonl", kCsv = "records.csv",
                                  kReadme = "README.txt";
}  // namespace bundle_file

// Notes that witnesses cosigned: one a day for years, with room.
inline constexpr std::size_t kCosignedMax = 16'384;
inline constexpr std::size_t kBundleFilesMax = kCosignedMax + 16;
inline constexpr std::uint64_t kKeysFileBytesMax = 64U << 20;

struct Manifest {
  std::uint64_t rendering = kRenderingVersion;
  std::string origin;
  LedgerId ledger_id{};
  std::uint64_t first = 0, after = 0;  // the records: first < after
  std::uint64_t size = 0;              // of the checkpoint
  Digest chain_before{};               // chain value before record `first`
  RangeProof proof;
  std::uint64_t frame_bytes = 0, rotations = 0, cosigned = 0;
  std::map<std::string, Digest> files;  // SHA3-256 of every other file, by name
};

std::string write_manifest(const Manifest& manifest);    // one line of JSON
Result<Manifest> parse_manifest(std::string_view text);  // kCorrupt
std::string bundle_readme(const Manifest& manifest);     // of everything in it but `files`
bool is_cosigned_name(std::string_view name);            // "cosigned/3-witness.note"

}  // namespace aioss::ledger
