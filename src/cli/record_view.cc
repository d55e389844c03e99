#include "cli/record_view.h"

#include <array>
#include <cstdio>

#include "base/clock.h"
#include "cli/term.h"
#include "codec/hex.h"

namespace aioss::cli {
namespace {

namespace key = ledger::key;

std::string shown(const codec::OrderedJson& value) {
  const auto* text = value.get_ptr<const codec::OrderedJson::string_t*>();
  return safe_text(text ? *text : codec::dump_json(value), false);
}

std::int64_t wall_ns(const ledger::Record& record) {
  const codec::Value* value = record.body.find(key::kWallNs);
  const std::uint64_t* number = value ? value->if_uint() : nullptr;
  return number ? static_cast<std::int64_t>(*number) : 0;
}

}  // namespace

std::string record_line(const ledger::Record& record, bool color) {
  std::array<char, 24> index{};
  std::snprintf(index.data(), index.size(), "%8llu", static_cast<unsigned long long>(record.index));
  std::string type = ledger::record_type_name(record.type);
  constexpr std::size_t kTypeColumns = 14;
  if (type.size() < kTypeColumns) type.resize(kTypeColumns, ' ');
  std::string out = std::string(index.data()) + "  " +
                    paint(utc_time(wall_ns(record) / kNsPerSecond), Color::kDim, color) + "  " +
                    paint(type, Color::kBold, color);
  for (const ledger::RecordField& field : ledger::record_fields(record)) {
    if (!field.in_line) continue;
    out += "  " + paint(field.label + "=", Color::kDim, color) + shown(field.value);
  }
  return out + "\n";
}

std::string record_text(const ledger::Record& record, bool color) {
  std::vector<std::pair<std::string, std::string>> rows{
      {"index", std::to_string(record.index)},
      {"type", ledger::record_type_name(record.type)},
      {"time", utc_time(wall_ns(record) / kNsPerSecond)},
      {"leaf", codec::to_hex(record.leaf)},
      {"chain", codec::to_hex(record.chain)},
  };
  for (const ledger::RecordField& field : ledger::record_fields(record)) {
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
