#include "runtime/planning/planning.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/strings.h"
#include "base/suggest.h"
#include "ipc/limits.h"
#include "memory/eviction.h"
#include "memory/pool.h"
#include "runtime/catalogue/catalogue.h"
#include "runtime/catalogue/engines.h"
#include "runtime/dry_runs/device_table.h"
#include "runtime/planning/tuning_plan.h"
#include "runtime/settings/kv_types.h"

namespace aioss::runtime {
namespace {

// Each is a dry run; a model has about as many common quantizations.
constexpr std::size_t kQuantizationsTriedMax = 8;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// "q4_k_m", "iq3_xxs", "f16", "bf16", "mxfp4": as files are named, lower case.
bool names_quantization(std::string_view part) {
  for (const std::string_view prefix : {"iq", "tq", "mxfp", "bf", "fp", "q", "f"}) {
    if (part.starts_with(prefix))
      return part.size() > prefix.size() && is_digit(part[prefix.size()]);
  }
  return false;
}

Status in_range(std::string_view name, std::uint64_t value, std::uint64_t most) {
  if (value <= most) return ok();
  return Error{Code::kInvalidArgument,
               std::string(name) + " takes a whole number from 0 to " + std::to_string(most),
               std::string(name)};
}

const MemoryOfDevice* host_book(const MemoryReport& report) {
  for (const MemoryOfDevice& device : report.devices) {
    if (device.name == memory::kHost) return &device;
  }
  return nullptr;
}

bool is_loaded(const MemoryOfDevice& book, const std::string& model) {
  return std::any_of(book.models.begin(), book.models.end(), [&](const MemoryOfModel& shown) {
    return shown.model == model && shown.state == "ready";
  });
}

// Names, in the order in which they would go; none if all that may go is not enough.
std::vector<std::string> who_would_go(const MemoryOfDevice& book, const std::string& model,
                                      std::uint64_t missing) {
  std::vector<memory::Candidate> candidates;
  for (const MemoryOfModel& shown : book.models) {
    const bool runs = shown.state == "ready" || shown.state == "warm";
    if (shown.model == model || !runs || !shown.stays.empty()) continue;
    memory::Candidate one;
    one.name = shown.model;
    one.bytes = shown.holding.used();
    one.unused_ns = shown.unused_ms * kNsPerMs;
    one.restore_ns = shown.restore_ms * kNsPerMs;
    one.priority = shown.priority;
    one.is_parked = shown.state == "warm";
    one.parked_bytes = shown.parked_bytes;
    one.wake_ns = shown.wake_ms * kNsPerMs;
    candidates.push_back(std::move(one));
  }
  std::vector<std::string> names;
  for (const memory::Judged& one : memory::choose(std::move(candidates), {missing, 0}).judged) {
    if (one.goes || one.parks) names.push_back(one.candidate.name);
  }
  return names;
}

codec::OrderedJson needs_json(const memory::Needs& needs) {
  codec::OrderedJson out;
  out["weights"] = needs.weights;
  out["kv"] = needs.kv;
  out["compute"] = needs.compute;
  out["output"] = needs.output;
  out["vocabulary"] = needs.vocabulary;
  out["overhead"] = needs.overhead;
  if (needs.adapters > 0) out["adapters"] = needs.adapters;
  out["committed"] = needs.committed();
  out["prefixes_max"] = needs.prefixes;
  out["spill_max"] = needs.spill;
  return out;
}

}  // namespace

std::string_view name(ReplacementOrder order) {
  return order == ReplacementOrder::kBeside ? "beside" : "in_turn";
}

std::string base_name(std::string_view model) {
  std::string lower(model);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  const std::size_t at = lower.find_last_of(".-");
  if (at == std::string::npos || at == 0) return std::string(model);
  if (!names_quantization(std::string_view(lower).substr(at + 1))) return std::string(model);
  return std::string(model.substr(0, at));
}

// What a GGUF file is computed with can be chosen for the server; a script's for itself only.
std::optional<std::string> engine_by_operator(const CatalogueEntry& entry,
                                              const GatewayOptions& options) {
  if (entry.engine != plugins::kLlama) return entry.settings.engine;
  if (!options.engine_wish.empty()) return options.engine_wish;
  if (entry.settings.engine) return entry.settings.engine;
  if (options.engine.empty()) return std::nullopt;
  return options.engine;
}

namespace {

// What an operator says goes before what was measured.
std::string engine_name_of(const CatalogueEntry& entry, const GatewayOptions& options) {
  const auto& tuned = entry.settings.tuned;
  return engine_by_operator(entry, options).value_or(tuned ? tuned->engine : entry.engine);
}

// Of what was measured; what an operator says goes before it.
void take_knobs(const ipc::Knobs& knobs, PlanWanted& wanted) {
  if (wanted.threads == 0) wanted.threads = knobs.threads;
  wanted.threads_batch = knobs.threads_batch;
  wanted.micro_batch_tokens_max = knobs.micro_batch_tokens_max;
  wanted.flash_attention = knobs.flash_attention;
}

}  // namespace

std::vector<std::string> devices_for(const CatalogueEntry& entry, const GatewayOptions& options) {
  static const DeviceTable kNone;
  const DeviceTable& table = options.devices ? *options.devices : kNone;
  return table.candidates(engine_name_of(entry, options),
                          entry.settings.device.value_or(options.device));
}

PlanWanted wanted_of(const CatalogueEntry& entry, const GatewayOptions& options) {
  const ModelSettings& own = entry.settings;
  PlanWanted wanted;
  wanted.engine = engine_name_of(entry, options);
  if (options.engines) wanted.engine_sha256 = file_digest(options.engines->find(wanted.engine));
  wanted.profile = options.profile;
  wanted.streams = own.parallel.value_or(options.parallel);
  wanted.cells_per_stream = own.context_tokens.value_or(options.context_tokens);
  wanted.threads = own.threads.value_or(options.threads);
  wanted.kv_type = own.kv_type.value_or(options.kv_type);
  if (own.tuned && own.tuned->engine == wanted.engine) take_knobs(own.tuned->knobs, wanted);
  wanted.prefix_bytes = options.prefix_bytes;
  wanted.spill_bytes = options.spill_bytes;
  return wanted;
}

namespace {

Status check(const PlanCall& call) {
  AIOSS_CHECK(in_range("ctx", call.context_tokens.value_or(0), ipc::kCellsMax));
  AIOSS_CHECK(in_range("parallel", call.parallel.value_or(0), ipc::kStreamsMax));
  if (call.device && !is_device_setting(*call.device)) {
    return Error{Code::kInvalidArgument,
                 "device takes auto, cpu, or devices as 'aioss devices' names them: cuda:0,cuda:1",
                 "device"};
  }
  return ok();
}

Status check_kv_type(const std::string& wanted) {
  if (std::find(kKvTypes.begin(), kKvTypes.end(), wanted) != kKvTypes.end()) return ok();
  return Error{Code::kInvalidArgument, "kv_type takes one of " + comma_separated(kKvTypes),
               "kv_type"};
}

}  // namespace

// With what was measured under these conditions, as a worker would have it.
Result<Planning::Wanted> Planning::wanted_by(const PlanCall& call, const Catalogue& catalogue,
                                             CatalogueEntry entry) const {
  AIOSS_CHECK(check(call));
  ModelSettings& asked = entry.settings;
  if (call.context_tokens) asked.context_tokens = static_cast<std::uint32_t>(*call.context_tokens);
  if (call.parallel) asked.parallel = static_cast<std::uint32_t>(*call.parallel);
  if (call.kv_type) asked.kv_type = call.kv_type;
  if (call.device) asked.device = call.device;
  if (parts_.tunings != nullptr) {
    apply_tuning(*parts_.tunings, parts_.options, catalogue, entry);
  }
  PlanWanted wanted = wanted_of(entry, parts_.options);
  AIOSS_CHECK(check_kv_type(wanted.kv_type));
  return Wanted{std::move(wanted), Places(devices_for(entry, parts_.options))};
}

// For who is ordered to them others give way.
std::vector<std::uint64_t> Planning::rooms_on(const std::string& devices, bool is_ordered,
                                              const MemoryReport& report) const {
  const auto gpus =
      parts_.options.devices ? parts_.options.devices->all() : std::vector<DeviceTable::Gpu>();
  std::vector<std::uint64_t> rooms;
  for (const std::string& name : names_of_devices(devices)) {
    std::uint64_t room = ipc::kPlanBytesMax;  // of the host's memory
    for (const DeviceTable::Gpu& gpu : gpus) {
      if (gpu.facts.name == name && !gpu.facts.shares_memory) room = gpu.facts.bytes_free;
    }
    for (const MemoryOfDevice& book : report.devices) {
      if (book.name == name) room = is_ordered ? book.balance.limit : book.balance.free;
    }
    rooms.push_back(std::min(room, ipc::kPlanBytesMax));
  }
  return rooms;
}

// As a load finds its place (room/room.cc): whole on the first that holds it, else as much as will
// go on the last of its devices, or on those that were ordered.
Result<PlanSurvey> Planning::find_place(const std::shared_ptr<const OpenModel>& files,
                                        Wanted& wanted, const MemoryReport& report,
                                        std::uint64_t room) const {
  const DeviceTable* const table = parts_.options.devices.get();
  Places& places = wanted.places;
  while (true) {
    PlanWanted& plan = wanted.plan;
    plan.device = places.now();
    plan.device_rooms.clear();
    if (places.takes_what_fits()) {
      plan.device_rooms = rooms_on(plan.device, places.is_last(), report);
    }
    auto found = parts_.planner.survey_and_wait(files, plan, room);
    const bool is_known = table != nullptr && table->knows(plan.engine, plan.device);
    if (!found && is_known && may_be_of_device(found.error())) {
      places.go_on_without_failed();
      continue;
    }
    if (!found) return found;
    if (table != nullptr) table->count_shared(found->plan);
    const auto fits = [&](const ipc::DeviceNeeds& needs) {
      const auto rooms = rooms_on(needs.name, false, report);  // its name is a child's word
      return rooms.size() == 1 && needs.total() <= rooms.front();
    };
    const auto& needs = found->plan.on_devices;
    if (places.is_last() || std::all_of(needs.begin(), needs.end(), fits)) return found;
    places.go_on();
  }
}

namespace {

// What adapters take once they are loaded: about what their files have.
Result<std::uint64_t> adapter_bytes(const Catalogue& catalogue, const CatalogueEntry& model,
                                    const std::vector<std::string>& wanted) {
  const std::vector<std::string> known = adapters_of(catalogue, model);
  std::uint64_t bytes = 0;
  for (const std::string& name : wanted) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return Error{Code::kNotFound,
                   "model '" + model.name + "' has no adapter '" +
                       one_line(name.substr(0, kModelNameBytesMax)) + "'" +
                       did_you_mean(name, known),
                   "lora"};
    }
    bytes += catalogue.adapters.at(name).file.size;
  }
  return bytes;
}

}  // namespace

