#include "ledger/format/pruned.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "base/strings.h"
#include "ledger/format/bytes_io.h"
#include "ledger/format/crc32c.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kLeavesMagic = "ALEF";
constexpr std::string_view kPrunedSuffix = ".pruned";

namespace in_leaves {  // offsets
constexpr std::size_t kCount = 4, kFirstIndex = 8, kCrc = 16, kZero = 20;
}  // namespace in_leaves

std::uint32_t leaves_crc(ByteView item) {
  return crc32c(item.subspan(in_leaves::kZero), crc32c(item.first(in_leaves::kCrc)));
}

}  // namespace

bool survives_pruning(RecordType type) {
  constexpr std::array kSurvivors{
      RecordType::kSegmentOpen,   RecordType::kGenesis,   RecordType::kKeyRotate,
      RecordType::kSegmentSeal,   RecordType::kRedact,    RecordType::kRecovery,
      RecordType::kRetentionDrop, RecordType::kLegalHold, RecordType::kAdminAction};
  return std::find(kSurvivors.begin(), kSurvivors.end(), type) != kSurvivors.end();
}

Digest Leaves::at(std::size_t i) const {
  ASSERT(i < count);
  Digest hash{};
  const ByteView from = hashes.subspan(i * hash.size(), hash.size());
  std::copy(from.begin(), from.end(), hash.begin());
  return hash;
}

bool begins_with_leaves(ByteView bytes) {
  return as_text(bytes).starts_with(kLeavesMagic);
}

ParsedLeaves parse_leaves(ByteView bytes) {
  ParsedLeaves out;
  const auto fail = [&out](Form form, std::string_view problem) {
    out.form = form;
    out.problem = problem;
    return out;
  };
  if (bytes.size() < kLeavesHeadBytes || !begins_with_leaves(bytes)) {
    return fail(Form::kDamaged, "a run of leaf hashes is cut short");
  }
  const auto count = load_little<std::uint32_t>(bytes, in_leaves::kCount);
  if (count == 0 || count > kLeavesMax) {
    return fail(Form::kDamaged, "a run of leaf hashes has an absurd length");
  }
  const std::size_t whole = kLeavesHeadBytes + count * sizeof(Digest);
  if (bytes.size() < whole) return fail(Form::kDamaged, "a run of leaf hashes is cut short");
  bytes = bytes.first(whole);
  if (load_little<std::uint32_t>(bytes, in_leaves::kCrc) != leaves_crc(bytes)) {
    return fail(Form::kDamaged, "the checksum of a run of leaf hashes is wrong");
  }
  if (load_little<std::uint32_t>(bytes, in_leaves::kZero) != 0) {
    return fail(Form::kWrong, "bytes of a run of leaf hashes that must be zero are not");
  }
  out.form = Form::kGood;
  out.leaves = {load_little<std::uint64_t>(bytes, in_leaves::kFirstIndex), count,
                bytes.subspan(kLeavesHeadBytes), whole};
  return out;
}

void encode_leaves(std::uint64_t first_index, std::span<const Digest> hashes, Bytes& out) {
  ASSERT(!hashes.empty() && hashes.size() <= kLeavesMax);
  const std::size_t start = out.size();
  out.insert(out.end(), kLeavesMagic.begin(), kLeavesMagic.end());
  out.resize(start + kLeavesHeadBytes);
  for (const Digest& hash : hashes) out.insert(out.end(), hash.begin(), hash.end());
  const std::span<std::uint8_t> item = std::span(out).subspan(start);
  store_little(static_cast<std::uint32_t>(hashes.size()), item, in_leaves::kCount);
  store_little(first_index, item, in_leaves::kFirstIndex);
  store_little(leaves_crc(item), item, in_leaves::kCrc);
}

std::string pruned_file_name(std::uint64_t first_index) {
  return index_file_name(first_index, kPrunedSuffix);
}

std::optional<std::uint64_t> parse_pruned_file_name(std::string_view name) {
  return parse_index_file_name(name, kPrunedSuffix);
}

}  // namespace aioss::ledger
