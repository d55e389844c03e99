// `aioss plan`, for people. Pure.
#pragma once

#include <cstddef>
#include <string>

#include "runtime/planning/plan_answer.h"

namespace aioss::cli {

std::string plan_text(const runtime::PlanAnswer& answer, std::size_t columns, bool color);

}  // namespace aioss::cli
