#include "ledger/evidence/manifest.h"

#include <algorithm>

#include "codec/hex.h"
#include "ledger/evidence/json_fields.h"

namespace aioss::ledger {
namespace {

constexpr std::size_t kCosignedNameBytesMax = 80;

Error malformed_manifest(std::string_view what) {
  return {Code::kCorrupt, "the bundle's manifest " + std::string(what)};
}

Status parse_counts(const codec::Json& object, Manifest& manifest) {
  const codec::Json* const counts = find_member(object, "counts");
  if (counts == nullptr || !counts->is_object()) return malformed_manifest("has no counts");
  AIOSS_TRY(const std::uint64_t records, uint_member(*counts, "records"));
  AIOSS_TRY(manifest.frame_bytes, uint_member(*counts, "bytes"));
  AIOSS_TRY(manifest.rotations, uint_member(*counts, "rotations"));
  AIOSS_TRY(manifest.cosigned, uint_member(*counts, "cosigned"));
  if (records != manifest.after - manifest.first)
    return malformed_manifest("counts its records wrongly");
  return ok();
}

Status parse_files(const codec::Json& object, Manifest& manifest) {
  const codec::Json* const files = find_member(object, "files");
  if (files == nullptr || !files->is_object() || files->size() > kBundleFilesMax) {
    return malformed_manifest("has no list of files");
  }
  for (const auto& [name, value] : files->items()) {
    AIOSS_CHECK(hex_member(*files, name, manifest.files[name]));
  }
  return ok();
}

}  // namespace

bool is_cosigned_name(std::string_view name) {
  if (!name.starts_with(bundle_file::kCosigned)) return false;
  name.remove_prefix(bundle_file::kCosigned.size());
  return !name.empty() && name.size() <= kCosignedNameBytesMax &&
         name.find('/') == std::string_view::npos;
}

std::string write_manifest(const Manifest& manifest) {
  codec::OrderedJson out;
  out["format"] = kBundleFormat;
  out["rendering"] = manifest.rendering;
  out["origin"] = manifest.origin;
  out["ledger_id"] = codec::to_hex(manifest.ledger_id);
  out["first"] = manifest.first;
  out["after"] = manifest.after;
  out["size"] = manifest.size;
  out["chain_before"] = codec::to_hex(manifest.chain_before);
  out["left"] = digests_json(manifest.proof.left);
  out["right"] = digests_json(manifest.proof.right);
  codec::OrderedJson counts;
  counts["records"] = manifest.after - manifest.first;
  counts["bytes"] = manifest.frame_bytes;
  counts["rotations"] = manifest.rotations;
  counts["cosigned"] = manifest.cosigned;
  out["counts"] = std::move(counts);
  codec::OrderedJson files = codec::OrderedJson::object();
  for (const auto& [name, hash] : manifest.files) files[name] = codec::to_hex(hash);
  out["files"] = std::move(files);
  return codec::dump_json(out) + "\n";
}

Result<Manifest> parse_manifest(std::string_view text) {
  AIOSS_TRY(const codec::Json object, parse_document(text));
  AIOSS_TRY(const std::string format, text_member(object, "format"));
  if (format != kBundleFormat) {
    return Error{Code::kUnsupported,
                 "the bundle is of a format that this program does not know; verify it with a "
                 "newer aioss"};
  }
  Manifest manifest;
  AIOSS_TRY(manifest.rendering, uint_member(object, "rendering"));
  AIOSS_TRY(manifest.origin, text_member(object, "origin"));
  AIOSS_CHECK(hex_member(object, "ledger_id", manifest.ledger_id));
  AIOSS_TRY(manifest.first, uint_member(object, "first"));
  AIOSS_TRY(manifest.after, uint_member(object, "after"));
  AIOSS_TRY(manifest.size, uint_member(object, "size"));
  if (manifest.first >= manifest.after || manifest.after > manifest.size) {
    return malformed_manifest("names records that its checkpoint does not cover");
  }
  AIOSS_CHECK(hex_member(object, "chain_before", manifest.chain_before));
  AIOSS_TRY(manifest.proof.left, digest_list(object, "left"));
  AIOSS_TRY(manifest.proof.right, digest_list(object, "right"));
  AIOSS_CHECK(parse_counts(object, manifest));
  AIOSS_CHECK(parse_files(object, manifest));
  return manifest;
}

std::string bundle_readme(const Manifest& manifest) {
  const std::string last = std::to_string(manifest.after - 1);
  const std::string range = std::to_string(manifest.first) + " to " + last;
  return "Records " + range + " of the ledger " + manifest.origin + "\n\n" + "The ledger had " +
         std::to_string(manifest.size) +
         " records when its checkpoint was signed. This file is an export of aioss,\n"
         "evidence that verifies without the ledger:\n\n"
         "    aioss verify BUNDLE --key VKEY\n\n"
         "VKEY is the public key of the ledger. It must come to you by another way than this "
         "file does,\n"
         "from whoever runs the ledger: who can write such a file can write a key beside it.\n"
         "What is then proven: these are records that the ledger's key has signed for, each "
         "unchanged,\n"
         "in their order, and between the first and the last of them none is missing.\n\n"
         "  records.jsonl  the records for programs: one JSON object a line\n"
         "  records.csv    the records for spreadsheets\n"
         "  frames.bin     the records as the ledger has them: what is verified\n"
         "  checkpoint     size and tree root of the ledger, signed\n"
         "  keys.bin       the records of changes of the ledger's key\n"
         "  cosigned/      checkpoints that others have signed too\n"
         "  manifest.json  what is in here, and the digests that lead from the records to the "
         "root\n\n"
         "The texts of prompts and answers are not in it, only commitments to them. The format "
         "is described\n"
         "in docs/formats/proofs.md and docs/formats/ledger.md of aioss, exactly enough to write "
         "another verifier.\n";
}

}  // namespace aioss::ledger
