#include "os/cpu.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/assert.h"
#include "base/strings.h"
#include "os/control_group.h"
#include "os/file.h"

namespace aioss::os {
namespace {

constexpr std::uint64_t kCpuinfoBytesMax = 8 << 20;  // 2 KiB for each of thousands of processors
constexpr std::size_t kProcessorsMax = 8192;         // the kernel's own limit (CONFIG_NR_CPUS)

std::vector<unsigned> allowed_processors() {
  constexpr std::size_t kBits = 8 * sizeof(unsigned long);
  std::array<unsigned long, kProcessorsMax / kBits> mask{};
  auto* const set = reinterpret_cast<cpu_set_t*>(mask.data());
  if (::sched_getaffinity(0, sizeof mask, set) != 0) return {0};
  std::vector<unsigned> out;
  for (unsigned i = 0; i < kProcessorsMax; ++i) {
    if ((mask[i / kBits] >> (i % kBits) & 1) != 0) out.push_back(i);
  }
  return out;
}

// The processors that share a core with this one, as the kernel lists them: a name for the core.
std::string core_of(unsigned processor) {
  RealFileSystem fs;
  const std::string number = std::to_string(processor);
  const auto text = read_file(
      fs, "/sys/devices/system/cpu/cpu" + number + "/topology/thread_siblings_list", 4096);
  return text ? std::string(trim(as_text(*text))) : number;  // unknown: a core of its own
}

struct Level {
  std::string_view name;
  std::vector<std::string_view> adds;  // to the level before, in the kernel's names
};
using Levels = std::vector<Level>;

// x86-64: psABI, "micro-architecture levels"; abm stands for lzcnt, and the AVX flags imply that
// the kernel saves their registers. Arm: the Armv8-A architecture reference, of 8.2 also what is
// optional there and every server's core has (dot products, halves): our engines are built with it.
const std::array<Levels, 2>& architectures() {
  static const std::array<Levels, 2> all{
      Levels{{"x86-64", {"sse2"}},
             {"x86-64-v2", {"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"}},
             {"x86-64-v3", {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"}},
             {"x86-64-v4", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}}},
      Levels{{"armv8-a", {"asimd", "fp"}},
             {"armv8.2-a", {"asimddp", "asimdhp", "asimdrdm", "atomics", "crc32", "fphp"}}}};
  return all;
}

bool has_all(const CpuInfo& cpu, const std::vector<std::string_view>& features) {
  return std::all_of(features.begin(), features.end(),
                     [&](std::string_view feature) { return cpu.has(feature); });
}

const Levels& levels_with(std::string_view name) {
  const auto& all = architectures();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Levels& levels) {
    return std::any_of(levels.begin(), levels.end(),
                       [&](const Level& level) { return level.name == name; });
  });
  ASSERT(found != all.end());
  return *found;
}

}  // namespace

bool CpuInfo::has(std::string_view feature) const {
  return std::binary_search(features.begin(), features.end(), feature);
}

Result<CpuInfo> cpu_info() {
  RealFileSystem fs;
  AIOSS_TRY(const Bytes bytes, read_file(fs, "/proc/cpuinfo", kCpuinfoBytesMax));
  CpuInfo cpu;
  for (const std::string_view line : split(as_text(bytes), '\n')) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) {
      if (!cpu.features.empty()) break;  // the first processor stands for all
      continue;
    }
    const std::string_view name = trim(line.substr(0, colon));
    const std::string_view value = trim(line.substr(colon + 1));
    if (name == "model name") cpu.model = value;
    // Arm's have numbers instead: "CPU implementer 0x41, part 0xd0c" is a Neoverse N1.
    if (name == "CPU implementer") cpu.model = "CPU implementer " + std::string(value);
    if (name == "CPU part") cpu.model += ", part " + std::string(value);
    if (name != "flags" && name != "Features") continue;
    for (const std::string_view flag : split(value, ' ')) cpu.features.emplace_back(flag);
  }
  std::sort(cpu.features.begin(), cpu.features.end());
  return cpu;
}

unsigned CpuBudget::usable_cores() const {
  unsigned cores = std::max(1U, physical);
  // Rounded up: a thread that sleeps part of the time does more than one that is missing.
  if (quota) {
    const double granted = std::clamp(*quota, 1.0, static_cast<double>(cores));
    const auto whole = static_cast<unsigned>(granted);
    cores = std::min(cores, static_cast<double>(whole) < granted ? whole + 1 : whole);
  }
  return cores;
}

CpuBudget cpu_budget() {
  const std::vector<unsigned> processors = allowed_processors();
  std::set<std::string> cores;
  for (const unsigned processor : processors) cores.insert(core_of(processor));
  CpuBudget budget;
  budget.logical = std::max(1U, static_cast<unsigned>(processors.size()));
  budget.physical = std::max(1U, static_cast<unsigned>(cores.size()));
  budget.quota = group_cpu_quota();
  return budget;
}

std::string cpu_level_of(const CpuInfo& cpu) {
  std::string found;
  for (const Levels& levels : architectures()) {
    for (const Level& level : levels) {
      if (!has_all(cpu, level.adds)) break;
      found = level.name;
    }
  }
  return found;
}

std::optional<std::string> cpu_level_problem(std::string_view level, const CpuInfo& cpu) {
  if (level == "native") return std::nullopt;
  const Levels& levels = levels_with(level);
  std::string missing;
  for (const Level& step : levels) {
    for (const std::string_view feature : step.adds) {
      if (!cpu.has(feature)) missing += (missing.empty() ? "" : ", ") + std::string(feature);
    }
    if (step.name == level) break;
  }
  if (missing.empty()) return std::nullopt;
  return "This build of aioss needs a processor of level " + std::string(level) +
         "; this one lacks " + missing + ".";
}

}  // namespace aioss::os
