// The JSON of POST /v1/reviews, in and out. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "runtime/records/review.h"

namespace aioss::server {

// Everything but who reviews. kInvalidArgument, naming the field.
Result<runtime::ReviewCall> parse_review(std::string_view body);
std::string review_answer(const runtime::Reviewed& reviewed, std::string_view verdict);

}  // namespace aioss::server
