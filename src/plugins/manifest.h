// NAME.json beside NAME.so: what an installed engine is, written when it was added and after a
// confined process had asked the plugin itself. Read from a folder that others may write to, so it
// is bounded and checked, and none of it is believed before the file's hash is its own. Values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "aioss/engine.h"
#include "base/bytes.h"
#include "base/result.h"

namespace aioss::plugins {

inline constexpr std::size_t kManifestBytesMax = 64U << 10;
inline constexpr std::size_t kSignatureBytesMax = 16U << 10;
inline constexpr std::size_t kManifestTextBytesMax = 256;  // of a version
inline constexpr std::string_view kFormatGguf = "gguf";

struct Manifest {
  std::string name, version;
  std::uint32_t abi = AIOSS_ENGINE_ABI_VERSION;
  Digest sha256{};
  std::vector<std::string> formats = {std::string(kFormatGguf)};  // of models' files
  std::string signature;  // a C2SP signed note about the hash; "": none
  bool operator==(const Manifest&) const = default;
};

// [a-z0-9][a-z0-9._-]*, at most 64 bytes: it is a part of file names.
bool is_plugin_name(std::string_view name);

std::string format_manifest(const Manifest& manifest);
// kCorrupt says what is wrong with it. Fields that it does not know are wrong, too.
Result<Manifest> parse_manifest(std::string_view text);
// kUnsupported: an engine of another ABI; which, and what to do.
Status check_abi(const Manifest& manifest);

}  // namespace aioss::plugins
