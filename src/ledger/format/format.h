// The bytes of a segment file: its header and its frames. Parsing takes untrusted bytes and judges
// form only (magic, lengths, zero rules, checksum); chain and meaning are judged by
// ledger/reading/walk.h. docs/formats/ledger.md says the same byte by byte. Pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "ledger/format/record.h"

namespace aioss::ledger {

using LedgerId = std::array<std::uint8_t, 16>;

inline constexpr std::uint16_t kVersionMajor = 1;
inline constexpr std::uint16_t kVersionMinor = 0;
inline constexpr std::uint16_t kHashSha3_256 = 1;

inline constexpr std::size_t kSegmentHeaderBytes = 128;
inline constexpr std::size_t kFrameHeadBytes = 56;
// Below 2^16, so that a body still fits an entry of a C2SP tile bundle.
inline constexpr std::size_t kBodyBytesMax = 65'535;
inline constexpr std::size_t kFrameBytesMax = kFrameHeadBytes + 65'536;

// The first record of a commit group: what one write and one sync made durable together. Everything
// before such a record was synced before it was written, which is what tells a torn group from
// damage.
inline constexpr std::uint16_t kFlagGroupFirst = 1;

struct SegmentHeader {
  std::uint16_t version_major = kVersionMajor;
  std::uint16_t version_minor = kVersionMinor;
  std::uint16_t hash_algorithm = kHashSha3_256;
  LedgerId ledger_id{};
  std::uint64_t segment_number = 0;
  std::uint64_t first_index = 0;
  Digest previous_chain{};    // chain value before the first record
  Digest previous_segment{};  // segment_link() of the segment before; zeros for the first
  std::uint64_t created_ns = 0;
};
using SegmentHeaderBytes = std::array<std::uint8_t, kSegmentHeaderBytes>;

SegmentHeaderBytes encode(const SegmentHeader& header);

enum class Form {
  kGood,
  kDamaged,         // short, wrong magic, wrong checksum: what a torn write leaves, too
  kWrong,           // the checksum holds and the content breaks a rule: nobody tore this
  kUnknownVersion,  // of a later format
};

struct ParsedHeader {
  Form form = Form::kDamaged;
  std::string_view problem;  // what is wrong, if it is not good
  SegmentHeader header;
};
ParsedHeader parse_header(ByteView bytes);

struct Frame {
  std::uint64_t index = 0;
  std::uint16_t type = 0;
  std::uint16_t flags = 0;
  Digest chain{};
  ByteView body;          // into the bytes given
  std::size_t bytes = 0;  // of the whole frame, with padding
};

struct ParsedFrame {
  Form form = Form::kDamaged;
  std::string_view problem;
  Frame frame;
};
// Of the frame at the start of `bytes`, which may hold more.
ParsedFrame parse_frame(ByteView bytes);

// Appends a frame; `frame.bytes` is ignored.
void encode_frame(const Frame& frame, Bytes& out);
std::size_t frame_bytes(std::size_t body_bytes);

// Of a file that is being written; it gets its name once it is whole.
inline constexpr std::string_view kTemporarySuffix = ".tmp";

// The names of files that begin at a record: its index in 20 digits, which sort as numbers do.
std::string index_file_name(std::uint64_t first_index, std::string_view suffix);
std::optional<std::uint64_t> parse_index_file_name(std::string_view name, std::string_view suffix);

// "00000000000000000000.aioss"
inline constexpr std::string_view kSegmentFolder = "seg";
inline constexpr unsigned kLivePermissions = 0640;    // of a segment file
inline constexpr unsigned kSealedPermissions = 0440;  // a guard against slips of the hand
std::string segment_file_name(std::uint64_t first_index);
std::optional<std::uint64_t> parse_segment_file_name(std::string_view name);

}  // namespace aioss::ledger
