// What answers requests: the handler behind the HTTP server. Shared between the server and its open
// connections, because a connection may end after the server. io thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "http/server.h"
#include "server/api_server.h"
#include "server/door.h"
#include "server/generation.h"
#include "server/http_metrics.h"
#include "server/key_file.h"
#include "server/one_per_tenant.h"
#include "server/routes.h"
#include "server/side_thread.h"
#include "server/stream_shelf.h"

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
  // What nobody reads ends: nobody can come back. Then: all ends.
  void stop_keeping() { shelf_->stop(); }
  void close_shelf() { shelf_->close(); }
  void stop_side_threads() {
    key_watch_.reset();
    orders_.reset();
    history_.reset();
    plans_.reset();
  }

 private:
  // Who asks for what is fit to be answered, or why it is not.
  Result<runtime::Principal> admit(const http::Request& request, const RouteMatch& match) const;
  // What the records cost that `action` writes past the gateway; the same for all of these.
  Status charge(Action action, const runtime::Principal& principal);
  http::net::awaitable<int> answer(const RouteMatch& match, http::Request request,
                                   http::ResponseWriter& writer);
  http::net::awaitable<int> generate(Action action, http::Request request,
                                     runtime::Principal principal, http::ResponseWriter& writer);
  http::net::awaitable<int> ledger_order(Action action, http::Request request,
                                         runtime::Principal principal,
                                         http::ResponseWriter& writer);
  void note_stranger(const Error& error, const http::Request& request);
  http::net::awaitable<int> rescan(runtime::Principal principal, http::ResponseWriter& writer);
  http::net::awaitable<int> model_order(std::string target, std::string query,
                                        runtime::Principal principal, http::ResponseWriter& writer);
  http::net::awaitable<int> review(http::Request request, runtime::Principal principal,
                                   http::ResponseWriter& writer);
  http::net::awaitable<int> receipt(std::string request_id, runtime::Principal principal,
                                    http::ResponseWriter& writer);
  using ReceiptMade = std::optional<Result<std::string>>;  // set before the event
  Status ask_for_receipt(const std::string& request_id, const runtime::Principal& caller,
                         const std::shared_ptr<http::AsyncEvent>& event,
                         const std::shared_ptr<ReceiptMade>& made);
  http::net::awaitable<int> anchor(Action action, std::string text, runtime::Principal principal,
                                   http::ResponseWriter& writer);
  http::Response page(const RouteMatch& match, const http::Request& request);
  http::Response health_page(const http::Request& request);
  http::Response metrics_page();
  http::Response model_page(const std::string& name) const;

  const Parts parts_;
  const std::unique_ptr<KeyRing> keys_;
  const DoorOptions door_;
  HttpMetrics metrics_;
  const std::shared_ptr<StreamShelf> shelf_;
  const GenerationContext generation_;
  const std::uint32_t resume_seconds_max_;
  ledger::Anchors* const anchors_;        // may be null; owned by whoever made the server
  const http::Server* server_ = nullptr;  // owned by ApiServer
  const decltype(ApiOptions::receipts) receipts_;
  OnePerTenant receipts_asked_;
  // Nothing waits for the wrong disk: a revoked key must not live as long as an erasure takes, nor
  // an erasure wait for everybody who has a large ledger searched.
  std::unique_ptr<SideThread> key_watch_;  // only looks at the key file; null: keyless
  std::unique_ptr<SideThread> orders_;     // of operators: rescans, orders about people
  std::unique_ptr<SideThread> history_;    // reviews, receipts, anchors
  std::unique_ptr<SideThread> plans_;      // dry runs of models: each waits for a process
};

}  // namespace aioss::server
