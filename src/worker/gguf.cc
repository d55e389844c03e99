#include "worker/gguf.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <set>
#include <span>
#include <utility>

#include "base/strings.h"
#include "os/file.h"

namespace aioss::worker::gguf {
namespace {

// Sizes of llama.cpp v0.5.0 (ggml_blck_size, ggml_type_size), names in the spelling that people
// use.
constexpr auto kTensorTypes = std::to_array<TensorType>({
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},
    {3, "Q4_1", 32, 20},      {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},
    {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},      {10, "Q2_K", 256, 84},
    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74},  {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},  {22, "IQ2_S", 256, 82},
    {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},
    {29, "IQ1_M", 256, 56},   {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},    {40, "NVFP4", 64, 36},
    {41, "Q1_0", 128, 18},    {42, "Q2_0", 64, 18},
});

constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr std::size_t kWindowBytes = std::size_t{1} << 20;

Error corrupt(std::string message) {
  return {Code::kModelCorrupt, std::move(message)};
}

// A name from the file as part of a message: one line, valid UTF-8, and short, though a key may
// have 64 KiB.
std::string shown(std::string_view name) {
  constexpr std::size_t kShownBytesMax = 64;
  const std::string text = one_line(replace_invalid_utf8(name.substr(0, kShownBytesMax)));
  return name.size() > kShownBytesMax ? text + "..." : text;
}

// A window over the file that moves forward. Never reads past the size that fstat gave, and while
// metadata is read, never past its bound.
class Cursor final {
 public:
  Cursor(int fd, std::uint64_t file_bytes) : fd_(fd), file_bytes_(file_bytes) {}

  std::uint64_t offset() const { return offset_; }
  void metadata_has_ended() { offset_max_ = std::numeric_limits<std::uint64_t>::max(); }

  Status skip(std::uint64_t count) {
    AIOSS_CHECK(require(count));
    offset_ += count;
    return ok();
  }

  Status read(std::span<std::uint8_t> into) {
    AIOSS_CHECK(require(into.size()));
    while (!into.empty()) {
      if (offset_ < window_offset_ || offset_ >= window_offset_ + window_.size()) {
        AIOSS_CHECK(load());
      }
      const std::size_t from = static_cast<std::size_t>(offset_ - window_offset_);
      const std::size_t count = std::min(into.size(), window_.size() - from);
      std::memcpy(into.data(), window_.data() + from, count);
      offset_ += count;
      into = into.subspan(count);
    }
    return ok();
  }

  template <typename T>
  Result<T> number() {
    static_assert(std::endian::native == std::endian::little);
    std::array<std::uint8_t, sizeof(T)> bytes{};
    AIOSS_CHECK(read(bytes));
    return std::bit_cast<T>(bytes);
  }

  Result<std::string> text(std::uint64_t bytes_max, std::string_view what) {
    AIOSS_TRY(const std::uint64_t size, number<std::uint64_t>());
    if (size > bytes_max) {
      return corrupt(shown(what) + " claims " + std::to_string(size) + " bytes; at most " +
                     std::to_string(bytes_max) + " are plausible");
    }
    AIOSS_CHECK(require(size));  // before memory is taken
    std::string text(static_cast<std::size_t>(size), '\0');
    AIOSS_CHECK(read({reinterpret_cast<std::uint8_t*>(text.data()), text.size()}));
    return text;
  }

  // That so many bytes may follow, before anything is done for them.
  Status require(std::uint64_t count) const {
    if (count > offset_max_ - offset_) {
      return corrupt("the metadata is larger than " + std::to_string(offset_max_) + " bytes");
    }
    if (count <= file_bytes_ - offset_) return ok();
    const std::uint64_t needed =
        count > std::numeric_limits<std::uint64_t>::max() - offset_ ? count : offset_ + count;
    return corrupt("truncated: needs at least " + std::to_string(needed) + " bytes, the file has " +
                   std::to_string(file_bytes_));
  }

