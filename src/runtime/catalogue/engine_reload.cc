#include "runtime/catalogue/engine_reload.h"

#include <algorithm>
#include <string_view>

#include "base/strings.h"
#include "codec/hex.h"

namespace aioss::runtime {
namespace {

constexpr std::string_view kEmbedded = "embedded";

bool is_installed(const plugins::EngineImage& engine) {
  return !engine.is_linked && engine.origin != kEmbedded;
}

}  // namespace

EngineChanges engine_changes(const plugins::EngineTable& known,
                             const std::vector<plugins::EngineImage>& installed) {
  EngineChanges changes;
  for (const plugins::EngineImage& one : installed) {
    const auto before = known.find(one.name);
    if (before && (!is_installed(*before) || before->sha256 == one.sha256)) continue;
    changes.put.push_back(one);
    changes.details.push_back("engine " + one.name + " " + one_line(one.version) + " sha256 " +
                              codec::to_hex(one.sha256));
  }
  for (const auto& one : known.all()) {
    const bool stays = !is_installed(*one) || std::any_of(installed.begin(), installed.end(),
                                                          [&](const plugins::EngineImage& other) {
                                                            return other.name == one->name;
                                                          });
    if (stays) continue;
    changes.removed.push_back(one->name);
    changes.details.push_back("engine " + one->name + " removed");
  }
  return changes;
}

void take_up(const EngineChanges& changes, plugins::EngineTable& table) {
  for (const plugins::EngineImage& one : changes.put) table.put(one);
  for (const std::string& name : changes.removed) table.remove(name);
}

}  // namespace aioss::runtime
