// POST /admin/models/{name}/load, unload, pin and unpin: from the path to the order. Pure.
#pragma once

#include <string_view>

#include "base/result.h"
#include "runtime/calls/model_order.h"

namespace aioss::server {

// `target`: what follows "/admin/models/". `query`: "force=1" or "force=0" of an unload, else
// nothing. kNotFound: no such order.
Result<runtime::ModelOrder> parse_model_order(std::string_view target, std::string_view query,
                                              const runtime::Principal& by);

}  // namespace aioss::server
