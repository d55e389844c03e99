#include "cli/ps_view.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "cli/term.h"
#include "codec/json.h"

namespace aioss::cli {
namespace {

using codec::Json;

struct Model {
  std::string name, state, engine, error;
  double load_fraction = 0;
  std::uint64_t memory_bytes = 0, running = 0, streams = 0, waiting = 0;
  std::optional<std::int64_t> idle_since, expires_at;
  std::optional<std::uint64_t> retry_seconds;
  bool pinned = false, unloading = false;
};

const Json& member(const Json& object, const char* name) {
  static const Json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(name);
  return found == object.end() ? kNothing : *found;
}

std::string text(const Json& value) {
  return value.is_string() ? safe_text(value.get_ref<const std::string&>(), false) : "";
}

std::optional<std::uint64_t> number(const Json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  return value.get<std::uint64_t>();
}

// A time; one that no calendar has is none.
std::optional<std::int64_t> moment(const Json& value) {
  constexpr std::uint64_t kLast = std::uint64_t{1} << 40;
  const auto seconds = number(value);
  if (!seconds || *seconds > kLast) return std::nullopt;
  return static_cast<std::int64_t>(*seconds);
}

bool is_true(const Json& value) {
  return value.is_boolean() && value.get<bool>();
}

Model model_of(const Json& object) {
  Model model;
  model.name = text(member(object, "model"));
  model.state = text(member(object, "state"));
  model.engine = text(member(object, "engine"));
  model.error = text(member(object, "error"));
  const Json& fraction = member(object, "load_fraction");
  if (fraction.is_number()) model.load_fraction = std::clamp(fraction.get<double>(), 0.0, 1.0);
  model.memory_bytes = number(member(object, "memory_bytes")).value_or(0);
  model.running = number(member(object, "running")).value_or(0);
  model.streams = number(member(object, "streams")).value_or(0);
  for (const char* kind : {"interactive", "batch", "load"}) {
    model.waiting += number(member(member(object, "waiting"), kind)).value_or(0);
  }
  model.idle_since = moment(member(object, "idle_since"));
  model.expires_at = moment(member(object, "expires_at"));
  model.retry_seconds = number(member(object, "retry_seconds"));
  model.pinned = is_true(member(object, "pinned"));
  model.unloading = is_true(member(object, "unloading"));
  return model;
}

Result<std::vector<Model>> models_of(std::string_view page, const PsLook& look) {
  const auto json = codec::parse_json(page);
  if (!json || !member(*json, "models").is_array()) {
    return Error{Code::kCorrupt, "what answers at " + look.place + " is no aioss server"};
  }
  std::vector<Model> models;
  for (const Json& object : (*json)["models"]) models.push_back(model_of(object));
  return models;
}

std::string state_of(const Model& model) {
  if (model.state == "loading") {
    return "loading " + std::to_string(std::lround(100 * model.load_fraction)) + " %";
  }
  return model.unloading ? "ready, to unload" : model.state;
}

std::string idle_of(const Model& model, std::int64_t now) {
  if (!model.idle_since) return "-";
  return human_seconds(static_cast<double>(std::max<std::int64_t>(now - *model.idle_since, 0)));
}

std::string expiry_of(const Model& model, std::int64_t now) {
  if (model.state != "ready" && model.state != "warm") return "-";
  if (model.pinned) return "pinned";
  if (!model.expires_at) return model.idle_since ? "never" : "-";
  return "in " +
         human_seconds(static_cast<double>(std::max<std::int64_t>(*model.expires_at - now, 0)));
}

std::string note_of(const Model& model) {
  if (!model.retry_seconds) return model.error;
  return "again in " + std::to_string(*model.retry_seconds) + " s: " + model.error;
}

}  // namespace

Result<std::string> ps_table(std::string_view page, const PsLook& look) {
  AIOSS_TRY(const std::vector<Model> models, models_of(page, look));
  constexpr auto kRight = Table::Align::kRight;
  Table table({{"NAME"},
               {"STATE"},
               {"ENGINE"},
               {"MEMORY", kRight},
               {"RUNNING", kRight},
               {"WAITING", kRight},
               {"IDLE", kRight},
               {"EXPIRES", kRight},
               {"NOTE"}});
  for (const Model& model : models) {
    const bool loaded = model.streams > 0;
    table.add({model.name, state_of(model), model.engine.empty() ? "-" : model.engine,
               model.memory_bytes > 0 ? human_bytes(model.memory_bytes) : "-",
               loaded ? std::to_string(model.running) + "/" + std::to_string(model.streams) : "-",
               std::to_string(model.waiting), idle_of(model, look.now_unix_s),
               expiry_of(model, look.now_unix_s), note_of(model)});
  }
  return table.render(look.columns_max, look.color);
}

Result<std::string> ps_json(std::string_view page, const PsLook& look) {
  AIOSS_TRY(const std::vector<Model> models, models_of(page, look));
  codec::OrderedJson list = codec::OrderedJson::array();
  for (const Model& model : models) {
    codec::OrderedJson one;
    one["name"] = model.name;
    one["state"] = model.state;
    if (model.state == "loading") one["load_fraction"] = model.load_fraction;
    one["memory_bytes"] = model.memory_bytes;
    one["running"] = model.running;
    one["streams"] = model.streams;
    one["waiting"] = model.waiting;
    one["pinned"] = model.pinned;
    one["unloading"] = model.unloading;
    if (model.idle_since) one["idle_since"] = *model.idle_since;
    if (model.expires_at) one["expires_at"] = *model.expires_at;
    if (!model.engine.empty()) one["engine"] = model.engine;
    if (!model.error.empty()) one["error"] = model.error;
    if (model.retry_seconds) one["retry_seconds"] = *model.retry_seconds;
    list.push_back(std::move(one));
  }
  codec::OrderedJson out;
  out["models"] = std::move(list);
  return codec::dump_json(out) + "\n";
}

}  // namespace aioss::cli
