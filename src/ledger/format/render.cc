#include "ledger/format/render.h"

#include <array>
#include <cstdio>
#include <utility>

#include "base/clock.h"
#include "codec/hex.h"
#include "ledger/format/key_names.h"

namespace aioss::ledger {
namespace {

codec::OrderedJson value_json(const codec::Value& value, As as);

codec::OrderedJson map_json(const codec::Map& map, As as) {
  codec::OrderedJson out = codec::OrderedJson::object();
  for (const auto& [number, value] : map.entries()) {
    const KeyName* name = inner_key_name(as, number);
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

}  // namespace

std::vector<RecordField> record_fields(const Record& record) {
  std::vector<RecordField> fields;
  for (const auto& [number, value] : record.body.entries()) {
    const KeyName* name = key_name(record.type, number);
    fields.push_back({number, name ? std::string(name->name) : std::to_string(number),
                      value_json(value, name ? name->as : As::kPlain), name && name->in_line});
  }
  return fields;
}

std::string count_of_records(std::uint64_t count) {
  return std::to_string(count) + (count == 1 ? " record" : " records");
}

std::string record_type_name(RecordType type) {
  if (const auto known = name(type)) return std::string(*known);
  return "type " + std::to_string(static_cast<unsigned>(type));
}

codec::OrderedJson record_json(const Record& record) {
  codec::OrderedJson out;
  out["index"] = record.index;
  out["type"] = record_type_name(record.type);
  out["flags"] = record.flags;
  out["leaf"] = codec::to_hex(record.leaf);
  out["chain"] = codec::to_hex(record.chain);
  codec::OrderedJson body = codec::OrderedJson::object();
  for (RecordField& field : record_fields(record)) body[field.label] = std::move(field.value);
  out["body"] = std::move(body);
  return out;
}

std::string record_json_line(const Record& record) {
  return codec::dump_json(record_json(record)) + "\n";
}

namespace {

// RFC 3339 with nanoseconds, "2026-03-01T12:30:05.000000001Z"; "" before 1970 and after 9999.
std::string exact_time(std::uint64_t wall_ns) {
  constexpr auto kSecond = static_cast<std::uint64_t>(kNsPerSecond);
  const std::uint64_t seconds = wall_ns / kSecond;
  const std::uint64_t days = seconds / 86'400;
  // The civil calendar of a day count, in eras of 400 years that begin on 1 March.
  const std::uint64_t shifted = days + 719'468;
  const std::uint64_t era = shifted / 146'097;
  const std::uint64_t day_of_era = shifted % 146'097;
  const std::uint64_t year_of_era =
      (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const std::uint64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::uint64_t month_from_march = (5 * day_of_year + 2) / 153;
  const std::uint64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  const std::uint64_t year = era * 400 + year_of_era + (month <= 2 ? 1 : 0);
  if (year > 9'999) return "";
  const std::uint64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%04u-%02u-%02uT%02u:%02u:%02u.%09uZ",
                static_cast<unsigned>(year), static_cast<unsigned>(month),
                static_cast<unsigned>(day), static_cast<unsigned>(seconds / 3'600 % 24),
                static_cast<unsigned>(seconds / 60 % 60), static_cast<unsigned>(seconds % 60),
                static_cast<unsigned>(wall_ns % kSecond));
  return text.data();
}

// RFC 4180: quotes around what needs them, doubled inside. A spreadsheet takes a cell that begins
// with one of =+-@ for a formula; texts of records come from outside.
std::string csv_cell(const std::string& text) {
  const bool formula =
      !text.empty() && std::string_view("=+-@\t\r").find(text[0]) != std::string_view::npos;
  if (!formula && text.find_first_of("\",\r\n") == std::string::npos) return text;
  std::string out = formula ? "\"'" : "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

std::string text_at(const codec::Map& map, std::uint64_t key) {
  const codec::Value* const value = map.find(key);
  if (value == nullptr) return "";
  if (const auto* text = value->if_text()) return csv_cell(*text);
  if (const auto* number = value->if_uint()) return std::to_string(*number);
  return csv_cell(codec::dump_json(value_json(*value, As::kPlain)));
}

}  // namespace

std::string csv_head() {
  return "index,time,type,tenant,actor,source,request_id,ref,leaf,details\r\n";
}

std::string record_csv_line(const Record& record) {
  const codec::Value* const actor_value = record.body.find(key::kActor);
  const codec::Map* const actor_map = actor_value ? actor_value->if_map() : nullptr;
  const codec::Map actor = actor_map ? *actor_map : codec::Map();
  const codec::Value* const wall = record.body.find(key::kWallNs);
  codec::OrderedJson details = codec::OrderedJson::object();
  for (RecordField& field : record_fields(record)) {
    if (field.key >= key::kOwnFirst) details[field.label] = std::move(field.value);
  }
  std::string out = std::to_string(record.index);
  const auto cell = [&out](const std::string& text) { out += ',' + text; };
  cell(wall && wall->if_uint() ? exact_time(*wall->if_uint()) : "");
  cell(record_type_name(record.type));
  cell(text_at(actor, key::actor::kTenant));
  cell(text_at(actor, key::actor::kName));
  cell(text_at(actor, key::actor::kSource));
  cell(text_at(record.body, key::kRequestId));
  cell(text_at(record.body, key::kRefIndex));
  cell(codec::to_hex(record.leaf));
  cell(csv_cell(codec::dump_json(details)));
  return out + "\r\n";
}

}  // namespace aioss::ledger
