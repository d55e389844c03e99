// GET /admin/plan?model=…&ctx=…&parallel=…&kv_type=…: what a model would take, without loading it.
// The job blocks on a process, so it runs on a side thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "http/server.h"
#include "runtime/gateway.h"
#include "server/side_thread.h"

namespace aioss::server {

// kInvalidArgument: a broken escape, an unknown or repeated name, not a number, no model.
Result<runtime::PlanCall> parse_plan_query(std::string_view query);

struct PlanContext {
  http::net::io_context& io;
  runtime::Gateway& gateway;
  SideThread* thread;  // null: stopping
};
// The status that was sent.
http::net::awaitable<int> answer_plan(PlanContext context, std::string query,
                                      http::ResponseWriter& writer);

}  // namespace aioss::server
