#include "ipc/fields.h"

#include <algorithm>
#include <cmath>

#include "codec/utf8.h"
#include "ipc/limits.h"

namespace aioss::ipc::detail {
namespace {

const Array kNoArray;
const Map kNoMap;

}  // namespace

void FieldReader::fail(std::uint64_t key, std::string_view why) {
  if (error_) return;
  error_ = Error{Code::kCorrupt, "frame " + std::string(message_) + ", field " +
                                     std::to_string(key) + ": " + std::string(why)};
}

void FieldReader::adopt(const FieldReader& inner) {
  if (!error_ && inner.error_) error_ = inner.error_;
}

const Value* FieldReader::take(std::uint64_t key) {
  const Value* value = map_.find(key);
  if (value == nullptr) {
    fail(key, "is missing");
  } else {
    ++taken_;
  }
  return value;
}

std::uint64_t FieldReader::uint(std::uint64_t key, std::uint64_t low, std::uint64_t high) {
  const Value* value = take(key);
  if (value == nullptr) return low;
  const std::uint64_t* number = value->if_uint();
  if (number == nullptr || *number < low || *number > high) {
    fail(key, "is not an unsigned number in its range");
    return low;
  }
  return *number;
}

std::int64_t FieldReader::i64(std::uint64_t key) {
  const Value* value = take(key);
  if (value == nullptr) return 0;
  if (const std::uint64_t* number = value->if_uint()) {
    if (*number <= INT64_MAX) return static_cast<std::int64_t>(*number);
  } else if (const auto* negative = std::get_if<std::int64_t>(&value->storage())) {
    return *negative;
  }
  fail(key, "is not a signed number");
  return 0;
}

bool FieldReader::boolean(std::uint64_t key) {
  const Value* value = take(key);
  if (value == nullptr) return false;
  const bool* flag = value->if_bool();
  if (flag == nullptr) {
    fail(key, "is not a boolean");
    return false;
  }
  return *flag;
}

float FieldReader::real(std::uint64_t key, float low, float high) {
  const float number = codec::float_from_bits(uint(key, 0, UINT32_MAX));
  if (!std::isfinite(number) || number < low || number > high) {
    fail(key, "is not a number in its range");
    return low;
  }
  return number;
}

std::string FieldReader::text(std::uint64_t key, std::size_t bytes_max) {
  const Value* value = take(key);
  if (value == nullptr) return {};
  const std::string* text = value->if_text();
  if (text == nullptr || text->size() > bytes_max) {
    fail(key, "is not a text of at most " + std::to_string(bytes_max) + " bytes");
    return {};
  }
  return *text;
}

std::string FieldReader::bytes(std::uint64_t key, std::size_t bytes_max) {
  const Value* value = take(key);
  if (value == nullptr) return {};
  const Bytes* bytes = value->if_bytes();
  if (bytes == nullptr || bytes->size() > bytes_max) {
    fail(key, "is not a byte string of at most " + std::to_string(bytes_max) + " bytes");
    return {};
  }
  return std::string(as_text(*bytes));
}

Digest FieldReader::digest(std::uint64_t key) {
  Digest out = {};
  const std::string raw = bytes(key, out.size());
  if (raw.size() != out.size()) {
    fail(key, "is no digest of 32 bytes");
    return out;
  }
  std::copy(raw.begin(), raw.end(), out.begin());
  return out;
}

std::vector<Token> FieldReader::tokens(std::uint64_t key, std::size_t count_max) {
  const Value* value = take(key);
  if (value == nullptr) return {};
  const Bytes* bytes = value->if_bytes();
  if (bytes == nullptr || bytes->size() % 4 != 0 || bytes->size() / 4 > count_max) {
    fail(key, "is not a list of at most " + std::to_string(count_max) + " tokens");
    return {};
  }
  std::vector<Token> tokens;
  tokens.reserve(bytes->size() / 4);
  for (std::size_t i = 0; i < bytes->size(); i += 4) {
    std::uint32_t token = 0;
    for (std::size_t j = 0; j < 4; ++j) token |= std::uint32_t{(*bytes)[i + j]} << (8 * j);
    if (token > INT32_MAX) {
      fail(key, "holds a negative token");
      return {};
    }
    tokens.push_back(static_cast<Token>(token));
  }
  return tokens;
}

const Array& FieldReader::array(std::uint64_t key, std::size_t count_max) {
  const Value* value = take(key);
  if (value == nullptr) return kNoArray;
  const Array* array = value->if_array();
  if (array == nullptr || array->size() > count_max) {
    fail(key, "is not a list of at most " + std::to_string(count_max) + " entries");
    return kNoArray;
  }
  return *array;
}

const Map& FieldReader::map(std::uint64_t key) {
  const Value* value = take(key);
  return value == nullptr ? kNoMap : as_map(*value);
}

const Map& FieldReader::as_map(const Value& value) {
  if (const Map* map = value.if_map()) return *map;
  fail(0, "an entry is not a map");
  return kNoMap;
}

Error FieldReader::error(std::uint64_t key) {
  FieldReader reader(map(key), message_);
  Error error;
  error.code = static_cast<Code>(reader.uint(0, 0, kCodeCount - 1));
  error.message = reader.text(1, kErrorBytesMax);
  error.field = reader.text(2, kNameBytesMax);
  if (reader.has(40)) {
    error.backlog.emplace();
    error.backlog->position = reader.u32(40, kBacklogMax);
    if (reader.has(41)) error.backlog->seconds = reader.u32(41, kWaitSecondsMax);
  }
  (void)reader.finish();
  adopt(reader);
  return error;
}

Status FieldReader::finish() {
  if (!error_ && taken_ != map_.entries().size()) fail(0, "an unknown field follows");
  if (error_) return *error_;
  return ok();
}

Value text_value(std::string_view text, std::size_t bytes_max) {
  if (text.size() <= bytes_max && codec::is_utf8(text)) return Value::text(text);
  const std::string valid = codec::utf8_repaired(text.substr(0, bytes_max));
  const std::string_view cut = std::string_view(valid).substr(0, bytes_max);
  return Value::text(cut.substr(0, codec::utf8_whole_prefix(cut)));
}

Value bytes_value(std::string_view bytes, std::size_t bytes_max) {
  return Value::bytes(as_bytes(bytes.substr(0, bytes_max)));
}

Value digest_value(const Digest& digest) {
  return Value::bytes(digest);
}

Value tokens_value(const std::vector<Token>& tokens) {
  Bytes bytes;
  bytes.reserve(tokens.size() * 4);
  for (const Token token : tokens) {
    const auto bits = static_cast<std::uint32_t>(token);
    for (unsigned shift = 0; shift < 32; shift += 8) {
      bytes.push_back(static_cast<std::uint8_t>(bits >> shift));
    }
  }
  return Value::bytes(bytes);
}

Value error_value(const Error& error) {
  Map map;
  map.set(0, Value::uint(static_cast<std::uint64_t>(error.code)));
  map.set(1, text_value(error.message, kErrorBytesMax));
  map.set(2, text_value(error.field, kNameBytesMax));
  if (error.backlog) {
    map.set(40, Value::uint(std::min(error.backlog->position, kBacklogMax)));
    const auto seconds = error.backlog->seconds;
    if (seconds) map.set(41, Value::uint(std::min(*seconds, kWaitSecondsMax)));
  }
  return Value::map(std::move(map));
}

void write_layers(const Layers& layers, Map& map, std::uint64_t key, std::uint64_t experts_key) {
  if (layers.on_devices) map.set(key, Value::uint(*layers.on_devices));
  if (layers.experts_on_cpu > 0) map.set(experts_key, Value::uint(layers.experts_on_cpu));
}

Layers read_layers(FieldReader& reader, std::uint64_t key, std::uint64_t experts_key) {
  Layers layers;
  if (reader.has(key)) layers.on_devices = reader.u32(key, kGpuLayersMax);
  if (reader.has(experts_key)) layers.experts_on_cpu = reader.u32(experts_key, kGpuLayersMax);
  return layers;
}

}  // namespace aioss::ipc::detail
