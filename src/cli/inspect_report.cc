#include "cli/inspect_report.h"

#include <array>
#include <cmath>
#include <cstdio>

#include "base/strings.h"
#include "cli/term.h"
#include "codec/json.h"

namespace aioss::cli {
namespace {

using codec::Json;
using codec::OrderedJson;

constexpr std::size_t kErrorBytesMax = 500;

Error unexpected(std::string_view key) {
  return {Code::kCorrupt, "the inspecting process gave an unexpected '" + std::string(key) +
                              "'; do not use this file"};
}

// Reads fields and remembers the first that is not what it must be.
class Reader {
 public:
  explicit Reader(const Json& object) : object_(object) {}

  void read(std::string_view key, std::uint64_t& out) {
    std::optional<std::uint64_t> value;
    read(key, value);
    if (!value) return fail(key);
    out = *value;
  }
  void read(std::string_view key, std::optional<std::uint64_t>& out) {
    const Json* field = find(key);
    if (field == nullptr) return;
    const auto* number = field->get_ptr<const Json::number_unsigned_t*>();
    if (number == nullptr) return fail(key);
    out = *number;
  }
  void read(std::string_view key, std::optional<std::string>& out) {
    const Json* field = find(key);
    if (field == nullptr) return;
    const auto* text = field->get_ptr<const Json::string_t*>();
    if (text == nullptr) return fail(key);
    out = *text;
  }
  void read(std::string_view key, std::optional<double>& out) {
    const Json* field = find(key);
    if (field == nullptr) return;
    if (!field->is_number()) return fail(key);
    const auto value = field->get<double>();
    if (!std::isfinite(value) || value < 0) return fail(key);
    out = value;
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  const Json* find(std::string_view key) const {  // nullptr if absent or null
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  void fail(std::string_view key) {
    if (!error_) error_ = unexpected(key);
  }

  const Json& object_;
  std::optional<Error> error_;
};

Error child_error(const Json& error) {
  const auto text = [&](const char* key) -> std::string {
    if (!error.is_object()) return "";
    const auto found = error.find(key);
    if (found == error.end() || !found->is_string()) return "";
    return found->get<std::string>();
  };
  // The child decides between these, and nothing else.
  const Code code = code_from_name(text("code")).value_or(Code::kModelCorrupt);
  const bool plausible = code == Code::kModelCorrupt || code == Code::kIo ||
                         code == Code::kNoMemory || code == Code::kUnsupported;
  const std::string message = one_line(text("message"));
  return {plausible ? code : Code::kModelCorrupt,
          message.empty() ? "the file cannot be read" : message.substr(0, kErrorBytesMax)};
}

Result<std::vector<InspectReport::TypeSum>> parse_types(const Json& object) {
  std::vector<InspectReport::TypeSum> out;
  const auto found = object.find("quantization");
  if (found == object.end() || !found->is_array() || found->size() > kInspectTypesMax) {
    return unexpected("quantization");
  }
  for (const Json& item : *found) {
    if (!item.is_object()) return unexpected("quantization");
    InspectReport::TypeSum sum;
    std::optional<std::string> type;
    std::optional<double> bits;
    Reader reader(item);
    reader.read("type", type);
    reader.read("tensors", sum.tensors);
    reader.read("parameters", sum.parameters);
    reader.read("bytes", sum.bytes);
    reader.read("bits_per_weight", bits);
    if (reader.error()) return *reader.error();
    if (!type) return unexpected("quantization");
    sum.type = *type;
    sum.bits_per_weight = bits.value_or(0);
    out.push_back(std::move(sum));
  }
  return out;
}

template <typename T>
OrderedJson or_null(const std::optional<T>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

std::string two_digits(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f", value);
  return text.data();
}

}  // namespace

Result<InspectReport> parse_inspect_report(std::string_view json) {
  constexpr codec::JsonLimits kLimits{
      .bytes_max = kInspectBytesMax, .depth_max = 4, .nodes_max = 16 * kInspectTypesMax};
  const auto parsed = codec::parse_json(json, kLimits);
  if (!parsed || !parsed->is_object()) return unexpected("report");
  if (const auto error = parsed->find("error"); error != parsed->end()) return child_error(*error);
  InspectReport out;
  Reader reader(*parsed);
  reader.read("architecture", out.architecture);
  reader.read("name", out.name);
  reader.read("tokenizer", out.tokenizer);
  reader.read("chat_template", out.chat_template);
  reader.read("chat_template_sha3", out.chat_template_sha3);
  reader.read("context_length", out.context_length);
  reader.read("embedding_length", out.embedding_length);
  reader.read("layers", out.layers);
  reader.read("heads", out.heads);
  reader.read("heads_kv", out.heads_kv);
  reader.read("vocabulary_size", out.vocabulary_size);
  reader.read("parameters", out.parameters);
  reader.read("tensors", out.tensors);
  reader.read("tensor_bytes", out.tensor_bytes);
  reader.read("file_bytes", out.file_bytes);
  reader.read("gguf_version", out.gguf_version);
  reader.read("alignment", out.alignment);
  reader.read("metadata_entries", out.metadata_entries);
  reader.read("split_count", out.split_count);
  reader.read("bits_per_weight", out.bits_per_weight);
  if (reader.error()) return *reader.error();
  AIOSS_TRY(out.quantization, parse_types(*parsed));
  return out;
}

OrderedJson inspect_object(const InspectReport& report) {
  OrderedJson out;
  out["architecture"] = or_null(report.architecture);
  out["name"] = or_null(report.name);
  out["parameters"] = report.parameters;
  out["context_length"] = or_null(report.context_length);
  out["embedding_length"] = or_null(report.embedding_length);
  out["layers"] = or_null(report.layers);
  out["heads"] = or_null(report.heads);
  out["heads_kv"] = or_null(report.heads_kv);
  out["vocabulary_size"] = or_null(report.vocabulary_size);
  out["tokenizer"] = or_null(report.tokenizer);
  out["quantization"] = OrderedJson::array();
  for (const InspectReport::TypeSum& sum : report.quantization) {
    out["quantization"].push_back({{"type", sum.type},
                                   {"tensors", sum.tensors},
                                   {"parameters", sum.parameters},
                                   {"bytes", sum.bytes},
                                   {"bits_per_weight", sum.bits_per_weight}});
  }
  out["tensors"] = report.tensors;
  out["tensor_bytes"] = report.tensor_bytes;
  out["bits_per_weight"] = or_null(report.bits_per_weight);
  out["chat_template"] = or_null(report.chat_template);
  out["chat_template_sha3"] = or_null(report.chat_template_sha3);
  out["file_bytes"] = report.file_bytes;
  out["gguf_version"] = report.gguf_version;
  out["alignment"] = report.alignment;
  out["metadata_entries"] = report.metadata_entries;
  out["split_count"] = report.split_count;
  return out;
}

std::string inspect_json(const InspectReport& report) {
  return codec::dump_json(inspect_object(report)) + "\n";
}

std::string inspect_text(const InspectReport& report, std::size_t columns, bool color) {
  std::string out;
  const auto row = [&](std::string_view label, const std::optional<std::string>& value) {
    out += paint(label, Color::kDim, color);
    out.append(15 - label.size(), ' ');
    out += (value ? safe_text(*value, false) : "unknown") + "\n";
  };
  const auto number = [&](std::string_view label, const std::optional<std::uint64_t>& value) {
    row(label, value ? std::optional(std::to_string(*value)) : std::nullopt);
  };
  row("architecture", report.architecture);
  row("name", report.name);
  row("parameters",
      human_count(report.parameters) + " (" + std::to_string(report.parameters) + ")");
  number("context", report.context_length);
  number("layers", report.layers);
  number("embedding", report.embedding_length);
  row("heads", (report.heads ? std::to_string(*report.heads) : "unknown") + ", KV " +
                   (report.heads_kv ? std::to_string(*report.heads_kv) : "unknown"));
  number("vocabulary", report.vocabulary_size);
  row("tokenizer", report.tokenizer);
  row("chat template", report.chat_template
                           ? std::to_string(report.chat_template->size()) + " bytes, SHA3-256 " +
                                 report.chat_template_sha3.value_or("unknown").substr(0, 16) + "…"
                           : "none: completions only");
  row("size",
      human_bytes(report.file_bytes) + " (" + std::to_string(report.file_bytes) + " bytes)");
  row("weights", human_bytes(report.tensor_bytes) + " in " + std::to_string(report.tensors) +
                     " tensors, " + two_digits(report.bits_per_weight.value_or(0)) +
                     " bits a parameter");
  row("format", "GGUF " + std::to_string(report.gguf_version) + ", " +
                    std::to_string(report.metadata_entries) + " metadata entries, alignment " +
                    std::to_string(report.alignment));
  if (report.split_count > 1) {
    row("parts",
        "one of " + std::to_string(report.split_count) + "; the others are not counted here");
  }
  Table table({{"TYPE"},
               {"TENSORS", Table::Align::kRight},
               {"PARAMETERS", Table::Align::kRight},
               {"SIZE", Table::Align::kRight},
               {"BITS", Table::Align::kRight}});
  for (const InspectReport::TypeSum& sum : report.quantization) {
    table.add({sum.type, std::to_string(sum.tensors), human_count(sum.parameters),
               human_bytes(sum.bytes), two_digits(sum.bits_per_weight)});
  }
  return out + "\n" + table.render(columns, color);
}

}  // namespace aioss::cli