 private:
  Status load() {
    const auto size =
        static_cast<std::size_t>(std::min<std::uint64_t>(kWindowBytes, file_bytes_ - offset_));
    window_.resize(size);
    window_offset_ = offset_;
    std::size_t have = 0;
    while (have < size) {
      const ssize_t got = ::pread(fd_, window_.data() + have, size - have,
                                  static_cast<off_t>(window_offset_ + have));
      if (got > 0) {
        have += static_cast<std::size_t>(got);
      } else if (got == 0) {
        return corrupt("the file shrank while it was read");
      } else if (errno != EINTR) {
        return error_from_errno(errno, "cannot read the model file");
      }
    }
    return ok();
  }

  const int fd_;
  const std::uint64_t file_bytes_;
  std::uint64_t offset_max_ = kMetadataBytesMax;
  std::uint64_t offset_ = 0;
  std::uint64_t window_offset_ = 0;
  std::vector<std::uint8_t> window_;
};

std::uint64_t size_of(ValueType type) {  // 0: not of fixed size
  switch (type) {
    case ValueType::kUint8:
    case ValueType::kInt8:
    case ValueType::kBool:
      return 1;
    case ValueType::kUint16:
    case ValueType::kInt16:
      return 2;
    case ValueType::kUint32:
    case ValueType::kInt32:
    case ValueType::kFloat32:
      return 4;
    case ValueType::kUint64:
    case ValueType::kInt64:
    case ValueType::kFloat64:
      return 8;
    case ValueType::kString:
    case ValueType::kArray:
      return 0;
  }
  return 0;
}

Result<ValueType> read_type(Cursor& cursor) {
  AIOSS_TRY(const std::uint32_t type, cursor.number<std::uint32_t>());
  if (type > static_cast<std::uint32_t>(ValueType::kFloat64)) {
    return corrupt("metadata of unknown type " + std::to_string(type));
  }
  return static_cast<ValueType>(type);
}

Result<ArrayShape> skip_array(Cursor& cursor, std::uint32_t depth) {
  ArrayShape shape;
  AIOSS_TRY(shape.type, read_type(cursor));
  AIOSS_TRY(shape.count, cursor.number<std::uint64_t>());
  if (shape.count > kArrayElementsMax) {
    return corrupt("a metadata array claims " + std::to_string(shape.count) +
                   " elements; at most " + std::to_string(kArrayElementsMax) + " are plausible");
  }
  if (const std::uint64_t size = size_of(shape.type)) {
    AIOSS_CHECK(cursor.skip(shape.count * size));
    return shape;
  }
  // The count is a claim until the file has room for that many of the shortest: texts begin with
  // their length, arrays with type and count. So a lie costs no loop.
  AIOSS_CHECK(cursor.require(shape.count * (shape.type == ValueType::kString ? 8 : 12)));
  for (std::uint64_t i = 0; i < shape.count; ++i) {
    if (shape.type == ValueType::kString) {
      AIOSS_TRY(const std::uint64_t size, cursor.number<std::uint64_t>());
      if (size > kStringBytesMax) return corrupt("a text in a metadata array is absurdly long");
      AIOSS_CHECK(cursor.skip(size));
    } else {
      if (depth >= kArrayDepthMax) return corrupt("metadata arrays are nested too deeply");
      AIOSS_CHECK(skip_array(cursor, depth + 1));
    }
  }
  return shape;
}

template <typename Stored, typename Wide>
Result<MetadataValue> read_as(Cursor& cursor) {
  AIOSS_TRY(const Stored value, cursor.number<Stored>());
  return MetadataValue{static_cast<Wide>(value)};
}

