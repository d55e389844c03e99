// The frame that `aioss top` shows, from the JSON of GET /admin/queue. Pure. What a server says is
// untrusted: what is missing or of another type shows as nothing, names are made safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/console.h"

namespace aioss::cli {

struct TopFrame {
  std::string place;            // of the server
  std::string time;             // now, for people
  std::string note;             // a line below; "" for none
  std::size_t columns_max = 0;  // 0: nothing is left out
  std::size_t rows_max = 0;     // likewise
  bool color = false;
};

// Whole lines, none wider and no more of them than there is room: columns and rows that do not fit
// are left out, the most dispensable first. kCorrupt if it is no such page.
Result<std::string> top_frame(std::string_view page, const TopFrame& frame);

// The page on one line, for scripts, as this program understands it: nothing of the server's bytes
// passes unread. Same errors; `place` is what they name.
Result<std::string> top_json(std::string_view page, const std::string& place);

}  // namespace aioss::cli
