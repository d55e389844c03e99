// GET /admin/memory: the books of memory, as JSON. A pure function.
#pragma once

#include <string>

#include "runtime/calls/memory_report.h"

namespace aioss::server {

std::string memory_page(const runtime::MemoryReport& report);

}  // namespace aioss::server