Result<MetadataValue> read_value(Cursor& cursor, ValueType type, const std::string& key) {
  switch (type) {
    case ValueType::kUint8:
      return read_as<std::uint8_t, std::uint64_t>(cursor);
    case ValueType::kUint16:
      return read_as<std::uint16_t, std::uint64_t>(cursor);
    case ValueType::kUint32:
      return read_as<std::uint32_t, std::uint64_t>(cursor);
    case ValueType::kUint64:
      return read_as<std::uint64_t, std::uint64_t>(cursor);
    case ValueType::kInt8:
      return read_as<std::int8_t, std::int64_t>(cursor);
    case ValueType::kInt16:
      return read_as<std::int16_t, std::int64_t>(cursor);
    case ValueType::kInt32:
      return read_as<std::int32_t, std::int64_t>(cursor);
    case ValueType::kInt64:
      return read_as<std::int64_t, std::int64_t>(cursor);
    case ValueType::kFloat32:
      return read_as<float, double>(cursor);
    case ValueType::kFloat64:
      return read_as<double, double>(cursor);
    case ValueType::kBool: {
      AIOSS_TRY(const std::uint8_t value, cursor.number<std::uint8_t>());
      if (value > 1)
        return corrupt("metadata " + shown(key) + " is a boolean that is neither 0 nor 1");
      return MetadataValue{value == 1};
    }
    case ValueType::kString: {
      AIOSS_TRY(std::string value, cursor.text(kStringBytesMax, "metadata " + key));
      return MetadataValue{std::move(value)};
    }
    case ValueType::kArray:
      break;
  }
  AIOSS_TRY(const ArrayShape shape, skip_array(cursor, 1));
  return MetadataValue{shape};
}

Status read_metadata(Cursor& cursor, std::uint64_t count, Header& header) {
  for (std::uint64_t i = 0; i < count; ++i) {
    AIOSS_TRY(const std::string key, cursor.text(kKeyBytesMax, "a metadata key"));
    if (key.empty()) return corrupt("a metadata key is empty");
    AIOSS_TRY(const ValueType type, read_type(cursor));
    AIOSS_TRY(MetadataValue value, read_value(cursor, type, key));
    if (!header.metadata.emplace(key, std::move(value)).second) {
      return corrupt("metadata key " + shown(key) + " appears twice");
    }
  }
  cursor.metadata_has_ended();
  if (!header.metadata.contains("general.alignment")) return ok();
  const std::uint64_t alignment = header.number("general.alignment").value_or(0);
  if (!std::has_single_bit(alignment) || alignment > kAlignmentMax) {
    return corrupt("general.alignment must be a power of two up to " +
                   std::to_string(kAlignmentMax));
  }
  header.alignment = static_cast<std::uint32_t>(alignment);
  return ok();
}

// ik_llama.cpp numbers the types that it alone has from 97 on (its ggml.h). Its engine could
// compute with them, but a model's text is read by llama.cpp, which refuses the whole file.
Error unknown_type(const std::string& who, std::uint32_t type) {
  constexpr std::uint32_t kFirstOfIk = 97;
  constexpr std::uint32_t kLastOfIk = 399;
  const std::string what = who + " is of type " + std::to_string(type);
  if (type < kFirstOfIk || type > kLastOfIk) {
    return corrupt(what + ", which this version does not know");
  }
  return Error{
      Code::kUnsupported,
      what +
          ", which only ik_llama.cpp knows; aioss reads the text of models with llama.cpp, "
          "also for the engine ik: take the model in a type that both know"};
}

