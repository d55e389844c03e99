// The one kind of tar file that export bundles are: POSIX ustar, regular files of mode 0444 owned
// by nobody, dated 1970, in a fixed order, ended by two zero blocks. Any tar program unpacks it;
// reading takes untrusted bytes and accepts nothing else, so that one content has one file.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/file.h"

namespace aioss::ledger {

inline constexpr std::size_t kTarBlockBytes = 512;
inline constexpr std::size_t kTarNameBytesMax = 99;
inline constexpr std::uint64_t kTarEntryBytesMax = (8ULL << 30) - 1;  // 11 octal digits
using TarBlock = std::array<std::uint8_t, kTarBlockBytes>;

struct TarEntry {
  std::string name;
  std::uint64_t offset = 0;  // of its content in the file
  std::uint64_t bytes = 0;
};

// 1 to kTarNameBytesMax bytes of [A-Za-z0-9._/-] that stay in the folder in which it is unpacked.
bool is_tar_name(std::string_view name);
// Of such a name and at most kTarEntryBytesMax bytes.
TarBlock tar_header(std::string_view name, std::uint64_t bytes);
std::uint64_t tar_padded(std::uint64_t bytes);  // up to whole blocks

// Where everything goes: offsets of contents for these names and sizes, and the size of the file.
struct TarLayout {
  std::vector<TarEntry> entries;
  std::uint64_t bytes = 0;
};
TarLayout lay_out(const std::vector<std::pair<std::string, std::uint64_t>>& files);

// Whether the first bytes of a file can be those of such a tar file.
bool looks_like_tar(ByteView first_bytes);
// All entries of a whole file; kCorrupt if it is any other kind of file or has more than
// `entries_max`.
Result<std::vector<TarEntry>> read_tar(os::File& file, std::size_t entries_max);

}  // namespace aioss::ledger
