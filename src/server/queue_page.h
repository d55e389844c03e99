// GET /admin/queue: what each model has to do, as JSON. And the part of /health that says how long
// a token may have to wait. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "codec/json.h"
#include "runtime/calls/model_load.h"

namespace aioss::server {

std::string queue_page(const std::vector<runtime::ModelLoad>& loads);

// By model: the floor of chunked prefill, which is what a decoding stream waits at least for its
// next token while a prompt is computed, and what the first token of a short one costs. Of models
// that have measured it.
codec::OrderedJson latency_floors(const std::vector<runtime::ModelLoad>& loads);

}  // namespace aioss::server
