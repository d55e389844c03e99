// What the HTTP side counts and measures, under the names that docs/api.md lists. Used on the io
// thread; the metrics themselves are thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/metrics.h"
#include "http/server.h"
#include "runtime/gateway.h"

namespace aioss::server {

class HttpMetrics final {
 public:
  explicit HttpMetrics(MetricRegistry& registry);  // outlives this

  // `route` is one of the table of routes, never a path from a request.
  void request_answered(std::string_view route, int status);
  // How a generation ended: "ok" or the name of a Code.
  void generation_ended(std::string_view outcome);
  void tokens(const std::string& model, std::uint64_t prompt, std::uint64_t completion);
  // Gauges that are read, not counted: just before the page is rendered.
  void sample(const runtime::GatewayHealth& health, const http::Counters& connections);

  Histogram& time_to_first_token;
  Histogram& inter_token;
  Histogram& request_time;

 private:
  MetricRegistry& registry_;
  std::uint64_t refused_seen_ = 0;  // of http::Counters, already in the counter
};

}  // namespace aioss::server
