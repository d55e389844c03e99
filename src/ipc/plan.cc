#include "ipc/plan.h"

#include <utility>

#include "ipc/fields.h"
#include "ipc/limits.h"

namespace aioss::ipc {
namespace {

using detail::Array;
using detail::digest_value;
using detail::error_value;
using detail::FieldReader;
using detail::Map;
using detail::read_layers;
using detail::text_value;
using detail::Value;
using detail::write_layers;

Value to_value(const PlannedSession& session) {
  const memory::Needs& needs = session.needs;
  Map map;
  map.set(0, Value::uint(session.streams));
  map.set(1, Value::uint(session.cells_per_stream));
  map.set(2, text_value(session.kv_type, kKvTypeBytesMax));
  map.set(3, Value::boolean(session.exact));
  map.set(4, Value::uint(needs.weights));
  map.set(5, Value::uint(needs.kv));
  map.set(6, Value::uint(needs.compute));
  map.set(7, Value::uint(needs.output));
  map.set(8, Value::uint(needs.vocabulary));
  map.set(9, Value::uint(needs.overhead));
  Array devices;
  for (const DeviceNeeds& device : session.devices) {
    Map one;
    one.set(0, text_value(device.name, kNameBytesMax));
    one.set(1, Value::uint(device.weights));
    one.set(2, Value::uint(device.kv));
    one.set(3, Value::uint(device.compute));
    devices.push_back(Value::map(std::move(one)));
  }
  map.set(180, text_value(session.device, kDeviceBytesMax));
  write_layers(session.layers, map, 181, 183);
  map.set(182, Value::array(std::move(devices)));
  return Value::map(std::move(map));
}

DeviceNeeds read_needs(FieldReader& outer, const Map& map) {
  FieldReader reader(map, "plan.session.device");
  DeviceNeeds needs;
  needs.name = reader.text(0, kNameBytesMax);
  needs.weights = reader.uint(1, 0, kPlanBytesMax);
  needs.kv = reader.uint(2, 0, kPlanBytesMax);
  needs.compute = reader.uint(3, 0, kPlanBytesMax);
  (void)reader.finish();
  outer.adopt(reader);
  return needs;
}

PlannedSession read_session(FieldReader& outer, const Map& map) {
  FieldReader reader(map, "plan.session");
  PlannedSession session;
  session.streams = reader.u32(0, kStreamsMax);
  session.cells_per_stream = reader.u32(1, kCellsMax);
  session.kv_type = reader.text(2, kKvTypeBytesMax);
  session.exact = reader.boolean(3);
  session.needs.weights = reader.uint(4, 0, kPlanBytesMax);
  session.needs.kv = reader.uint(5, 0, kPlanBytesMax);
  session.needs.compute = reader.uint(6, 0, kPlanBytesMax);
  session.needs.output = reader.uint(7, 0, kPlanBytesMax);
  session.needs.vocabulary = reader.uint(8, 0, kPlanBytesMax);
  session.needs.overhead = reader.uint(9, 0, kPlanBytesMax);
  session.device = reader.text(180, kDeviceBytesMax);
  session.layers = read_layers(reader, 181, 183);
  for (const Value& value : reader.array(182, kPlanDevicesMax)) {
    session.devices.push_back(read_needs(reader, reader.as_map(value)));
  }
  (void)reader.finish();
  outer.adopt(reader);
  return session;
}

Value to_value(const PlanDevice& device) {
  Map map;
  map.set(0, text_value(device.name, kNameBytesMax));
  map.set(1, text_value(device.description, kNameBytesMax));
  map.set(2, Value::uint(device.bytes_total));
  map.set(3, Value::uint(device.bytes_free));
  return Value::map(std::move(map));
}

PlanDevice read_plan_device(FieldReader& outer, const Map& map) {
  FieldReader reader(map, "plan.device");
  PlanDevice device;
  device.name = reader.text(0, kNameBytesMax);
  device.description = reader.text(1, kNameBytesMax);
  device.bytes_total = reader.u64(2);
  device.bytes_free = reader.u64(3);
  (void)reader.finish();
  outer.adopt(reader);
  return device;
}

}  // namespace

Bytes encode(const PlanAsk& ask) {
  Map map;
  map.set(0, text_value(ask.engine, kNameBytesMax));
  map.set(1, Value::uint(static_cast<std::uint64_t>(ask.profile)));
  map.set(2, Value::uint(ask.streams));
  map.set(3, Value::uint(ask.cells_per_stream));
  map.set(4, Value::uint(ask.threads));
  map.set(5, Value::uint(ask.prefill_chunk_tokens_max));
  map.set(6, text_value(ask.kv_type, kKvTypeBytesMax));
  map.set(7, Value::boolean(ask.speculation));
  map.set(8, Value::uint(ask.room_bytes));
  if (ask.engine_sha256 != Digest{}) map.set(150, digest_value(ask.engine_sha256));
  Array rooms;
  for (const std::uint64_t bytes : ask.device_rooms) rooms.push_back(Value::uint(bytes));
  map.set(180, text_value(ask.device, kDeviceBytesMax));
  map.set(181, Value::array(std::move(rooms)));
  map.set(190, Value::uint(ask.threads_batch));
  map.set(191, Value::uint(ask.micro_batch_tokens_max));
  map.set(192, Value::uint(static_cast<std::uint64_t>(ask.flash_attention)));
  return codec::encode(std::move(map));
}

Result<PlanAsk> decode_plan_ask(ByteView frame) {
  AIOSS_TRY(const Map map, codec::decode_map(frame));
  FieldReader reader(map, "plan ask");
  PlanAsk ask;
  ask.engine = reader.text(0, kNameBytesMax);
  ask.profile = static_cast<Profile>(reader.u32(1, 2));
  ask.streams = reader.u32(2, kStreamsMax);
  ask.cells_per_stream = reader.u32(3, kCellsMax);
  ask.threads = reader.u32(4, kThreadsMax);
  ask.prefill_chunk_tokens_max = reader.u32(5, kPrefillChunkMax);
  ask.kv_type = reader.text(6, kKvTypeBytesMax);
  ask.speculation = reader.boolean(7);
  ask.room_bytes = reader.u64(8);
  if (reader.has(150)) ask.engine_sha256 = reader.digest(150);
  ask.device = reader.text(180, kDeviceBytesMax);
  for (const Value& value : reader.array(181, kPlanDevicesMax)) {
    const std::uint64_t* const bytes = value.if_uint();
    if (bytes == nullptr) {
      reader.fail(181, "not a number of bytes");
      break;
    }
    ask.device_rooms.push_back(*bytes);
  }
  ask.threads_batch = reader.u32(190, kThreadsMax);
  ask.micro_batch_tokens_max = reader.u32(191, kPrefillChunkMax);
  ask.flash_attention = static_cast<FlashAttention>(reader.u32(192, 2));
  AIOSS_CHECK(reader.finish());
  return ask;
}

Bytes encode(const PlanReport& report) {
  Map map;
  if (report.error) {
    map.set(0, error_value(*report.error));
    return codec::encode(std::move(map));
  }
  Array options;
  for (const PlannedSession& option : report.options) options.push_back(to_value(option));
  Array devices;
  for (const PlanDevice& device : report.devices) devices.push_back(to_value(device));
  map.set(1, to_value(report.asked));
  map.set(2, Value::uint(report.context_tokens_train));
  map.set(3, Value::array(std::move(options)));
  map.set(4, Value::array(std::move(devices)));
  return codec::encode(std::move(map));
}

Result<PlanReport> decode_plan_report(ByteView frame) {
  AIOSS_TRY(const Map map, codec::decode_map(frame));
  FieldReader reader(map, "plan report");
  PlanReport report;
  if (reader.has(0)) {
    report.error = reader.error(0);
    AIOSS_CHECK(reader.finish());
    return report;
  }
  report.asked = read_session(reader, reader.map(1));
  report.context_tokens_train = reader.u32(2, UINT32_MAX);
  for (const Value& value : reader.array(3, kPlanOptionsMax)) {
    report.options.push_back(read_session(reader, reader.as_map(value)));
  }
  for (const Value& value : reader.array(4, kPlanDevicesMax)) {
    report.devices.push_back(read_plan_device(reader, reader.as_map(value)));
  }
  AIOSS_CHECK(reader.finish());
  return report;
}

}  // namespace aioss::ipc
