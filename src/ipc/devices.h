// What `aioss worker --devices` tells: the devices of one engine, in one frame. It has run a driver
// and maybe a plugin, so its answer is read as a stranger's. Values only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace aioss::ipc {

inline constexpr std::size_t kDevicesMax = 64;  // of all engines that one process has
inline constexpr std::size_t kDevicesFrameBytesMax = std::size_t{64} << 10;

struct DeviceOfEngine {
  std::string engine;
  std::string name;  // engine/device_names.h: "cpu", "cuda:0"
  std::string backend, description;
  bool is_cpu = false;
  bool shares_memory = false;  // with the host: what is free there is the host's
  std::uint64_t bytes_total = 0, bytes_free = 0;
  bool operator==(const DeviceOfEngine&) const = default;
};

struct DevicesReport {
  std::optional<Error> error;  // then nothing else counts
  std::vector<DeviceOfEngine> devices;
};

Bytes encode(const DevicesReport& report);
Result<DevicesReport> decode_devices_report(ByteView frame);

}  // namespace aioss::ipc
