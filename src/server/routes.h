// The table of routes: which paths exist, which methods they take, what they are called in metrics.
// Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace aioss::server {

enum class Action {
  kChat,
  kCompletion,
  kModels,
  kModel,
  kReceipt,
  kStream,
  kRescan,
  kModelOrder,
  kQueue,
  kPlan,
  kMemory,
  kEngines,
  kLedgerOpen,
  kLedgerErase,
  kLedgerHold,
  kLedgerHolds,
  kReview,
  kAnchorExport,
  kAnchorImport,
  kHealth,
  kMetrics,
};

struct Route {
  std::string_view path;  // ends with '/' if what follows is a parameter
  std::string_view label;
  std::string_view method;
  Action action;
};
std::span<const Route> routes();

struct RouteMatch {
  enum class Kind { kFound, kUnknownPath, kWrongMethod };
  Kind kind = Kind::kUnknownPath;
  const Route* route = nullptr;  // unless kUnknownPath
  std::string parameter;
};
// HEAD is taken where GET is.
RouteMatch match_route(std::string_view method, std::string_view path);
// Of all routes of that path, for the Allow header: "GET, HEAD".
std::string allowed_methods(const Route& route);

}  // namespace aioss::server
