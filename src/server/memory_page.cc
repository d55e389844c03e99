#include "server/memory_page.h"

#include <utility>

#include "codec/json.h"

namespace aioss::server {
namespace {

codec::OrderedJson model_of(const runtime::MemoryOfModel& model) {
  codec::OrderedJson out;
  out["model"] = model.model;
  out["state"] = model.state;
  codec::OrderedJson& leases = out["leases"];
  leases = codec::OrderedJson::object();
  for (const memory::Kind kind : memory::kKinds) {
    if (model.holding.leased[kind] > 0) leases[name(kind)] = model.holding.leased[kind];
  }
  out["leased_bytes"] = model.holding.leased.total();
  out["beyond_bytes"] = model.holding.beyond;
  out["measured_bytes"] = nullptr;
  if (model.holding.measured) out["measured_bytes"] = *model.holding.measured;
  out["difference_bytes"] = nullptr;
  if (const auto difference = model.holding.difference()) out["difference_bytes"] = *difference;
  out["used_bytes"] = model.holding.used();
  out["exact"] = model.exact;
  out["unused_ms"] = model.unused_ms;
  out["restore_ms"] = model.restore_ms;
  out["parked_bytes"] = model.parked_bytes;
  out["wake_ms"] = model.wake_ms;
  out["stays"] = nullptr;
  if (!model.stays.empty()) out["stays"] = model.stays;
  return out;
}

codec::OrderedJson device_of(const runtime::MemoryOfDevice& device) {
  codec::OrderedJson out;
  out["device"] = device.name;
  const bool limited = device.balance.limit != memory::kUnlimited;
  out["limit_bytes"] = nullptr;
  if (limited) out["limit_bytes"] = device.balance.limit;
  out["leased_bytes"] = device.balance.leased;
  out["used_bytes"] = device.balance.used;
  out["free_bytes"] = nullptr;
  if (limited) out["free_bytes"] = device.balance.free;
  out["over_bytes"] = device.balance.over;
  out["models"] = codec::OrderedJson::array();
  for (const runtime::MemoryOfModel& model : device.models) {
    out["models"].push_back(model_of(model));
  }
  return out;
}

codec::OrderedJson eviction_of(const runtime::Eviction& eviction) {
  codec::OrderedJson out;
  out["time_unix_ms"] = eviction.wall_ns / 1'000'000;
  out["model"] = eviction.model;
  out["reason"] = eviction.reason;
  out["bytes"] = eviction.bytes;
  out["details"] = eviction.details;
  out["parked"] = eviction.parked;
  return out;
}

}  // namespace

std::string memory_page(const runtime::MemoryReport& report) {
  codec::OrderedJson body;
  body["object"] = "memory";
  body["memory_max_bytes"] = nullptr;
  if (report.memory_max > 0) body["memory_max_bytes"] = report.memory_max;
  body["usable_bytes"] = report.usable;
  body["reserve_bytes"] = report.reserve;
  body["stalled_percent"] = nullptr;
  if (report.pressure.known) body["stalled_percent"] = report.pressure.full_percent;
  body["devices"] = codec::OrderedJson::array();
  for (const runtime::MemoryOfDevice& device : report.devices) {
    body["devices"].push_back(device_of(device));
  }
  body["waiting"] = report.waiting;
  body["evictions_total"] = report.evictions_total;
  body["evictions"] = codec::OrderedJson::array();
  for (const runtime::Eviction& one : report.evictions) {
    body["evictions"].push_back(eviction_of(one));
  }
  return codec::dump_json(body);
}

}  // namespace aioss::server
