// Server-sent events, the part of the format that OpenAI's streams use. Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace aioss::codec {

// "data: …\n\n"; every line of `data` gets its own "data: ".
std::string sse_event(std::string_view data);
// The same with "event: name\n" first. `name` holds no line break.
std::string sse_event(std::string_view name, std::string_view data);
// ": text\n\n", which readers skip; keeps a connection alive. `text` holds no line break.
std::string sse_comment(std::string_view text);

}  // namespace aioss::codec
