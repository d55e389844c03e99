// A file in GGUF with nothing but tokens, for tests of the test engine.
#pragma once

#include <cstdint>
#include <string>

namespace aioss::engines::fake {

inline std::string gguf_u32(std::uint32_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
inline std::string gguf_u64(std::uint64_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
inline std::string gguf_text(const std::string& value) {
  return gguf_u64(value.size()) + value;
}
inline std::string gguf_head(std::uint64_t keys) {
  return "GGUF" + gguf_u32(3) + gguf_u64(0) + gguf_u64(keys);
}
inline std::string gguf_tokens(std::uint64_t count) {
  std::string out = gguf_text("tokenizer.ggml.tokens") + gguf_u32(9) + gguf_u32(8);
  out += gguf_u64(count);
  for (std::uint64_t i = 0; i < count; ++i) out += gguf_text("t" + std::to_string(i));
  return out;
}

}  // namespace aioss::engines::fake