Result<Tensor> read_tensor(Cursor& cursor, std::uint32_t alignment) {
  Tensor tensor;
  AIOSS_TRY(tensor.name, cursor.text(kNameBytesMax, "a tensor's name"));
  AIOSS_TRY(const std::uint32_t dimensions, cursor.number<std::uint32_t>());
  if (tensor.name.empty()) return corrupt("a tensor has no name");
  const std::string who = "tensor " + shown(tensor.name);
  if (dimensions == 0 || dimensions > kDimensionsMax) {
    return corrupt(who + " has " + std::to_string(dimensions) + " dimensions; 1 to " +
                   std::to_string(kDimensionsMax) + " are possible");
  }
  tensor.elements = 1;
  constexpr auto kElementsMax = static_cast<std::uint64_t>(INT64_MAX) / 16;
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    AIOSS_TRY(const std::uint64_t size, cursor.number<std::uint64_t>());
    if (size == 0 || size > kElementsMax / tensor.elements) {
      return corrupt(who + " has an impossible size");
    }
    tensor.dimensions.push_back(size);
    tensor.elements *= size;
  }
  AIOSS_TRY(const std::uint32_t type, cursor.number<std::uint32_t>());
  AIOSS_TRY(tensor.offset, cursor.number<std::uint64_t>());
  tensor.type = tensor_type(type);
  if (tensor.type == nullptr) {
    return unknown_type(who, type);
  }
  if (tensor.dimensions[0] % tensor.type->block_elements != 0) {
    return corrupt(who + " has rows that are no multiple of its type's block");
  }
  // At most INT64_MAX / 16 elements of at most 8 bytes: no overflow.
  tensor.bytes = tensor.elements / tensor.type->block_elements * tensor.type->block_bytes;
  if (tensor.offset % alignment != 0) return corrupt(who + " is not aligned");
  return tensor;
}

// Inside the file, and no two share a byte.
Status check_extents(const Header& header) {
  std::vector<const Tensor*> by_offset;
  for (const Tensor& tensor : header.tensors) by_offset.push_back(&tensor);
  std::sort(by_offset.begin(), by_offset.end(),
            [](const Tensor* a, const Tensor* b) { return a->offset < b->offset; });
  const std::uint64_t room =
      header.file_bytes > header.data_offset ? header.file_bytes - header.data_offset : 0;
  std::uint64_t end = 0;  // of the tensor before
  for (const Tensor* tensor : by_offset) {
    if (tensor->offset < end) return corrupt("tensor " + shown(tensor->name) + " overlaps another");
    if (tensor->offset > room || tensor->bytes > room - tensor->offset) {
      const std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
      const std::uint64_t base = header.data_offset + tensor->bytes;
      const std::uint64_t needed = tensor->offset > most - base ? most : base + tensor->offset;
      return corrupt("truncated: tensor " + shown(tensor->name) + " needs " +
                     std::to_string(needed) + " bytes, the file has " +
                     std::to_string(header.file_bytes));
    }
    end = tensor->offset + tensor->bytes;
  }
  return ok();
}

struct Counts {
  std::uint64_t tensors = 0, metadata = 0;
};

Result<Counts> read_start(Cursor& cursor, Header& header) {
  if (header.file_bytes < sizeof kMagic) return corrupt("not a GGUF file: it is too short");
  AIOSS_TRY(const std::uint32_t magic, cursor.number<std::uint32_t>());
  if (magic != kMagic) return corrupt("not a GGUF file: it does not begin with \"GGUF\"");
  AIOSS_TRY(header.version, cursor.number<std::uint32_t>());
  if ((header.version & 0xFFFF) == 0) {
    return corrupt("the file is big-endian; this machine needs a little-endian one");
  }
  if (header.version != 2 && header.version != 3) {
    return corrupt("GGUF version " + std::to_string(header.version) +
                   " is not supported; convert the model to version 3");
  }
  Counts counts;
  AIOSS_TRY(counts.tensors, cursor.number<std::uint64_t>());
  AIOSS_TRY(counts.metadata, cursor.number<std::uint64_t>());
  if (counts.tensors > kTensorsMax) {
    return corrupt("the file claims " + std::to_string(counts.tensors) + " tensors; at most " +
                   std::to_string(kTensorsMax) + " are plausible");
  }
  if (counts.metadata > kMetadataMax) {
    return corrupt("the file claims " + std::to_string(counts.metadata) +
                   " metadata entries; at most " + std::to_string(kMetadataMax) + " are plausible");
  }
  return counts;
}

}  // namespace

