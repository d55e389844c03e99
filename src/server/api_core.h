// What answers requests: the handler behind the HTTP server. Shared between the server and its open
// connections, because a connection may end after the server. io thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "http/server.h"
#include "server/api_server.h"
#include "server/door.h"
#include "server/generation.h"
#include "server/http_metrics.h"
#include "server/key_file.h"
#include "server/routes.h"
#include "server/side_thread.h"

namespace aioss::server {

class ApiCore final {
 public:
  struct Parts {
    http::net::io_context& io;
    runtime::Gateway& gateway;
    MetricRegistry& registry;
    const Clock& clock;
  };
  // `keys` may be null: keyless.
  ApiCore(const Parts& parts, std::unique_ptr<KeyRing> keys, const ApiOptions& options);

  http::net::awaitable<void> handle(http::Request request, http::ResponseWriter& writer);
  // Where the counters of the pages come from; cleared before the server goes.
  void set_server(const http::Server* server) { server_ = server; }
  void stop_side_threads() {
    side_.reset();
    history_.reset();
  }

 private:
  // Who asks for what is fit to be answered, or why it is not.
  Result<runtime::Principal> admit(const http::Request& request, const RouteMatch& match) const;
  http::net::awaitable<int> answer(const RouteMatch& match, http::Request request,
                                   http::ResponseWriter& writer);
  http::net::awaitable<int> generate(Action action, http::Request request,
                                     runtime::Principal principal, http::ResponseWriter& writer);
  http::net::awaitable<int> ledger_order(Action action, http::Request request,
                                         runtime::Principal principal,
                                         http::ResponseWriter& writer);
  void note_stranger(const Error& error, const http::Request& request);
  http::net::awaitable<int> rescan(runtime::Principal principal, http::ResponseWriter& writer);
  http::net::awaitable<int> review(http::Request request, runtime::Principal principal,
                                   http::ResponseWriter& writer);
  http::net::awaitable<int> receipt(std::string request_id, runtime::Principal principal,
                                    http::ResponseWriter& writer);
  http::net::awaitable<int> anchor(Action action, http::Request request,
                                   runtime::Principal principal, http::ResponseWriter& writer);
  http::Response page(const RouteMatch& match, const http::Request& request);
  http::Response health_page(const http::Request& request);
  http::Response metrics_page();
  http::Response model_page(const std::string& name) const;

  const Parts parts_;
  const std::unique_ptr<KeyRing> keys_;
  const DoorOptions door_;
  HttpMetrics metrics_;
  const GenerationContext generation_;
  ledger::Anchors* const anchors_;        // may be null; owned by whoever made the server
  const http::Server* server_ = nullptr;  // owned by ApiServer
  std::unique_ptr<SideThread> side_;
  // Beside it: to search a large ledger takes a while, and a revoked key must not live as long.
  std::unique_ptr<SideThread> history_;
  const decltype(ApiOptions::receipts) receipts_;
};

}  // namespace aioss::server
