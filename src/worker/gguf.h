// Our own strict reader of GGUF headers (versions 2 and 3, little-endian): metadata and tensor
// table, never tensor data. Everything in the file is untrusted: counts, lengths, dimensions,
// types, offsets and overlaps are checked against bounds and against the size of the file, before
// an engine sees it. Memory stays within a small multiple of the header. Values; thread-compatible.
//
// Errors are kModelCorrupt with one line that a person can act on ("truncated: …"), kIo if reading
// failed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace aioss::worker::gguf {

// Bounds, each far above every known model.
inline constexpr std::uint64_t kTensorsMax = 65'536;           // the largest known have about 2,000
inline constexpr std::uint64_t kMetadataMax = 65'536;          // entries
inline constexpr std::uint64_t kNameBytesMax = 64;             // of a tensor: GGML_MAX_NAME
inline constexpr std::uint64_t kKeyBytesMax = 65'535;          // the format's own limit
inline constexpr std::uint64_t kStringBytesMax = 16U << 20;    // chat templates reach 100 KiB
inline constexpr std::uint64_t kArrayElementsMax = 16U << 20;  // vocabularies reach 262,144
inline constexpr std::uint64_t kMetadataBytesMax = 512U << 20;  // all of it together
inline constexpr std::uint32_t kDimensionsMax = 4;              // GGML_MAX_DIMS
inline constexpr std::uint64_t kAlignmentMax = 1U << 20;
inline constexpr std::uint32_t kArrayDepthMax = 2;  // arrays of arrays; engines know one level

enum class ValueType : std::uint32_t {
  kUint8 = 0,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};

// Arrays keep their size and type only, and texts of arrays nothing: no command needs them.
struct ArrayShape {
  ValueType type = ValueType::kUint8;
  std::uint64_t count = 0;
};
using MetadataValue =
    std::variant<std::uint64_t, std::int64_t, double, bool, std::string, ArrayShape>;

struct TensorType {
  std::uint32_t id = 0;
  std::string_view name;  // "Q4_K"
  std::uint32_t block_elements = 0;
  std::uint32_t block_bytes = 0;
};
// nullptr for a number that is no tensor type of llama.cpp v0.5.0.
const TensorType* tensor_type(std::uint32_t id);

struct Tensor {
  std::string name;
  std::vector<std::uint64_t> dimensions;
  const TensorType* type = nullptr;
  std::uint64_t offset = 0;  // from the start of the data section
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;
};

struct Header {
  std::uint32_t version = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t data_offset = 0;  // where tensor data begins
  std::uint32_t alignment = 32;
  std::map<std::string, MetadataValue, std::less<>> metadata;
  std::vector<Tensor> tensors;

  const std::string* text(std::string_view key) const;
  std::optional<std::uint64_t> number(std::string_view key) const;
  std::uint64_t parameter_count() const;
};

// Reads with pread; the descriptor's own offset is not used.
Result<Header> read_header(int fd);
// The files of one model: each by itself, and that they say they belong together.
Result<std::vector<Header>> read_headers(const std::vector<int>& fds);

}  // namespace aioss::worker::gguf
