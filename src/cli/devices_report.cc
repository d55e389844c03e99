#include "cli/devices_report.h"

#include <cstdio>

#include "base/strings.h"
#include "cli/term.h"
#include "codec/json.h"

namespace aioss::cli {
namespace {

// Of the many flags of a processor, those that engines are compiled for.
constexpr std::string_view kShown =
    "sse4_2 avx avx2 bmi2 f16c fma avx_vnni avx512f avx512bw avx512cd avx512dq avx512vl "
    "avx512_vnni avx512_vbmi avx512_bf16 avx512_fp16 amx_tile amx_int8 amx_bf16 asimd asimdhp "
    "asimddp i8mm sve sve2 bf16";

std::vector<std::string> shown_features(const os::CpuInfo& cpu) {
  std::vector<std::string> out;
  for (const std::string_view feature : split(kShown, ' ')) {
    if (cpu.has(feature)) out.emplace_back(feature);
  }
  return out;
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

std::string one_decimal(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", number);
  return text;
}

std::string cores_text(const os::CpuBudget& budget) {
  std::string out = std::to_string(budget.usable_cores()) + " of " +
                    std::to_string(budget.physical) + " cores, " + std::to_string(budget.logical) +
                    (budget.logical == 1 ? " thread" : " threads");
  if (budget.quota) out += "; the control group grants " + one_decimal(*budget.quota);
  return out;
}

std::string cpu_text(const DevicesFacts& facts) {
  const std::string model = facts.cpu.model.empty() ? "of an unknown model" : facts.cpu.model;
  const std::string level = os::cpu_level_of(facts.cpu);
  std::string out = "cpu        " + safe_text(model, false) + "\n";
  out += "level      " + (level.empty() ? std::string("unknown") : level) +
         "; the engine in this binary is built for " + facts.built_for + "\n";
  out += "features   " + joined(shown_features(facts.cpu)) + "\n";
  out += "usable     " + cores_text(facts.budget) + "\n";
  if (facts.bandwidth) {
    constexpr double kGiga = 1e9;
    out += "reading    " + one_decimal(facts.bandwidth->bytes_per_second / kGiga) +
           " GB/s of memory, measured with " + std::to_string(facts.bandwidth->threads) +
           (facts.bandwidth->threads == 1 ? " thread" : " threads") + "\n";
  }
  if (facts.memory) {
    out += "memory     " + human_bytes(facts.memory->usable()) + " of " +
           human_bytes(facts.memory->total) + " can be had now\n";
  }
  return out;
}

std::string drivers_text(const std::vector<os::GpuDriver>& drivers) {
  if (drivers.empty()) return {};
  std::vector<std::string> names;
  for (const os::GpuDriver& driver : drivers) {
    names.push_back(driver.name + " " +
                    (driver.version.empty() ? "(the kernel's)" : driver.version));
  }
  return "drivers    " + comma_separated(names) + "\n";
}

codec::OrderedJson cpu_json(const DevicesFacts& facts) {
  codec::OrderedJson cpu;
  cpu["name"] = "cpu";
  cpu["model"] = facts.cpu.model;
  cpu["level"] = nullptr;
  if (const std::string level = os::cpu_level_of(facts.cpu); !level.empty()) cpu["level"] = level;
  cpu["built_for"] = facts.built_for;
  cpu["features"] = shown_features(facts.cpu);
  cpu["threads"] = facts.budget.logical;
  cpu["cores"] = facts.budget.physical;
  cpu["usable_cores"] = facts.budget.usable_cores();
  cpu["read_bytes_per_second"] = nullptr;
  if (facts.bandwidth) {
    cpu["read_bytes_per_second"] = static_cast<std::uint64_t>(facts.bandwidth->bytes_per_second);
  }
  if (facts.memory) {
    cpu["total"] = facts.memory->total;
    cpu["usable"] = facts.memory->usable();
  }
  return cpu;
}

}  // namespace

std::string devices_text(const DevicesFacts& facts, std::size_t columns, bool color) {
  std::string out = cpu_text(facts) + drivers_text(facts.drivers) + "\n";
  if (!facts.found.gpus.empty()) {
    Table table({{"DEVICE"},
                 {"ENGINE"},
                 {"FREE", Table::Align::kRight},
                 {"OF", Table::Align::kRight},
                 {"WHAT"}});
    for (const ipc::DeviceOfEngine& gpu : facts.found.gpus) {
      table.add({gpu.name, gpu.engine, human_bytes(gpu.bytes_free), human_bytes(gpu.bytes_total),
                 gpu.description + (gpu.shares_memory ? " (the host's memory)" : "")});
    }
    out += table.render(columns, color);
  } else if (facts.gpu_engines == 0) {
    out += "no GPU: no engine for GPUs is installed (docs/devices.md)\n";
  } else if (facts.found.failures.empty()) {
    out += "no GPU: the installed engines find none\n";
  }
  for (const Error& failure : facts.found.failures) {
    out += "no GPU by " + safe_text(failure.message, false) + "\n";
  }
  return out;
}

std::string devices_json(const DevicesFacts& facts) {
  codec::OrderedJson out;
  out["cpu"] = cpu_json(facts);
  out["gpus"] = codec::OrderedJson::array();
  for (const ipc::DeviceOfEngine& gpu : facts.found.gpus) {
    codec::OrderedJson one;
    one["name"] = gpu.name;
    one["engine"] = gpu.engine;
    one["backend"] = gpu.backend;
    one["description"] = gpu.description;
    one["shares_memory"] = gpu.shares_memory;
    one["total"] = gpu.bytes_total;
    one["free"] = gpu.bytes_free;
    out["gpus"].push_back(std::move(one));
  }
  out["drivers"] = codec::OrderedJson::array();
  for (const os::GpuDriver& driver : facts.drivers) {
    codec::OrderedJson one;
    one["name"] = driver.name;
    one["version"] = nullptr;
    if (!driver.version.empty()) one["version"] = driver.version;
    out["drivers"].push_back(std::move(one));
  }
  out["failures"] = codec::OrderedJson::array();
  for (const Error& failure : facts.found.failures) out["failures"].push_back(failure.message);
  return codec::dump_json(out) + "\n";
}

}  // namespace aioss::cli
