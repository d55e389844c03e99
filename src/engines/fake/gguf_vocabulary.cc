// The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.
#include "engines/fake/gguf_vocabulary.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>

namespace aioss::engines::fake {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr std::string_view kTokensKey = "tokenizer.ggml.tokens";
constexpr std::uint64_t kKeysMax = 4096;
constexpr std::uint64_t kKeyBytesMax = 65'536;
constexpr std::uint64_t kTokensMax = std::uint64_t{1} << 22;  // 16 times those of the largest known
constexpr std::uint64_t kBytesMax = std::uint64_t{1} << 30;   // of all keys and values
enum Type : std::uint32_t { kString = 8, kArray = 9, kTypes = 13 };
// Of a number of each type; 0: it is no number.
constexpr std::array<std::uint64_t, kTypes> kSizes{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

Error corrupt(const char* what) {
  return {Code::kModelCorrupt, std::string("not a model in GGUF: ") + what};
}

class Reader {
 public:
  explicit Reader(int fd) : fd_(fd) {}

  template <typename T>
  Result<T> number() {
    T value{};
    AIOSS_CHECK(bytes(reinterpret_cast<char*>(&value), sizeof value));
    return value;
  }
  Status bytes(char* out, std::size_t count) {
    while (count > 0) {
      if (at_ < begin_ || at_ >= begin_ + have_) AIOSS_CHECK(fill());
      const std::size_t from = static_cast<std::size_t>(at_ - begin_);
      const std::size_t part = std::min(count, have_ - from);
      std::memcpy(out, buffer_.data() + from, part);
      out += part;
      at_ += part;
      count -= part;
    }
    return ok();
  }
  Status skip(std::uint64_t count) {
    if (count > kBytesMax || at_ + count > kBytesMax) return corrupt("a value is too long");
    at_ += count;
    return ok();
  }

 private:
  Status fill() {
    const ssize_t got = ::pread(fd_, buffer_.data(), buffer_.size(), static_cast<off_t>(at_));
    if (got < 0) return Error{Code::kIo, "the model cannot be read"};
    if (got == 0) return corrupt("it ends too early");
    begin_ = at_;
    have_ = static_cast<std::size_t>(got);
    return ok();
  }

  const int fd_;
  std::uint64_t at_ = 0, begin_ = 0;
  std::size_t have_ = 0;
  std::array<char, 65'536> buffer_{};
};

Status skip_string(Reader& reader) {
  AIOSS_TRY(const auto length, reader.number<std::uint64_t>());
  return reader.skip(length);
}

Status skip_value(Reader& reader, std::uint32_t type) {
  if (type == kString) return skip_string(reader);
  if (type != kArray) {
    const std::uint64_t size = type < kTypes ? kSizes.at(type) : 0;
    return size > 0 ? reader.skip(size) : corrupt("a value of an unknown type");
  }
  AIOSS_TRY(const auto of, reader.number<std::uint32_t>());
  AIOSS_TRY(const auto count, reader.number<std::uint64_t>());
  if (of == kArray || of >= kTypes || count > kBytesMax) return corrupt("an array of what?");
  if (of != kString) return reader.skip(count * kSizes.at(of));
  for (std::uint64_t i = 0; i < count; ++i) AIOSS_CHECK(skip_string(reader));
  return ok();
}

Result<std::string> key(Reader& reader) {
  AIOSS_TRY(const auto length, reader.number<std::uint64_t>());
  if (length > kKeyBytesMax) return corrupt("a key is too long");
  std::string name(length, '\0');
  AIOSS_CHECK(reader.bytes(name.data(), name.size()));
  return name;
}

Result<std::uint32_t> token_count(Reader& reader, std::uint32_t type) {
  if (type != kArray) return corrupt("its tokens are no list");
  AIOSS_TRY(const auto of, reader.number<std::uint32_t>());
  AIOSS_TRY(const auto count, reader.number<std::uint64_t>());
  if (of != kString || count < 16 || count > kTokensMax) return corrupt("its tokens are no list");
  return static_cast<std::uint32_t>(count);
}

}  // namespace

bool is_gguf(int fd) {
  std::array<char, 4> magic{};
  const ssize_t got = ::pread(fd, magic.data(), magic.size(), 0);
  return got == 4 && std::string_view(magic.data(), magic.size()) == kMagic;
}

Result<std::uint32_t> gguf_vocabulary(int fd) {
  if (!is_gguf(fd)) return corrupt("it does not begin so");
  Reader reader(fd);
  AIOSS_CHECK(reader.skip(kMagic.size()));
  AIOSS_TRY(const auto version, reader.number<std::uint32_t>());
  if (version != 2 && version != 3) return corrupt("its version is neither 2 nor 3");
  AIOSS_CHECK(reader.skip(sizeof(std::uint64_t)));  // the number of tensors
  AIOSS_TRY(const auto keys, reader.number<std::uint64_t>());
  if (keys > kKeysMax) return corrupt("it has too many keys");
  for (std::uint64_t i = 0; i < keys; ++i) {
    AIOSS_TRY(const std::string name, key(reader));
    AIOSS_TRY(const auto type, reader.number<std::uint32_t>());
    if (name == kTokensKey) return token_count(reader, type);
    AIOSS_CHECK(skip_value(reader, type));
  }
  return corrupt("it has no tokens");
}

}  // namespace aioss::engines::fake
