#include "server/http_metrics.h"

#include <utility>
#include <vector>

namespace aioss::server {
namespace {

// Seconds between two tokens: from a small model on a fast machine to a large one on a slow one.
std::vector<double> token_buckets() {
  return {0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.016, 0.024, 0.032,
          0.048, 0.064, 0.1,   0.15,  0.25,  0.5,   1,     2.5};
}

// The longest answers take minutes.
std::vector<double> request_buckets() {
  return {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
}

}  // namespace

HttpMetrics::HttpMetrics(MetricRegistry& registry)
    : time_to_first_token(registry.histogram("aioss_time_to_first_token_seconds",
                                             "From a request's arrival to its first token.",
                                             latency_buckets())),
      inter_token(registry.histogram("aioss_inter_token_seconds",
                                     "Between two tokens of one choice, as they leave.",
                                     token_buckets())),
      request_time(registry.histogram("aioss_request_seconds",
                                      "From a generation request's arrival to its end.",
                                      request_buckets())),
      registry_(registry) {}

void HttpMetrics::request_answered(std::string_view route, int status) {
  registry_
      .counter("aioss_requests_total", "HTTP requests by route and status.",
               {{"route", std::string(route)}, {"status", std::to_string(status)}})
      .add();
}

void HttpMetrics::generation_ended(std::string_view outcome) {
  registry_
      .counter("aioss_generations_total", "Generation requests by how they ended.",
               {{"outcome", std::string(outcome)}})
      .add();
}

void HttpMetrics::tokens(const std::string& model, std::uint64_t prompt, std::uint64_t completion) {
  const auto add = [&](const char* kind, std::uint64_t count) {
    registry_
        .counter("aioss_tokens_total", "Tokens of answered requests.",
                 {{"kind", kind}, {"model", model}})
        .add(count);
  };
  add("prompt", prompt);
  add("completion", completion);
}

void HttpMetrics::sample(const runtime::GatewayHealth& health, const http::Counters& connections) {
  const auto set = [&](std::string_view name, std::string_view help, double value) {
    registry_.gauge(name, help).set(value);
  };
  registry_
      .counter("aioss_requests_refused_total",
               "Requests and connections turned away before their route was known.")
      .add(connections.refused - refused_seen_);
  refused_seen_ = connections.refused;
  set("aioss_connections_open", "Open HTTP connections.",
      static_cast<double>(connections.connections_open));
  set("aioss_ledger_records", "Durable records of the ledger.",
      static_cast<double>(health.ledger.size));
  set("aioss_ledger_writable", "1 while the ledger can be written.",
      health.ledger.writable ? 1 : 0);
}

}  // namespace aioss::server
