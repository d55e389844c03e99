#include "cli/top_view.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "base/strings.h"
#include "cli/term.h"
#include "codec/json.h"

namespace aioss::cli {
namespace {

using codec::Json;

constexpr std::size_t kTenantsShown = 12;
constexpr std::size_t kNameColumns = 32;

const Json& member(const Json& object, const char* name) {
  static const Json kNothing;
  const auto found = object.is_object() ? object.find(name) : object.end();
  return object.is_object() && found != object.end() ? *found : kNothing;
}

std::uint64_t number(const Json& object, const char* name) {
  const Json& value = member(object, name);
  return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
}

double decimal(const Json& object, const char* name) {
  const Json& value = member(object, name);
  const double read = value.is_number() ? value.get<double>() : 0;
  return std::isfinite(read) ? read : 0;
}

std::string text(const Json& object, const char* name) {
  const Json& value = member(object, name);
  return value.is_string()
             ? clip(safe_text(value.get_ref<const std::string&>(), false), kNameColumns)
             : "";
}

std::string one_decimal(double value) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.1f", value);
  return digits;
}

std::string nothing_if_zero(std::uint64_t count) {
  return count == 0 ? "-" : std::to_string(count);
}

std::string spilled(const Json& model) {
  const std::uint64_t count = number(model, "spilled");
  if (count == 0) return "-";
  return std::to_string(count) + " (" + human_bytes(number(model, "spilled_bytes")) + ")";
}

std::string wait_of(const Json& model) {
  if (!member(model, "estimate_seconds").is_number_unsigned()) return "-";
  return std::to_string(number(model, "estimate_seconds")) + " s";
}

std::string state_of(const Json& model) {
  const std::string state = text(model, "state");
  if (state != "loading") return state;
  const double percent = std::clamp(decimal(model, "load_fraction"), 0.0, 1.0) * 100;
  return state + " " + std::to_string(std::lround(percent)) + " %";
}

const std::vector<Json>& list(const Json& object, const char* name) {
  static const std::vector<Json> kNone;
  const Json& value = member(object, name);
  return value.is_array() ? value.get_ref<const Json::array_t&>() : kNone;
}

struct Totals {
  std::uint64_t models = 0, running = 0, waiting = 0, memory = 0;
  double speed = 0;
};

Totals totals_of(const Json& page) {
  Totals totals;
  for (const Json& model : list(page, "models")) {
    const Json& waiting = member(model, "waiting");
    ++totals.models;
    totals.running += number(model, "running");
    totals.waiting +=
        number(waiting, "interactive") + number(waiting, "batch") + number(waiting, "load");
    totals.memory += number(model, "memory_bytes");
    totals.speed += decimal(model, "tokens_per_second");
  }
  return totals;
}

std::string headline(const Json& page, const TopFrame& frame) {
  const Totals totals = totals_of(page);
  const std::string line =
      "aioss  " + safe_text(frame.place, false) + "  " + frame.time + "  " +
      std::to_string(totals.models) + (totals.models == 1 ? " model, " : " models, ") +
      std::to_string(totals.running) + " running, " + std::to_string(totals.waiting) +
      " waiting, " + one_decimal(totals.speed) + " tokens/s, " + human_bytes(totals.memory);
  const std::string shown = frame.columns_max > 0 ? clip(line, frame.columns_max) : line;
  return paint(shown, Color::kBold, frame.color) + "\n";
}

std::string model_table(const Json& page, const TopFrame& frame) {
  using enum Table::Align;
  Table table({{"MODEL"},
               {"STATE"},
               {"STREAMS", kRight},
               {"RUNNING", kRight},
               {"QUEUE", kRight},
               {"BATCH", kRight},
               {"PARKED", kRight},
               {"SPILLED", kRight},
               {"TOKENS/S", kRight},
               {"MEMORY", kRight},
               {"WAIT", kRight}});
  for (const Json& model : list(page, "models")) {
    const Json& waiting = member(model, "waiting");
    table.add({text(model, "model"), state_of(model), nothing_if_zero(number(model, "streams")),
               nothing_if_zero(number(model, "running")),
               nothing_if_zero(number(waiting, "interactive") + number(waiting, "load")),
               nothing_if_zero(number(waiting, "batch")), nothing_if_zero(number(model, "parked")),
               spilled(model), one_decimal(decimal(model, "tokens_per_second")),
               human_bytes(number(model, "memory_bytes")), wait_of(model)});
  }
  return table.render(frame.columns_max, frame.color);
}

std::string tenant_table(const Json& page, const TopFrame& frame) {
  using enum Table::Align;
  Table table({{"TENANT"}, {"MODEL"}, {"RUNNING", kRight}, {"QUEUE", kRight}, {"TOKENS", kRight}});
  std::size_t shown = 0;
  for (const Json& model : list(page, "models")) {
    for (const Json& tenant : list(model, "tenants")) {
      if (shown++ >= kTenantsShown) continue;
      table.add(
          {text(tenant, "tenant"), text(model, "model"), nothing_if_zero(number(tenant, "running")),
           nothing_if_zero(number(tenant, "waiting")), human_count(number(tenant, "tokens"))});
    }
  }
  if (shown == 0) return "";
  std::string out = "\n" + table.render(frame.columns_max, frame.color);
  if (shown > kTenantsShown) out += "… and " + std::to_string(shown - kTenantsShown) + " more\n";
  return out;
}

}  // namespace

Result<std::string> top_frame(std::string_view page, const TopFrame& frame) {
  AIOSS_TRY(const Json json, codec::parse_json(page));
  if (member(json, "object") != "queue" || !member(json, "models").is_array()) {
    return Error{Code::kCorrupt, "what the server answers is not the state of its queues; is " +
                                     frame.place + " an aioss of this version?"};
  }
  std::string out = headline(json, frame) + "\n";
  if (list(json, "models").empty()) {
    out += "No model is loaded.\n";
  } else {
    out += model_table(json, frame) + tenant_table(json, frame);
  }
  if (!frame.note.empty()) out += "\n" + paint(frame.note, Color::kYellow, frame.color) + "\n";
  return out;
}

}  // namespace aioss::cli
