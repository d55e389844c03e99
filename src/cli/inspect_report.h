// What the confined child of `aioss inspect` says, checked like a request from the network: the
// child has parsed an untrusted file. Values and pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "codec/json.h"

namespace aioss::cli {

// A chat template of 16 MiB (the reader's bound) escaped at worst, and the numbers.
inline constexpr std::size_t kInspectBytesMax = 128U << 20;
inline constexpr std::size_t kInspectTypesMax = 256;  // llama.cpp knows about 40 tensor types

struct InspectReport {
  struct TypeSum {
    std::string type;
    std::uint64_t tensors = 0, parameters = 0, bytes = 0;
    double bits_per_weight = 0;
  };
  std::optional<std::string> architecture, name, tokenizer, chat_template, chat_template_sha3;
  std::optional<std::uint64_t> context_length, embedding_length, layers, heads, heads_kv,
      vocabulary_size;
  std::uint64_t parameters = 0, tensors = 0, tensor_bytes = 0, file_bytes = 0, gguf_version = 0,
                alignment = 0, metadata_entries = 0, split_count = 1;
  std::optional<double> bits_per_weight;
  std::vector<TypeSum> quantization;
};

// The child's own error comes back as that error; anything unexpected is kCorrupt.
Result<InspectReport> parse_inspect_report(std::string_view json);

codec::OrderedJson inspect_object(const InspectReport& report);
std::string inspect_json(const InspectReport& report);
std::string inspect_text(const InspectReport& report, std::size_t columns, bool color);

}  // namespace aioss::cli
