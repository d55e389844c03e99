// Test-only: small LoRA adapters for SmolLM2 135M, right or wrong in any field. Values come from a
// fixed generator and are large enough to change what the model says.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "os/file.h"

namespace aioss::engines::llama {

struct TestTensor {
  std::string name;
  std::vector<std::uint64_t> dimensions;
  std::uint32_t type = 0;  // F32
};

struct TestAdapter {
  std::string general_type = "adapter";
  std::string architecture = "llama";
  std::string adapter_type = "lora";
  float alpha = 16.0F;
  bool alpha_is_text = false;
  bool activated = false;       // aLoRA
  std::uint64_t cut_bytes = 0;  // off the end
  float amplitude = 0.05F;
  std::uint32_t seed = 1;
  std::vector<TestTensor> tensors = pairs_of(8);

  // Queries and the down projections of four layers.
  static std::vector<TestTensor> pairs_of(std::uint64_t rank) {
    std::vector<TestTensor> out;
    for (const int layer : {0, 7, 15, 29}) {
      const std::string block = "blk." + std::to_string(layer);
      out.push_back({block + ".attn_q.weight.lora_a", {576, rank}});
      out.push_back({block + ".attn_q.weight.lora_b", {rank, 576}});
      out.push_back({block + ".ffn_down.weight.lora_a", {1536, rank}});
      out.push_back({block + ".ffn_down.weight.lora_b", {rank, 576}});
    }
    return out;
  }

  os::Fd file() const {
    std::string out = "GGUF";
    append(out, std::uint32_t{3});
    append(out, std::uint64_t{tensors.size()});
    append(out, std::uint64_t{activated ? 5U : 4U});
    add_text(out, "general.type", general_type);
    add_text(out, "general.architecture", architecture);
    add_text(out, "adapter.type", adapter_type);
    if (alpha_is_text) {
      add_text(out, "adapter.lora.alpha", "16");
    } else {
      add_key(out, "adapter.lora.alpha", 6);
      append(out, alpha);
    }
    if (activated) {
      add_key(out, "adapter.alora.invocation_tokens", 9);
      append(out, std::uint32_t{4});
      append(out, std::uint64_t{1});
      append(out, std::uint32_t{7});
    }
    std::uint64_t offset = 0;
    std::vector<std::uint64_t> sizes;
    for (const TestTensor& tensor : tensors) {
      append(out, std::uint64_t{tensor.name.size()});
      out += tensor.name;
      append(out, static_cast<std::uint32_t>(tensor.dimensions.size()));
      std::uint64_t elements = 1;
      for (const std::uint64_t size : tensor.dimensions) {
        append(out, size);
        elements *= size;
      }
      append(out, tensor.type);
      append(out, offset);
      sizes.push_back(elements);
      offset += (elements * sizeof(float) + kAlignment - 1) / kAlignment * kAlignment;
    }
    pad(out);
    std::uint32_t state = seed;
    for (const std::uint64_t elements : sizes) {
      for (std::uint64_t i = 0; i < elements; ++i) {
        state = state * 1664525U + 1013904223U;
        append(out, amplitude * (static_cast<float>(state >> 8) / 8388608.0F - 1.0F));
      }
      pad(out);
    }
    out.resize(out.size() - cut_bytes);
    os::Fd fd(::memfd_create("adapter", MFD_CLOEXEC));
    EXPECT_EQ(::write(fd.get(), out.data(), out.size()), static_cast<ssize_t>(out.size()));
    return fd;
  }

 private:
  static constexpr std::size_t kAlignment = 32;

  template <typename T>
  static void append(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  static void pad(std::string& out) {
    out.resize((out.size() + kAlignment - 1) / kAlignment * kAlignment);
  }
  static void add_key(std::string& out, std::string_view key, std::uint32_t type) {
    append(out, std::uint64_t{key.size()});
    out += key;
    append(out, type);
  }
  static void add_text(std::string& out, std::string_view key, std::string_view value) {
    add_key(out, key, 8);
    append(out, std::uint64_t{value.size()});
    out += value;
  }
};

}  // namespace aioss::engines::llama
