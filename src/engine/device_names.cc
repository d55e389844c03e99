#include "engine/device_names.h"

#include <algorithm>
#include <map>

#include "base/strings.h"

namespace aioss::engine {
namespace {

constexpr std::string_view kCpu = "cpu";

// What a plugin calls its backend comes from outside: letters and digits, in small.
std::string backend_of(const aioss_device& device) {
  std::string out;
  for (const char* p = device.backend; *p != '\0'; ++p) {
    const char c = *p >= 'A' && *p <= 'Z' ? static_cast<char>(*p - 'A' + 'a') : *p;
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out += c;
  }
  return out.empty() || out == kCpu ? "device" : out;
}

std::string names_of(const std::vector<NamedDevice>& known) {
  std::string out(kCpu);
  for (const NamedDevice& device : known) {
    if (!device.is_cpu()) out += ", " + device.name;
  }
  return out;
}

}  // namespace

Result<std::vector<NamedDevice>> named_devices(const aioss_engine& engine, DeviceDetail detail) {
  AIOSS_TRY(const auto found, devices(engine, detail));
  std::vector<NamedDevice> out;
  std::map<std::string, std::uint32_t> seen;  // of each backend
  for (std::uint32_t i = 0; i < found.size(); ++i) {
    NamedDevice device{i, std::string(kCpu), found[i]};
    if (!device.is_cpu()) {
      const std::string backend = backend_of(found[i]);
      device.name = backend + ":" + std::to_string(seen[backend]++);
    }
    out.push_back(std::move(device));
  }
  return out;
}

Result<std::vector<NamedDevice>> find_devices(const std::vector<NamedDevice>& known,
                                              std::string_view wanted) {
  std::vector<NamedDevice> out;
  if (wanted == kCpu) return out;
  for (const std::string_view part : split(wanted, ',')) {
    const bool numbered = part.find(':') != part.npos;
    const std::string name = numbered ? std::string(part) : std::string(part) + ":0";
    const auto is_it = [&](const NamedDevice& device) { return device.name == name; };
    const auto found = std::find_if(known.begin(), known.end(), is_it);
    if (found == known.end()) {
      return Error{Code::kInvalidArgument,
                   "there is no device '" + one_line(part) + "' for this engine here; there are " +
                       names_of(known),
                   "device"};
    }
    if (std::any_of(out.begin(), out.end(), is_it)) {
      return Error{Code::kInvalidArgument, "device '" + name + "' is named twice", "device"};
    }
    out.push_back(*found);
  }
  if (out.size() > AIOSS_DEVICES_MAX) {
    return Error{Code::kInvalidArgument,
                 "a model is split over at most " + std::to_string(AIOSS_DEVICES_MAX) + " devices",
                 "device"};
  }
  return out;
}

}  // namespace aioss::engine
