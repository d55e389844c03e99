#include "ledger/format/format.h"

#include <algorithm>
#include <cstdio>

#include "base/assert.h"
#include "base/strings.h"
#include "ledger/format/bytes_io.h"
#include "ledger/format/crc32c.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kSegmentMagic = "AIOSSLG1";
constexpr std::string_view kFrameMagic = "AREC";
constexpr std::string_view kSegmentSuffix = ".aioss";
constexpr std::size_t kIndexDigits = 20;  // of 2^64 − 1

// Offsets in a segment header.
namespace at {
constexpr std::size_t kMajor = 8, kMinor = 10, kHash = 12, kReserved = 14, kLedgerId = 16,
                      kNumber = 32, kFirstIndex = 40, kPreviousChain = 48, kPreviousSegment = 80,
                      kCreated = 112, kFlags = 120, kCrc = 124;
}  // namespace at

// Offsets in a frame.
namespace in_frame {
constexpr std::size_t kLength = 4, kIndex = 8, kType = 16, kFlags = 18, kCrc = 20, kChain = 24;
}  // namespace in_frame

bool starts_with(ByteView bytes, std::string_view magic) {
  return as_text(bytes.first(magic.size())) == magic;
}

template <std::size_t kSize>
void copy_to(const std::array<std::uint8_t, kSize>& value, std::span<std::uint8_t> out,
             std::size_t offset) {
  std::copy(value.begin(), value.end(), out.begin() + static_cast<std::ptrdiff_t>(offset));
}

template <std::size_t kSize>
void copy_from(ByteView bytes, std::size_t offset, std::array<std::uint8_t, kSize>& value) {
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), kSize, value.begin());
}

// Everything of a frame except the checksum itself.
std::uint32_t frame_crc(ByteView frame) {
  return crc32c(frame.subspan(in_frame::kChain), crc32c(frame.first(in_frame::kCrc)));
}

}  // namespace

SegmentHeaderBytes encode(const SegmentHeader& header) {
  SegmentHeaderBytes out{};
  std::copy(kSegmentMagic.begin(), kSegmentMagic.end(), out.begin());
  store_little(header.version_major, out, at::kMajor);
  store_little(header.version_minor, out, at::kMinor);
  store_little(header.hash_algorithm, out, at::kHash);
  copy_to(header.ledger_id, out, at::kLedgerId);
  store_little(header.segment_number, out, at::kNumber);
  store_little(header.first_index, out, at::kFirstIndex);
  copy_to(header.previous_chain, out, at::kPreviousChain);
  copy_to(header.previous_segment, out, at::kPreviousSegment);
  store_little(header.created_ns, out, at::kCreated);
  store_little(crc32c(ByteView(out).first(at::kCrc)), out, at::kCrc);
  return out;
}

ParsedHeader parse_header(ByteView bytes) {
  ParsedHeader out;
  const auto fail = [&out](Form form, std::string_view problem) {
    out.form = form;
    out.problem = problem;
    return out;
  };
  if (bytes.size() < kSegmentHeaderBytes) return fail(Form::kDamaged, "the header is cut short");
  bytes = bytes.first(kSegmentHeaderBytes);
  if (!starts_with(bytes, kSegmentMagic)) return fail(Form::kDamaged, "the header has no magic");
  if (load_little<std::uint32_t>(bytes, at::kCrc) != crc32c(bytes.first(at::kCrc))) {
    return fail(Form::kDamaged, "the header's checksum is wrong");
  }
  SegmentHeader& header = out.header;
  header.version_major = load_little<std::uint16_t>(bytes, at::kMajor);
  header.version_minor = load_little<std::uint16_t>(bytes, at::kMinor);
  header.hash_algorithm = load_little<std::uint16_t>(bytes, at::kHash);
  copy_from(bytes, at::kLedgerId, header.ledger_id);
  header.segment_number = load_little<std::uint64_t>(bytes, at::kNumber);
  header.first_index = load_little<std::uint64_t>(bytes, at::kFirstIndex);
  copy_from(bytes, at::kPreviousChain, header.previous_chain);
  copy_from(bytes, at::kPreviousSegment, header.previous_segment);
  header.created_ns = load_little<std::uint64_t>(bytes, at::kCreated);
  if (header.version_major != kVersionMajor || header.version_minor != kVersionMinor ||
      header.hash_algorithm != kHashSha3_256) {
    return fail(Form::kUnknownVersion, "the segment is of a later format than this program knows");
  }
  if (load_little<std::uint16_t>(bytes, at::kReserved) != 0 ||
      load_little<std::uint32_t>(bytes, at::kFlags) != 0) {
    return fail(Form::kWrong, "header fields that must be zero are not");
  }
  out.form = Form::kGood;
  return out;
}

