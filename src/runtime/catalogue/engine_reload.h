// The engine directory, read again while the gateway runs: what is new, another file or gone.
// Models that are computed with another file of their engine from then on are switched to it as to
// another engine (lives/engine_switches.h). Pure functions.
#pragma once

#include <string>
#include <vector>

#include "plugins/engine_table.h"

namespace aioss::runtime {

struct EngineChanges {
  std::vector<plugins::EngineImage> put;
  std::vector<std::string> removed;
  // For the record: "engine NAME VERSION sha256 HEX", "engine NAME removed".
  std::vector<std::string> details;
};
// Engines that the binary has in itself are no part of it.
EngineChanges engine_changes(const plugins::EngineTable& known,
                             const std::vector<plugins::EngineImage>& installed);
void take_up(const EngineChanges& changes, plugins::EngineTable& table);

}  // namespace aioss::runtime
