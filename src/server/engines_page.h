// GET /admin/engines: what models can be computed with, as JSON. A pure function.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "plugins/engine_table.h"

namespace aioss::server {

std::string engines_page(const std::vector<std::shared_ptr<const plugins::EngineImage>>& engines);

}  // namespace aioss::server