const TensorType* tensor_type(std::uint32_t id) {
  for (const TensorType& type : kTensorTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

const std::string* Header::text(std::string_view key) const {
  const auto found = metadata.find(key);
  return found == metadata.end() ? nullptr : std::get_if<std::string>(&found->second);
}

std::optional<std::uint64_t> Header::number(std::string_view key) const {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return std::nullopt;
  if (const auto* value = std::get_if<std::uint64_t>(&found->second)) return *value;
  const auto* value = std::get_if<std::int64_t>(&found->second);
  if (value == nullptr || *value < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*value);
}

std::uint64_t Header::parameter_count() const {
  std::uint64_t count = 0;
  for (const Tensor& tensor : tensors) count += tensor.elements;
  return count;
}

Result<Header> read_header(int fd) {
  AIOSS_TRY(const os::FileInfo about, os::descriptor_info(fd));
  if (!about.is_regular) return corrupt("not a GGUF file: it is not a regular file");
  Header header;
  header.file_bytes = about.size;
  Cursor cursor(fd, header.file_bytes);
  AIOSS_TRY(const Counts counts, read_start(cursor, header));
  AIOSS_CHECK(read_metadata(cursor, counts.metadata, header));
  std::set<std::string, std::less<>> names;
  for (std::uint64_t i = 0; i < counts.tensors; ++i) {
    AIOSS_TRY(Tensor tensor, read_tensor(cursor, header.alignment));
    if (!names.insert(tensor.name).second) {
      return corrupt("tensor " + shown(tensor.name) + " appears twice");
    }
    header.tensors.push_back(std::move(tensor));
  }
  const std::uint64_t mask = header.alignment - 1;
  header.data_offset = (cursor.offset() + mask) & ~mask;
  AIOSS_CHECK(check_extents(header));
  return header;
}

namespace {

std::string part_of(std::uint64_t index, std::uint64_t count) {
  return "part " + std::to_string(index + 1) + " of " + std::to_string(count);
}

// What the parts of a split model say of themselves, and whether that fits together. That they are
// of the same quantization only the tensors' names and shapes could tell: the formats may differ.
Status check_parts(const std::vector<Header>& parts) {
  const std::uint64_t files = parts.size();
  std::set<std::string_view> names;
  std::uint64_t tensors = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Header& part = parts[i];
    const std::uint64_t count = std::max<std::uint64_t>(part.number("split.count").value_or(1), 1);
    const std::uint64_t number = part.number("split.no").value_or(0);
    if (count != files) {
      return corrupt("file " + std::to_string(i + 1) + " is " + part_of(number, count) + ", and " +
                     std::to_string(files) + " were given; all parts of one model are needed");
    }
    if (count > 1 && number != i) {
      return corrupt("the parts are in the wrong order: file " + std::to_string(i + 1) + " is " +
                     part_of(number, count) + "; number their names as they number themselves");
    }
    tensors += part.tensors.size();
    const std::string* architecture = part.text("general.architecture");
    const std::string* first = parts[0].text("general.architecture");
    const bool other = architecture != nullptr && first != nullptr && *architecture != *first;
    if (other || part.number("split.tensors.count") != parts[0].number("split.tensors.count")) {
      return corrupt(part_of(i, count) + " is of another model than the first");
    }
    for (const Tensor& tensor : part.tensors) {
      if (names.insert(tensor.name).second) continue;
      return corrupt("tensor " + shown(tensor.name) + " is in two parts: they are of two models");
    }
  }
  const std::uint64_t expected = parts[0].number("split.tensors.count").value_or(tensors);
  if (files == 1 || expected == tensors) return ok();
  return corrupt("the parts hold " + std::to_string(tensors) + " tensors and should hold " +
                 std::to_string(expected) + ": they are not of one model");
}

}  // namespace

Result<std::vector<Header>> read_headers(const std::vector<int>& fds) {
  if (fds.empty()) return corrupt("no model file was given");
  std::vector<Header> headers;
  for (const int fd : fds) {
    AIOSS_TRY(Header header, read_header(fd));
    headers.push_back(std::move(header));
  }
  AIOSS_CHECK(check_parts(headers));
  return headers;
}

}  // namespace aioss::worker::gguf
