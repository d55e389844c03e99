#include "cli/top_view.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <utility>
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

std::string cell_text(const Json& object, const char* name) {
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
  const std::string state = cell_text(model, "state");
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

struct Column {
  std::string_view title;
  Table::Align align;
  unsigned rank;  // the highest is the first to be left out
};
using Row = std::vector<std::string>;

// Of `columns`, those that fit; the first always stays.
std::vector<std::size_t> fitting(const std::vector<Column>& columns, const std::vector<Row>& rows,
                                 std::size_t columns_max) {
  constexpr std::size_t kGap = 2;
  std::vector<std::size_t> widths, kept;
  std::size_t total = 0;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    widths.push_back(columns[c].title.size());
    for (const Row& row : rows) widths[c] = std::max(widths[c], display_width(row[c]));
    total += widths[c] + (c == 0 ? 0 : kGap);
    kept.push_back(c);
  }
  while (columns_max > 0 && total > columns_max && kept.size() > 1) {
    const auto out = std::max_element(
        kept.begin() + 1, kept.end(),
        [&](std::size_t a, std::size_t b) { return columns[a].rank < columns[b].rank; });
    total -= widths[*out] + kGap;
    kept.erase(out);
  }
  return kept;
}

std::string fitted_table(const std::vector<Column>& columns, const std::vector<Row>& rows,
                         const TopFrame& frame) {
  const std::vector<std::size_t> kept = fitting(columns, rows, frame.columns_max);
  std::vector<Table::Column> shown;
  for (const std::size_t c : kept)
    shown.push_back({std::string(columns[c].title), columns[c].align});
  Table table(std::move(shown));
  for (const Row& row : rows) {
    Row cells;
    for (const std::size_t c : kept) cells.push_back(row[c]);
    table.add(std::move(cells));
  }
  return table.render(frame.columns_max, frame.color);
}

std::size_t less(std::size_t from, std::size_t what) {
  return from - std::min(from, what);
}

// Of so many rows, those to show on so many lines: the last line may have to say how many there
// are.
std::size_t rows_shown(std::size_t rows, std::size_t lines) {
  return rows <= lines ? rows : less(lines, 1);
}

std::string clipped_line(const std::string& text, const TopFrame& frame) {
  return (frame.columns_max > 0 ? clip(text, frame.columns_max) : text) + "\n";
}

std::string and_more(std::size_t count, const TopFrame& frame) {
  return count == 0 ? "" : clipped_line("… and " + std::to_string(count) + " more", frame);
}

std::string model_table(const Json& page, const TopFrame& frame, std::size_t lines) {
  using enum Table::Align;
  static const std::vector<Column> kColumns{
      {"MODEL", kLeft, 0},     {"STATE", kLeft, 5},    {"ENGINE", kLeft, 11},
      {"STREAMS", kRight, 8},  {"RUNNING", kRight, 1}, {"QUEUE", kRight, 3},
      {"BATCH", kRight, 6},    {"PARKED", kRight, 9},  {"SPILLED", kRight, 10},
      {"TOKENS/S", kRight, 2}, {"MEMORY", kRight, 7},  {"WAIT", kRight, 4}};
  const std::vector<Json>& models = list(page, "models");
  const std::size_t shown = rows_shown(models.size(), less(lines, 1));
  std::vector<Row> rows;
  for (std::size_t i = 0; i < shown; ++i) {
    const Json& model = models[i];
    const Json& waiting = member(model, "waiting");
    rows.push_back(
        {cell_text(model, "model"), state_of(model), cell_text(model, "engine"),
         nothing_if_zero(number(model, "streams")), nothing_if_zero(number(model, "running")),
         nothing_if_zero(number(waiting, "interactive") + number(waiting, "load")),
         nothing_if_zero(number(waiting, "batch")), nothing_if_zero(number(model, "parked")),
         spilled(model), one_decimal(decimal(model, "tokens_per_second")),
         human_bytes(number(model, "memory_bytes")), wait_of(model)});
  }
  return fitted_table(kColumns, rows, frame) + and_more(models.size() - shown, frame);
}

std::string tenant_table(const Json& page, const TopFrame& frame, std::size_t lines) {
  using enum Table::Align;
  static const std::vector<Column> kColumns{{"TENANT", kLeft, 0},
                                            {"MODEL", kLeft, 4},
                                            {"RUNNING", kRight, 1},
                                            {"QUEUE", kRight, 2},
                                            {"TOKENS", kRight, 3}};
  constexpr std::size_t kAround = 2;  // an empty line and the titles
  std::size_t total = 0;
  for (const Json& model : list(page, "models")) total += list(model, "tenants").size();
  const std::size_t shown = rows_shown(total, std::min(less(lines, kAround), kTenantsShown + 1));
  if (shown == 0) return "";
  std::vector<Row> rows;
  for (const Json& model : list(page, "models")) {
    for (const Json& tenant : list(model, "tenants")) {
      if (rows.size() == shown) break;
      rows.push_back({cell_text(tenant, "tenant"), cell_text(model, "model"),
                      nothing_if_zero(number(tenant, "running")),
                      nothing_if_zero(number(tenant, "waiting")),
                      human_count(number(tenant, "tokens"))});
    }
  }
  return "\n" + fitted_table(kColumns, rows, frame) + and_more(total - shown, frame);
}

// What follows the headline, on so many lines.
std::string tables(const Json& page, const TopFrame& frame, std::size_t lines) {
  if (list(page, "models").empty()) return clipped_line("No model is loaded.", frame);
  const std::string models = model_table(page, frame, lines);
  const auto used = static_cast<std::size_t>(std::count(models.begin(), models.end(), '\n'));
  return models + tenant_table(page, frame, less(lines, used));
}

// The first lines, on a terminal that is too small even for what is always there.
std::string cut(const std::string& text, std::size_t lines) {
  std::size_t end = 0;
  for (std::size_t i = 0; i < lines && end < text.size(); ++i) end = text.find('\n', end) + 1;
  return text.substr(0, end);
}

Result<Json> parse_page(std::string_view page, const std::string& place) {
  AIOSS_TRY(Json json, codec::parse_json(page));
  if (member(json, "object") == "queue" && member(json, "models").is_array()) return json;
  return Error{Code::kCorrupt, "what the server answers is not the state of its queues; is " +
                                   place + " an aioss of this version?"};
}

}  // namespace

Result<std::string> top_frame(std::string_view page, const TopFrame& frame) {
  AIOSS_TRY(const Json json, parse_page(page, frame.place));
  const std::size_t lines_max = frame.rows_max == 0 ? SIZE_MAX : frame.rows_max;
  const std::size_t around = frame.note.empty() ? 2 : 4;  // the headline, the note, empty lines
  std::string out = headline(json, frame) + "\n" + tables(json, frame, less(lines_max, around));
  if (!frame.note.empty()) out += "\n" + paint(frame.note, Color::kYellow, frame.color) + "\n";
  return cut(out, lines_max);
}

Result<std::string> top_json(std::string_view page, const std::string& place) {
  AIOSS_TRY(const Json json, parse_page(page, place));
  return codec::dump_json(json) + "\n";
}

}  // namespace aioss::cli
