// How parts of the runtime have something done on its thread, from whichever thread: a task of the
// desk's queue (runtime/stream_desk.h), where there is always room. After the runtime thread has
// ended, what is posted is dropped.
#pragma once

#include <functional>

namespace aioss::runtime {

using Post = std::function<void(std::function<void()>)>;

}  // namespace aioss::runtime
