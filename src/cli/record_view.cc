#include "cli/record_view.h"

#include <array>
#include <cstdio>

#include "cli/term.h"
#include "codec/hex.h"
#include "ledger/key_names.h"

namespace aioss::cli {
namespace {

using ledger::As;
using ledger::KeyName;
using ledger::RecordType;
namespace key = ledger::key;

codec::OrderedJson value_json(const codec::Value& value, As as);

codec::OrderedJson map_json(const codec::Map& map, As as) {
  codec::OrderedJson out = codec::OrderedJson::object();
  for (const auto& [number, value] : map.entries()) {
    const KeyName* name = ledger::inner_key_name(as, number);
    const std::string label = name ? std::string(name->name) : std::to_string(number);
    out[label] = value_json(value, name ? name->as : As::kPlain);
  }
  return out;
}

// The decoder bounds the depth (codec::kCborDepthMax), and so the recursion.
codec::OrderedJson value_json(const codec::Value& value, As as) {
  if (const auto* number = value.if_uint()) {
    if (as == As::kFloat) return codec::float_from_bits(*number);
    return *number;
  }
  if (const auto* text = value.if_text()) return *text;
  if (const auto* bytes = value.if_bytes()) return codec::to_hex(*bytes);
  if (const auto* flag = value.if_bool()) return *flag;
  if (const auto* map = value.if_map()) return map_json(*map, as);
  if (const auto* array = value.if_array()) {
    codec::OrderedJson out = codec::OrderedJson::array();
    for (const codec::Value& item : *array) out.push_back(value_json(item, as));
    return out;
  }
  return std::get<std::int64_t>(value.storage());
}

struct FieldView {
  std::string label;
  codec::OrderedJson value;
  bool in_line = false;
};

std::vector<FieldView> fields_of(const ledger::Record& record) {
  std::vector<FieldView> fields;
  for (const auto& [number, value] : record.body.entries()) {
    const KeyName* name = ledger::key_name(record.type, number);
    fields.push_back({name ? std::string(name->name) : std::to_string(number),
                      value_json(value, name ? name->as : As::kPlain), name && name->in_line});
  }
  return fields;
}

std::string shown(const codec::OrderedJson& value) {
  const auto* text = value.get_ptr<const codec::OrderedJson::string_t*>();
  return safe_text(text ? *text : codec::dump_json(value), false);
}

std::int64_t wall_ns(const ledger::Record& record) {
  const codec::Value* value = record.body.find(key::kWallNs);
  const std::uint64_t* number = value ? value->if_uint() : nullptr;
  return number ? static_cast<std::int64_t>(*number) : 0;
}

constexpr std::int64_t kNsPerS = 1'000'000'000;

}  // namespace

std::string record_type_name(RecordType type) {
  if (const auto known = ledger::name(type)) return std::string(*known);
  return "type " + std::to_string(static_cast<unsigned>(type));
}

codec::OrderedJson record_json(const ledger::Record& record) {
  codec::OrderedJson out;
  out["index"] = record.index;
  out["type"] = record_type_name(record.type);
  out["flags"] = record.flags;
  out["leaf"] = codec::to_hex(record.leaf);
  out["chain"] = codec::to_hex(record.chain);
  codec::OrderedJson body = codec::OrderedJson::object();
  for (FieldView& field : fields_of(record)) body[field.label] = std::move(field.value);
  out["body"] = std::move(body);
  return out;
}

std::string record_line(const ledger::Record& record, bool color) {
  std::array<char, 24> index{};
  std::snprintf(index.data(), index.size(), "%8llu", static_cast<unsigned long long>(record.index));
  std::string type = record_type_name(record.type);
  constexpr std::size_t kTypeColumns = 14;
  if (type.size() < kTypeColumns) type.resize(kTypeColumns, ' ');
  std::string out = std::string(index.data()) + "  " +
                    paint(utc_time(wall_ns(record) / kNsPerS), Color::kDim, color) + "  " +
                    paint(type, Color::kBold, color);
  for (const FieldView& field : fields_of(record)) {
    if (!field.in_line) continue;
    out += "  " + paint(field.label + "=", Color::kDim, color) + shown(field.value);
  }
  return out + "\n";
}

std::string record_text(const ledger::Record& record, bool color) {
  std::vector<std::pair<std::string, std::string>> rows{
      {"index", std::to_string(record.index)},       {"type", record_type_name(record.type)},
      {"time", utc_time(wall_ns(record) / kNsPerS)}, {"leaf", codec::to_hex(record.leaf)},
      {"chain", codec::to_hex(record.chain)},
  };
  for (const FieldView& field : fields_of(record)) {
    rows.emplace_back(field.label, shown(field.value));
  }
  std::size_t width = 0;
  for (const auto& row : rows) width = std::max(width, row.first.size());
  std::string out;
  for (const auto& [label, value] : rows) {
    out += paint(label, Color::kDim, color);
    out.append(width + 2 - label.size(), ' ');
    out += value + "\n";
  }
  return out;
}

}  // namespace aioss::cli
