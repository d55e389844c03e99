// Threads have names, seen in `top -H`, in core files and in /proc.
#pragma once

#include <string_view>

namespace aioss::os {

// Names the calling thread. The kernel keeps 15 bytes; the rest is cut.
void set_thread_name(std::string_view name);

}  // namespace aioss::os
