#include "os/gpu_drivers.h"

#include "base/bytes.h"
#include "base/strings.h"
#include "os/file.h"

namespace aioss::os {
namespace {

constexpr const char* kKnown[] = {"nvidia", "nouveau", "nova_core", "amdgpu", "radeon",
                                  "i915",   "xe",      "asahi",     "msm",    "panthor"};
constexpr std::size_t kVersionFileBytesMax = 4096;
constexpr std::size_t kVersionBytesMax = 40;

}  // namespace

std::vector<GpuDriver> gpu_drivers(const std::string& root) {
  std::vector<GpuDriver> out;
  RealFileSystem fs;
  for (const char* const name : kKnown) {
    const std::string module = root + "/sys/module/" + name;
    if (!fs.list(module)) continue;
    GpuDriver driver{name, ""};
    if (const auto bytes = read_file(fs, module + "/version", kVersionFileBytesMax)) {
      const std::string_view text = trim(as_text(*bytes));
      driver.version = one_line(text.substr(0, kVersionBytesMax));
    }
    out.push_back(std::move(driver));
  }
  return out;
}

}  // namespace aioss::os
