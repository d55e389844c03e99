#include "ledger/evidence/tar.h"

#include <algorithm>
#include <optional>

#include "base/assert.h"

namespace aioss::ledger {
namespace {

// Offsets and lengths of the fields of a ustar header that are not zero here.
namespace at {
constexpr std::size_t kName = 0, kMode = 100, kUser = 108, kGroup = 116, kSize = 124, kTime = 136,
                      kChecksum = 148, kType = 156, kMagic = 257;
}  // namespace at
constexpr std::string_view kMagicAndVersion{"ustar\00000", 8};

void put(TarBlock& block, std::size_t offset, std::string_view text) {
  std::copy(text.begin(), text.end(), block.begin() + static_cast<std::ptrdiff_t>(offset));
}

std::string octal(std::uint64_t value, std::size_t digits) {
  std::string text(digits, '0');
  for (std::size_t i = digits; i-- > 0; value >>= 3U) {
    text[i] = static_cast<char>('0' + (value & 7U));
  }
  return text;
}

bool is_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace

bool is_tar_name(std::string_view name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == '/';
  });
  // So that whoever unpacks it gets no file outside the folder.
  return plain && !name.empty() && name.size() <= kTarNameBytesMax && name.front() != '/' &&
         name.find("..") == std::string_view::npos;
}

namespace {

Error broken_archive(std::string_view what) {
  return {Code::kCorrupt, "the bundle's tar file " + std::string(what)};
}

std::optional<std::uint64_t> parse_octal(std::string_view digits) {
  std::uint64_t value = 0;
  for (const char c : digits) {
    if (c < '0' || c > '7') return std::nullopt;
    value = value * 8 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

// A header is good if it is, byte for byte, the one that its name and size give.
std::optional<TarEntry> parse_header(const TarBlock& block) {
  const std::string_view text = as_text(block);
  const std::string_view field = text.substr(at::kName, at::kMode);
  TarEntry entry;
  entry.name = std::string(field.substr(0, field.find('\0')));
  const auto size = parse_octal(text.substr(at::kSize, 11));
  if (!is_tar_name(entry.name) || !size) return std::nullopt;
  entry.bytes = *size;
  if (tar_header(entry.name, entry.bytes) != block) return std::nullopt;
  return entry;
}

Status read_whole(os::File& file, std::uint64_t offset, std::span<std::uint8_t> into) {
  AIOSS_TRY(const std::size_t got, file.read_at(offset, into));
  if (got < into.size()) return broken_archive("ends early");
  return ok();
}

}  // namespace

TarBlock tar_header(std::string_view name, std::uint64_t bytes) {
  ASSERT(is_tar_name(name) && bytes <= kTarEntryBytesMax);
  TarBlock block{};
  put(block, at::kName, name);
  put(block, at::kMode, octal(0444, 7));
  put(block, at::kUser, octal(0, 7));
  put(block, at::kGroup, octal(0, 7));
  put(block, at::kSize, octal(bytes, 11));
  put(block, at::kTime, octal(0, 11));
  put(block, at::kChecksum, "        ");
  put(block, at::kType, "0");
  put(block, at::kMagic, kMagicAndVersion);
  std::uint64_t sum = 0;
  for (const std::uint8_t byte : block) sum += byte;
  put(block, at::kChecksum, octal(sum, 6) + std::string("\0 ", 2));
  return block;
}

std::uint64_t tar_padded(std::uint64_t bytes) {
  return (bytes + kTarBlockBytes - 1) / kTarBlockBytes * kTarBlockBytes;
}

TarLayout lay_out(const std::vector<std::pair<std::string, std::uint64_t>>& files) {
  TarLayout layout;
  for (const auto& [name, bytes] : files) {
    layout.entries.push_back({name, layout.bytes + kTarBlockBytes, bytes});
    layout.bytes += kTarBlockBytes + tar_padded(bytes);
  }
  layout.bytes += 2 * kTarBlockBytes;
  return layout;
}

bool looks_like_tar(ByteView first_bytes) {
  if (first_bytes.size() < kTarBlockBytes) return false;
  return as_text(first_bytes).substr(at::kMagic, kMagicAndVersion.size()) == kMagicAndVersion;
}

Result<std::vector<TarEntry>> read_tar(os::File& file, std::size_t entries_max) {
  AIOSS_TRY(const os::FileInfo about, file.info());
  std::vector<TarEntry> entries;
  TarBlock block;
  std::uint64_t offset = 0;
  for (;;) {
    AIOSS_CHECK(read_whole(file, offset, block));
    offset += kTarBlockBytes;
    if (is_zero(block)) break;
    auto entry = parse_header(block);
    if (!entry) return broken_archive("has a header that no bundle has");
    if (entries.size() == entries_max) return broken_archive("has too many files");
    entry->offset = offset;
    offset += tar_padded(entry->bytes);
    if (offset > about.size) return broken_archive("ends early");
    const std::uint64_t padding = tar_padded(entry->bytes) - entry->bytes;
    if (padding > 0) {
      AIOSS_CHECK(read_whole(file, offset - padding, std::span(block).first(padding)));
      if (!is_zero(std::span(block).first(padding)))
        return broken_archive("has bytes between its files");
    }
    entries.push_back(std::move(*entry));
  }
  AIOSS_CHECK(read_whole(file, offset, block));
  if (!is_zero(block) || about.size != offset + kTarBlockBytes) {
    return broken_archive("has bytes after its end");
  }
  return entries;
}

}  // namespace aioss::ledger
