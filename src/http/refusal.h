// Why the server itself turns a request away, before any handler sees it. A value.
#pragma once

#include <string>
#include <utility>

#include "base/error.h"

namespace aioss::http {

// `status` goes on the wire; it may be finer than the one of the error's code (501, 505).
class Refusal final {
 public:
  Refusal() {}
  Refusal(int status_code, Code code, std::string message, std::string field = {})
      : status(status_code), error(code, std::move(message), std::move(field)) {}
  int status = 400;
  Error error;
};

}  // namespace aioss::http
