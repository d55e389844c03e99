// POST /admin/models/{name}/engine: which engine a model is computed with (docs/engine-switch.md).
// The order blocks on the ledger, so it runs on a side thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "http/server.h"
#include "runtime/gateway.h"
#include "server/side_thread.h"

namespace aioss::server {

// `target`: what follows "/admin/models/".
bool is_engine_order(std::string_view target);
// {"engine": NAME}, with "pin": true for good; {"pin": false}; {"rollback": true}. By nobody yet.
// kInvalidArgument, naming the field.
Result<runtime::EngineOrder> parse_engine_order(std::string_view target, std::string_view body);

struct OrderContext {
  http::net::io_context& io;
  runtime::Gateway& gateway;
  SideThread* thread;  // null: stopping
};
// The status that was sent.
http::net::awaitable<int> answer_engine_order(OrderContext context, std::string target,
                                              std::string body, runtime::Principal by,
                                              http::ResponseWriter& writer);

}  // namespace aioss::server