Result<PlanAnswer> Planning::answer(const PlanCall& call) const {
  AIOSS_TRY(Catalogue catalogue, scan_catalogue(parts_.fs, catalogue_options(parts_.options)));
  if (parts_.engines != nullptr) parts_.engines->apply(catalogue);
  const auto entry = catalogue.models.find(call.model);
  if (entry == catalogue.models.end()) {
    std::vector<std::string> names;
    for (const auto& [name, model] : catalogue.models) names.push_back(name);
    const std::string shown = one_line(call.model.substr(0, kModelNameBytesMax));
    return Error{Code::kNotFound,
                 "there is no model '" + shown + "'" + did_you_mean(call.model, names), "model"};
  }
  AIOSS_TRY(Wanted asked, wanted_by(call, catalogue, entry->second));
  const PlanWanted& wanted = asked.plan;
  AIOSS_TRY(const auto files, open_model(parts_.fs, entry->second));
  PlanAnswer answer;
  AIOSS_TRY(answer.memory, parts_.memory());
  const MemoryReport report = parts_.books ? parts_.books() : MemoryReport();
  const MemoryOfDevice* const book = host_book(report);
  const std::uint64_t free = book != nullptr ? book->balance.free : answer.memory.usable();
  // At least a byte: none would mean that no options are wanted.
  const std::uint64_t room = std::max<std::uint64_t>(free, 1);
  AIOSS_TRY(PlanSurvey survey, find_place(files, asked, report, room));
  answer.model = call.model;
  answer.engine = wanted.engine;
  answer.profile = wanted.profile;
  answer.kv_type = wanted.kv_type;
  answer.plan = survey.plan;
  answer.context_tokens_train = survey.context_tokens_train;
  answer.devices = std::move(survey.devices);
  AIOSS_TRY(answer.plan.needs.adapters, adapter_bytes(catalogue, entry->second, call.adapters));
  const std::uint64_t needs = answer.plan.needs.committed();
  answer.fits = needs <= free;
  if (book != nullptr && is_loaded(*book, call.model)) {
    answer.replacement = answer.fits ? ReplacementOrder::kBeside : ReplacementOrder::kInTurn;
  }
  if (answer.fits) return answer;
  answer.options = std::move(survey.options);
  if (book != nullptr)
    answer.would_evict = who_would_go(*book, call.model, needs - free + book->balance.over);
  add_other_quantizations(catalogue, wanted, free, answer);
  return answer;
}

