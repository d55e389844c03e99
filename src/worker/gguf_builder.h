// Test-only: writes GGUF files by hand, right or wrong in any field.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "os/file.h"

namespace aioss::worker::gguf {

// The largest piece of memory that this thread has asked for since it was last set to 0.
std::size_t& largest_allocation();

class Builder {
 public:
  std::string bytes;

  template <typename T>
  Builder& number(T value) {
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    bytes.append(raw, sizeof value);
    return *this;
  }
  Builder& text(std::string_view value) {
    number<std::uint64_t>(value.size());
    bytes += value;
    return *this;
  }
  Builder& start(std::uint64_t tensors, std::uint64_t metadata, std::uint32_t version = 3) {
    bytes += "GGUF";
    return number(version).number(tensors).number(metadata);
  }
  Builder& entry(std::string_view key, std::string_view value) {
    return text(key).template number<std::uint32_t>(8).text(value);
  }
  Builder& entry(std::string_view key, std::uint32_t value) {
    return text(key).template number<std::uint32_t>(4).number(value);
  }
  Builder& tensor(std::string_view name, std::vector<std::uint64_t> dimensions, std::uint32_t type,
                  std::uint64_t offset) {
    text(name).number(static_cast<std::uint32_t>(dimensions.size()));
    for (const std::uint64_t size : dimensions) number(size);
    return number(type).number(offset);
  }
  Builder& align(std::size_t alignment) {
    bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  Builder& data(std::size_t size) {
    bytes.append(size, '\x5A');
    return *this;
  }
  os::Fd file() const {
    os::Fd fd(::memfd_create("gguf", MFD_CLOEXEC));
    std::size_t at = 0;
    while (at < bytes.size()) {
      const ssize_t written = ::write(fd.get(), bytes.data() + at, bytes.size() - at);
      if (written <= 0) break;
      at += static_cast<std::size_t>(written);
    }
    return fd;
  }
};

// A small file with every kind of metadata and three tensors.
inline Builder small_model() {
  Builder b;
  b.start(3, 13).entry("general.architecture", "llama").entry("general.name", "Tiny");
  b.entry("llama.context_length", 2048U).entry("llama.embedding_length", 64U);
  b.entry("llama.block_count", 2U).entry("llama.attention.head_count", 4U);
  b.entry("llama.attention.head_count_kv", 2U).entry("general.alignment", 64U);
  b.entry("tokenizer.ggml.model", "gpt2").entry("tokenizer.chat_template", "{{ messages }}");
  b.text("tokenizer.ggml.tokens").number<std::uint32_t>(9).number<std::uint32_t>(8);
  b.number<std::uint64_t>(3).text("a").text("b").text("");
  b.text("some.floats").number<std::uint32_t>(9).number<std::uint32_t>(6);
  b.number<std::uint64_t>(2).number(1.0F).number(2.0F);
  b.text("some.flag").number<std::uint32_t>(7).number<std::uint8_t>(1);
  b.tensor("token_embd.weight", {64, 3}, 1, 0);  // F16: 384 bytes
  b.tensor("blk.0.weight", {256, 2}, 12, 384);   // Q4_K: 288 bytes
  b.tensor("output_norm.weight", {64}, 0, 704);  // F32: 256 bytes
  return b.align(64).data(704 + 256);
}

}  // namespace aioss::worker::gguf
