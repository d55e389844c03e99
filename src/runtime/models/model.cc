#include "runtime/models/model.h"

#include <algorithm>

namespace aioss::runtime {

bool Life::has_no_requests() const {
  return phase == Phase::kReady && link->outstanding() == 0 && probe_waiters.empty();
}

bool Life::is_idle() const {
  return has_no_requests() && (model.serving != this || model.waiting.empty());
}

std::vector<Life*> Model::all() const {
  std::vector<Life*> list;
  for (const auto& life : lives) list.push_back(life.get());
  return list;
}

Life* Model::life(std::uint64_t number) const {
  const auto found = std::find_if(lives.begin(), lives.end(),
                                  [&](const auto& life) { return life->number == number; });
  return found == lives.end() ? nullptr : found->get();
}

Life* Model::coming() const {
  const auto found = std::find_if(lives.begin(), lives.end(), [](const auto& life) {
    return life->role == Life::Role::kComing && life->phase != Phase::kStopping;
  });
  return found == lives.end() ? nullptr : found->get();
}

bool Model::has_worker() const {
  return std::any_of(lives.begin(), lives.end(),
                     [](const auto& life) { return life->link != nullptr; });
}

bool Model::has_begun_waiting() const {
  return std::any_of(waiting.begin(), waiting.end(),
                     [](const auto& stream) { return stream->has_begun(); });
}

}  // namespace aioss::runtime
