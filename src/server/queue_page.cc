#include "server/queue_page.h"

#include <cmath>
#include <utility>

#include "base/clock.h"

namespace aioss::server {
namespace {

double tenths(double value) {
  return std::round(value * 10) / 10;
}

double ms(std::uint64_t ns) {
  return tenths(static_cast<double>(ns) / kNsPerMs);
}

codec::OrderedJson tenants_of(const runtime::ModelLoad& load) {
  codec::OrderedJson tenants = codec::OrderedJson::array();
  for (const runtime::TenantRequests& tenant : load.tenants) {
    codec::OrderedJson one;
    one["tenant"] = tenant.name;
    one["waiting"] = tenant.waiting;
    one["running"] = tenant.running;
    one["tokens"] = tenant.tokens;
    tenants.push_back(std::move(one));
  }
  return tenants;
}

void add_residence(const runtime::Residence& residence, codec::OrderedJson& model) {
  model["pinned"] = residence.pinned;
  if (residence.unloading) model["unloading"] = true;
  if (residence.idle_unix_s) model["idle_since"] = *residence.idle_unix_s;
  if (residence.expires_unix_s) model["expires_at"] = *residence.expires_unix_s;
  if (residence.retry_seconds) model["retry_seconds"] = *residence.retry_seconds;
}

codec::OrderedJson model_of(const runtime::ModelLoad& load) {
  codec::OrderedJson model;
  model["model"] = load.name;
  model["state"] = load.state;
  if (load.state == "loading")
    model["load_fraction"] = tenths(static_cast<double>(load.load_fraction));
  if (!load.engine.empty()) model["engine"] = load.engine;
  if (!load.error.empty()) model["error"] = load.error;
  add_residence(load.residence, model);
  model["streams"] = load.streams;
  model["cells_per_stream"] = load.cells_per_stream;
  model["running"] = load.running;
  model["waiting"] = {{"interactive", load.waiting_interactive},
                      {"batch", load.waiting_batch},
                      {"load", load.waiting_for_load}};
  model["parked"] = load.parked;
  model["spilled"] = load.spilled;
  model["spilled_bytes"] = load.spilled_bytes;
  model["preempted"] = load.preempted;
  model["tokens_per_second"] = tenths(load.tokens_per_second);
  model["memory_bytes"] = load.memory_bytes;
  model["estimate_seconds"] = nullptr;
  if (load.wait_seconds) model["estimate_seconds"] = *load.wait_seconds;
  model["tenants"] = tenants_of(load);
  return model;
}

}  // namespace

std::string queue_page(const std::vector<runtime::ModelLoad>& loads) {
  codec::OrderedJson models = codec::OrderedJson::array();
  for (const runtime::ModelLoad& load : loads) models.push_back(model_of(load));
  codec::OrderedJson body;
  body["object"] = "queue";
  body["models"] = std::move(models);
  return codec::dump_json(body);
}

codec::OrderedJson latency_floors(const std::vector<runtime::ModelLoad>& loads) {
  codec::OrderedJson floors = codec::OrderedJson::object();
  for (const runtime::ModelLoad& load : loads) {
    if (load.decode_step_ns == 0 || load.chunk_ns == 0) continue;
    codec::OrderedJson& floor = floors[load.name];
    floor["decode_step_ms"] = ms(load.decode_step_ns);
    floor["chunk_64_ms"] = ms(load.chunk_ns);
    floor["floor_ms"] = ms(load.decode_step_ns + load.chunk_ns);
  }
  return floors;
}

}  // namespace aioss::server
