#include "server/routes.h"

#include <array>

namespace aioss::server {
namespace {

constexpr std::array kRoutes{
    Route{"/v1/chat/completions", "/v1/chat/completions", "POST", Action::kChat},
    Route{"/v1/completions", "/v1/completions", "POST", Action::kCompletion},
    Route{"/v1/models", "/v1/models", "GET", Action::kModels},
    Route{"/v1/models/", "/v1/models/{id}", "GET", Action::kModel},
    Route{"/v1/receipts/", "/v1/receipts/{request}", "GET", Action::kReceipt},
    Route{"/v1/streams/", "/v1/streams/{id}", "GET", Action::kStream},
    Route{"/v1/reviews", "/v1/reviews", "POST", Action::kReview},
    Route{"/admin/models/rescan", "/admin/models/rescan", "POST", Action::kRescan},
    Route{"/admin/models/", "/admin/models/{name}/{order}", "POST", Action::kModelOrder},
    Route{"/admin/queue", "/admin/queue", "GET", Action::kQueue},
    Route{"/admin/plan", "/admin/plan", "GET", Action::kPlan},
    Route{"/admin/memory", "/admin/memory", "GET", Action::kMemory},
    Route{"/admin/engines", "/admin/engines", "GET", Action::kEngines},
    Route{"/admin/ledger/open", "/admin/ledger/open", "POST", Action::kLedgerOpen},
    Route{"/admin/ledger/erase", "/admin/ledger/erase", "POST", Action::kLedgerErase},
    Route{"/admin/ledger/hold", "/admin/ledger/hold", "POST", Action::kLedgerHold},
    Route{"/admin/ledger/holds", "/admin/ledger/holds", "GET", Action::kLedgerHolds},
    Route{"/admin/anchor", "/admin/anchor", "GET", Action::kAnchorExport},
    Route{"/admin/anchor", "/admin/anchor", "POST", Action::kAnchorImport},
    Route{"/health", "/health", "GET", Action::kHealth},
    Route{"/metrics", "/metrics", "GET", Action::kMetrics},
};

bool matches(const Route& route, std::string_view path) {
  if (!route.path.ends_with('/')) return path == route.path;
  return path.starts_with(route.path) && path.size() > route.path.size();
}

}  // namespace

std::span<const Route> routes() {
  return kRoutes;
}

RouteMatch match_route(std::string_view method, std::string_view path) {
  RouteMatch match;
  for (const Route& route : kRoutes) {
    if (!matches(route, path)) continue;
    const bool head = method == "HEAD" && route.method == "GET";
    const bool found = head || method == route.method;
    if (!found && match.route != nullptr) continue;
    match.route = &route;
    match.parameter = route.path.ends_with('/') ? path.substr(route.path.size()) : "";
    match.kind = found ? RouteMatch::Kind::kFound : RouteMatch::Kind::kWrongMethod;
    if (found) return match;
  }
  return match;
}

std::string allowed_methods(const Route& route) {
  std::string methods;
  for (const Route& other : kRoutes) {
    if (other.path != route.path) continue;
    methods += (methods.empty() ? "" : ", ") + std::string(other.method);
    if (other.method == "GET") methods += ", HEAD";
  }
  return methods;
}

}  // namespace aioss::server
