#include "ipc/devices.h"

#include <utility>

#include "ipc/fields.h"
#include "ipc/limits.h"

namespace aioss::ipc {
namespace {

using detail::Array;
using detail::error_value;
using detail::FieldReader;
using detail::Map;
using detail::text_value;
using detail::Value;

Value to_value(const DeviceOfEngine& device) {
  Map map;
  map.set(0, text_value(device.engine, kNameBytesMax));
  map.set(1, text_value(device.name, kNameBytesMax));
  map.set(2, text_value(device.backend, kNameBytesMax));
  map.set(3, text_value(device.description, kNameBytesMax));
  map.set(4, Value::boolean(device.is_cpu));
  map.set(5, Value::boolean(device.shares_memory));
  map.set(6, Value::uint(device.bytes_total));
  map.set(7, Value::uint(device.bytes_free));
  return Value::map(std::move(map));
}

DeviceOfEngine read_device(FieldReader& outer, const Map& map) {
  FieldReader reader(map, "devices.device");
  DeviceOfEngine device;
  device.engine = reader.text(0, kNameBytesMax);
  device.name = reader.text(1, kNameBytesMax);
  device.backend = reader.text(2, kNameBytesMax);
  device.description = reader.text(3, kNameBytesMax);
  device.is_cpu = reader.boolean(4);
  device.shares_memory = reader.boolean(5);
  device.bytes_total = reader.uint(6, 0, kPlanBytesMax);
  device.bytes_free = reader.uint(7, 0, kPlanBytesMax);
  (void)reader.finish();
  outer.adopt(reader);
  return device;
}

}  // namespace

Bytes encode(const DevicesReport& report) {
  Map map;
  if (report.error) {
    map.set(0, error_value(*report.error));
    return codec::encode(std::move(map));
  }
  Array devices;
  for (const DeviceOfEngine& device : report.devices) devices.push_back(to_value(device));
  map.set(1, Value::array(std::move(devices)));
  return codec::encode(std::move(map));
}

Result<DevicesReport> decode_devices_report(ByteView frame) {
  AIOSS_TRY(const Map map, codec::decode_map(frame));
  FieldReader reader(map, "devices report");
  DevicesReport report;
  if (reader.has(0)) {
    report.error = reader.error(0);
  } else {
    for (const Value& value : reader.array(1, kDevicesMax)) {
      report.devices.push_back(read_device(reader, reader.as_map(value)));
    }
  }
  AIOSS_CHECK(reader.finish());
  return report;
}

}  // namespace aioss::ipc
