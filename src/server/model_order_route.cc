#include "server/model_order_route.h"

#include <array>
#include <string>
#include <utility>

#include "base/strings.h"

namespace aioss::server {
namespace {

using What = runtime::ModelOrder::What;

constexpr std::array<std::pair<std::string_view, What>, 4> kOrders{{{"load", What::kLoad},
                                                                    {"unload", What::kUnload},
                                                                    {"pin", What::kPin},
                                                                    {"unpin", What::kUnpin}}};

}  // namespace

Result<runtime::ModelOrder> parse_model_order(std::string_view target, std::string_view query,
                                              const runtime::Principal& by) {
  const std::size_t slash = target.find('/');
  const std::string_view name = target.substr(0, slash);
  const std::string_view word = slash == std::string_view::npos ? "" : target.substr(slash + 1);
  runtime::ModelOrder order;
  order.model = std::string(name);
  order.by = by;
  bool known = false;
  for (const auto& [known_word, what] : kOrders) {
    if (known_word != word) continue;
    known = true;
    order.what = what;
  }
  if (name.empty() || !known) {
    return Error{Code::kNotFound,
                 "there is no such order; there are /admin/models/NAME/load, unload, pin, unpin "
                 "and engine"};
  }
  order.force = query == "force=1";
  if (query.empty() || (order.what == What::kUnload && (order.force || query == "force=0"))) {
    return order;
  }
  return Error{Code::kInvalidArgument,
               "the only parameter of an order is 'force=1', and only of unload", "force"};
}

}  // namespace aioss::server
