#include "runtime/planning/tuning_plan.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/strings.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "runtime/catalogue/engines.h"
#include "runtime/dry_runs/device_table.h"
#include "runtime/planning/planning.h"

namespace aioss::runtime {
namespace {

constexpr std::size_t kReasonBytesMax = 160;
constexpr std::array<std::uint32_t, 2> kMicroBatches{256, 128};

std::string default_engine(const CatalogueEntry& entry, const GatewayOptions& options) {
  return engine_by_operator(entry, options).value_or(entry.engine);
}

bool is_for_cpu(const std::string& engine, const CatalogueEntry& entry,
                const GatewayOptions& options) {
  const std::string setting = entry.settings.device.value_or(options.device);
  return !options.devices || options.devices->candidates(engine, setting).front() == "cpu";
}

// The default first.
std::vector<std::string> engines_of(const Catalogue& catalogue, const CatalogueEntry& entry,
                                    const GatewayOptions& options) {
  std::vector<std::string> out{default_engine(entry, options)};
  const bool is_free = !engine_by_operator(entry, options);
  const bool may_choose = options.profile == ipc::Profile::kFast && is_free;
  if (!may_choose || !options.engines || !adapters_of(catalogue, entry).empty()) return out;
  const auto own = options.engines->find(out.front());
  if (!own) return out;
  for (const auto& other : options.engines->all()) {
    if (other->name == out.front() || other->format != own->format) continue;
    if (is_for_cpu(other->name, entry, options)) out.push_back(other->name);
  }
  return out;
}

std::uint32_t fixed_threads(const CatalogueEntry& entry, const GatewayOptions& options) {
  return entry.settings.threads.value_or(options.threads);
}

// However many there are: the SHA-256 of "NAME:HEX of its file\n" or "NAME:linked\n" of each.
std::string digest_of(const std::vector<std::string>& engines, const GatewayOptions& options) {
  std::string lines;
  for (const std::string& engine : engines) {
    const auto image = options.engines ? options.engines->find(engine) : nullptr;
    const bool is_file = image && !image->is_linked;
    lines += engine + ":" + (is_file ? codec::to_hex(image->sha256) : "linked") + "\n";
  }
  return codec::to_hex(crypto::sha256(as_bytes(lines)));
}

std::string two_places(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f", value);
  return text.data();
}

}  // namespace

TuningSpace space_of(const Catalogue& catalogue, const CatalogueEntry& entry,
                     const GatewayOptions& options, const os::CpuBudget& cpu) {
  TuningSpace space;
  space.engines = engines_of(catalogue, entry, options);
  space.fixed.threads = fixed_threads(entry, options);
  space.keeps_bits = options.profile != ipc::Profile::kFast;
  const std::uint32_t usable = cpu.usable_cores();
  if (space.fixed.threads == 0) {
    if (cpu.logical > usable && !cpu.quota) space.threads.push_back(cpu.logical);
    if (usable / 2 > 0) space.threads.push_back(usable / 2);
  }
  if (space.keeps_bits) return space;
  space.flash_attention = true;
  space.micro_batches.assign(kMicroBatches.begin(), kMicroBatches.end());
  return space;
}

ipc::TuneOpen tune_open_of(const CatalogueEntry& entry, const GatewayOptions& options) {
  ipc::TuneOpen open;
  open.engine = default_engine(entry, options);
  open.profile = options.profile;
  open.streams = entry.settings.parallel.value_or(options.parallel);
  open.cells_per_stream = entry.settings.context_tokens.value_or(options.context_tokens);
  open.kv_type = entry.settings.kv_type.value_or(options.kv_type);
  open.prefill_chunk_tokens_max = options.prefill_chunk_tokens_max;
  open.speculation = options.speculation;
  return open;
}

TuningKey tuning_key_of(const Catalogue& catalogue, const CatalogueEntry& entry,
                        const GatewayOptions& options) {
  const ipc::TuneOpen open = tune_open_of(entry, options);
  TuningKey key;
  key.files = identity_of(entry.parts);
  key.conditions = "profile=" + std::string(ipc::name(open.profile)) +
                   " parallel=" + std::to_string(open.streams) +
                   " ctx=" + std::to_string(open.cells_per_stream) + " kv_type=" + open.kv_type +
                   " prefill_chunk=" + std::to_string(open.prefill_chunk_tokens_max) +
                   " speculation=" + (open.speculation ? "on" : "off") +
                   " threads=" + std::to_string(fixed_threads(entry, options)) +
                   " engines=" + digest_of(engines_of(catalogue, entry, options), options);
  return key;
}

bool is_measured(const CatalogueEntry& entry, const GatewayOptions& options) {
  return is_for_cpu(default_engine(entry, options), entry, options);
}

bool has_choice(const TuningSpace& space) {
  return space.engines.size() > 1 || space.flash_attention || !space.threads.empty() ||
         !space.micro_batches.empty();
}

std::string text(const TuneMeasurement& measurement) {
  std::string out = text(measurement.candidate) + ": " + std::string(name(measurement.state));
  if (!measurement.reason.empty()) {
    return out + ", " + one_line(measurement.reason.substr(0, kReasonBytesMax));
  }
  for (std::size_t i = 0; i < measurement.regimes.size(); ++i) {
    const TuneRegime& regime = measurement.regimes[i];
    if (!regime.is_measured()) continue;
    out += ", " + std::string(ipc::name(static_cast<ipc::Regime>(i))) + " " +
           two_places(regime.speedup());
  }
  return out;
}

void apply_tuning(const TuningStore& store, const GatewayOptions& options,
                  const Catalogue& catalogue, CatalogueEntry& entry) {
  if (!options.tune) return;
  entry.settings.tuned.reset();
  if (!is_measured(entry, options)) return;
  const auto found = store.find(tuning_key_of(catalogue, entry, options));
  // The default is what there is without: a worker that runs with it is not replaced.
  if (found && found->result.choice.index > 0) entry.settings.tuned = found->result.chosen();
}

void apply_tunings(const TuningStore& store, const GatewayOptions& options, Catalogue& catalogue) {
  for (auto& [name, entry] : catalogue.models) apply_tuning(store, options, catalogue, entry);
}

}  // namespace aioss::runtime
