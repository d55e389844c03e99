#include "os/thread.h"

#include <pthread.h>

#include <string>

namespace aioss::os {

void set_thread_name(std::string_view name) {
  constexpr std::size_t kKernelNameBytes = 15;
  ::pthread_setname_np(::pthread_self(), std::string(name.substr(0, kKernelNameBytes)).c_str());
}

}  // namespace aioss::os