std::size_t frame_bytes(std::size_t body_bytes) {
  return (kFrameHeadBytes + body_bytes + 7) / 8 * 8;
}

ParsedFrame parse_frame(ByteView bytes) {
  ParsedFrame out;
  const auto fail = [&out](Form form, std::string_view problem) {
    out.form = form;
    out.problem = problem;
    return out;
  };
  if (bytes.size() < kFrameHeadBytes) return fail(Form::kDamaged, "the record is cut short");
  if (!starts_with(bytes, kFrameMagic)) return fail(Form::kDamaged, "the record has no magic");
  const auto length = load_little<std::uint32_t>(bytes, in_frame::kLength);
  if (length > kBodyBytesMax) return fail(Form::kDamaged, "the record's length is absurd");
  const std::size_t whole = frame_bytes(length);
  if (bytes.size() < whole) return fail(Form::kDamaged, "the record is cut short");
  bytes = bytes.first(whole);
  if (load_little<std::uint32_t>(bytes, in_frame::kCrc) != frame_crc(bytes)) {
    return fail(Form::kDamaged, "the record's checksum is wrong");
  }
  Frame& frame = out.frame;
  frame.index = load_little<std::uint64_t>(bytes, in_frame::kIndex);
  frame.type = load_little<std::uint16_t>(bytes, in_frame::kType);
  frame.flags = load_little<std::uint16_t>(bytes, in_frame::kFlags);
  copy_from(bytes, in_frame::kChain, frame.chain);
  frame.body = bytes.subspan(kFrameHeadBytes, length);
  frame.bytes = whole;
  if ((frame.flags & ~kFlagGroupFirst) != 0) {
    return fail(Form::kWrong, "record flags that must be zero are not");
  }
  const ByteView padding = bytes.subspan(kFrameHeadBytes + length);
  if (std::any_of(padding.begin(), padding.end(), [](std::uint8_t byte) { return byte != 0; })) {
    return fail(Form::kWrong, "the record's padding is not zero");
  }
  out.form = Form::kGood;
  return out;
}

void encode_frame(const Frame& frame, Bytes& out) {
  ASSERT(frame.body.size() <= kBodyBytesMax);
  const std::size_t start = out.size();
  out.resize(start + frame_bytes(frame.body.size()));  // zeros: the padding is among them
  const std::span<std::uint8_t> bytes = std::span(out).subspan(start);
  std::copy(kFrameMagic.begin(), kFrameMagic.end(), bytes.begin());
  store_little(static_cast<std::uint32_t>(frame.body.size()), bytes, in_frame::kLength);
  store_little(frame.index, bytes, in_frame::kIndex);
  store_little(frame.type, bytes, in_frame::kType);
  store_little(frame.flags, bytes, in_frame::kFlags);
  copy_to(frame.chain, bytes, in_frame::kChain);
  std::copy(frame.body.begin(), frame.body.end(), bytes.begin() + kFrameHeadBytes);
  store_little(frame_crc(bytes), bytes, in_frame::kCrc);
}

std::string index_file_name(std::uint64_t first_index, std::string_view suffix) {
  const std::string digits = std::to_string(first_index);
  return std::string(kIndexDigits - digits.size(), '0') + digits + std::string(suffix);
}

std::optional<std::uint64_t> parse_index_file_name(std::string_view name, std::string_view suffix) {
  if (name.size() != kIndexDigits + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
  return parse_u64(name.substr(0, kIndexDigits));
}

std::string segment_file_name(std::uint64_t first_index) {
  return index_file_name(first_index, kSegmentSuffix);
}

std::optional<std::uint64_t> parse_segment_file_name(std::string_view name) {
  return parse_index_file_name(name, kSegmentSuffix);
}

}  // namespace aioss::ledger