// Of the same model, by name. One that cannot be planned is no option, for whatever reason.
void Planning::add_other_quantizations(const Catalogue& catalogue, const PlanWanted& wanted,
                                       std::uint64_t free, PlanAnswer& answer) const {
  const std::string base = base_name(answer.model);
  const std::string& kind = catalogue.models.at(answer.model).engine;  // whatever computes it
  std::vector<PlanOption> found;
  std::size_t tried = 0;
  for (const auto& [name, entry] : catalogue.models) {
    if (name == answer.model || base_name(name) != base || entry.engine != kind) continue;
    if (++tried > kQuantizationsTriedMax) break;
    const auto files = open_model(parts_.fs, entry);
    if (!files) continue;
    const auto other = parts_.planner.survey_and_wait(*files, wanted, 0);
    if (!other || other->plan.needs.committed() > free) continue;
    found.push_back({name, other->plan.streams, other->plan.cells_per_stream, wanted.kv_type,
                     other->plan.needs});
  }
  // The largest is the nearest.
  std::sort(found.begin(), found.end(), [](const PlanOption& a, const PlanOption& b) {
    return a.needs.committed() > b.needs.committed();
  });
  for (PlanOption& option : found) answer.options.push_back(std::move(option));
}

codec::OrderedJson plan_json(const PlanAnswer& answer) {
  using codec::OrderedJson;
  OrderedJson out;
  out["model"] = answer.model;
  out["engine"] = answer.engine;
  out["profile"] = std::string(ipc::name(answer.profile));
  out["context_tokens"] = answer.plan.cells_per_stream;
  out["parallel"] = answer.plan.streams;
  out["kv_type"] = answer.kv_type;
  out["context_tokens_train"] = answer.context_tokens_train;
  out["exact"] = answer.plan.exact;
  out["device"] = answer.plan.device;
  out["layers_on"] = answer.plan.layers_on;
  out["gpu_layers"] = nullptr;
  if (answer.plan.layers.on_devices) out["gpu_layers"] = *answer.plan.layers.on_devices;
  out["cpu_expert_layers"] = answer.plan.layers.experts_on_cpu;
  out["on_devices"] = OrderedJson::array();
  for (const ipc::DeviceNeeds& needs : answer.plan.on_devices) {
    out["on_devices"].push_back({{"name", needs.name},
                                 {"weights", needs.weights},
                                 {"kv", needs.kv},
                                 {"compute", needs.compute}});
  }
  out["bytes"] = needs_json(answer.plan.needs);
  OrderedJson memory;
  memory["total"] = answer.memory.total;
  memory["available"] = answer.memory.available;
  memory["group_limit"] = nullptr;
  memory["group_available"] = nullptr;
  if (answer.memory.group_limit) memory["group_limit"] = *answer.memory.group_limit;
  if (answer.memory.group_available) memory["group_available"] = *answer.memory.group_available;
  memory["usable"] = answer.memory.usable();
  out["memory"] = std::move(memory);
  out["devices"] = OrderedJson::array();
  for (const ipc::PlanDevice& device : answer.devices) {
    out["devices"].push_back({{"name", device.name},
                              {"description", device.description},
                              {"total", device.bytes_total},
                              {"free", device.bytes_free}});
  }
  out["fits"] = answer.fits;
  out["options"] = OrderedJson::array();
  for (const PlanOption& option : answer.options) {
    out["options"].push_back({{"model", option.model.empty() ? answer.model : option.model},
                              {"context_tokens", option.cells_per_stream},
                              {"parallel", option.streams},
                              {"kv_type", option.kv_type},
                              {"committed", option.needs.committed()}});
  }
  out["would_evict"] = answer.would_evict;
  out["replacement"] = nullptr;
  if (answer.replacement) out["replacement"] = std::string(name(*answer.replacement));
  return out;
}

}  // namespace aioss::runtime
