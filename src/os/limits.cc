#include "os/limits.h"

#include <sys/resource.h>

#include <cerrno>
#include <string>

#include "base/bytes.h"
#include "os/file.h"

namespace aioss::os {

Status limit_address_space([[maybe_unused]] std::uint64_t bytes) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const rlimit space{bytes, bytes};
  if (::setrlimit(RLIMIT_AS, &space) != 0) {
    return error_from_errno(errno, "cannot limit the address space");
  }
#endif
  return ok();
}

Status limit_cpu_time(std::uint64_t seconds) {
  const rlimit cpu{seconds, seconds};
  if (::setrlimit(RLIMIT_CPU, &cpu) != 0) {
    return error_from_errno(errno, "cannot limit the processor time");
  }
  return ok();
}

void prefer_to_be_killed_for_memory(int score) {
  RealFileSystem fs;
  const auto file = fs.open("/proc/self/oom_score_adj", OpenMode::kReadWrite);
  if (!file) return;
  const std::string text = std::to_string(score);
  (void)(*file)->write_at(0, as_bytes(text));
}

}  // namespace aioss::os
