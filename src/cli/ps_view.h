// What `aioss ps` shows, from the JSON of GET /admin/queue. Pure. What a server says is untrusted:
// what is missing or of another type shows as nothing, names are made safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace aioss::cli {

struct PsLook {
  std::string place;  // of the server, for errors
  std::int64_t now_unix_s = 0;
  std::size_t columns_max = 0;  // 0: nothing is left out
  bool color = false;
};

// kCorrupt if it is no such page. A server without loaded models gives the titles alone.
Result<std::string> ps_table(std::string_view page, const PsLook& look);
// {"models":[{"name","state",…}]} on one line.
Result<std::string> ps_json(std::string_view page, const PsLook& look);

}  // namespace aioss::cli
