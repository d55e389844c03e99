#include "runtime/dry_runs/places.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "ipc/limits.h"
#include "runtime/dry_runs/device_table.h"

namespace aioss::runtime {

Places::Places(std::vector<std::string> in_order)
    : in_order_(std::move(in_order)), places_(in_order_) {
  ASSERT(!places_.empty());
}

void Places::go_on() {
  ASSERT(!is_last());
  places_.erase(places_.begin());
}

void Places::go_on_without_failed() {
  ASSERT(now() != "cpu");
  const std::vector<std::string> failed = names_of_devices(now());
  std::erase_if(places_, [&](const std::string& place) {
    const std::vector<std::string> names = names_of_devices(place);
    return std::find_first_of(names.begin(), names.end(), failed.begin(), failed.end()) !=
           names.end();
  });
  if (places_.empty()) places_.emplace_back("cpu");
}

bool Places::holds_among(const std::vector<std::string>& in_order) const {
  if (in_order == in_order_) return true;  // also where the CPU took the place of all that failed
  const auto at = std::find(in_order.begin(), in_order.end(), now());
  if (at == in_order.end() || is_last() != (at + 1 == in_order.end())) return false;
  return std::all_of(in_order.begin(), at, [this](const std::string& before) {
    return std::find(in_order_.begin(), in_order_.end(), before) != in_order_.end();
  });
}

bool may_be_of_device(const Error& error) {
  return error.code == Code::kEngineFailed || error.code == Code::kNoMemory ||
         error.field == ipc::kDeviceField;
}

}  // namespace aioss::runtime
