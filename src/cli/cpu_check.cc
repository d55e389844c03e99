#include "cli/cpu_check.h"

namespace aioss::cli {

Status check_cpu(const Services& services) {
  const auto cpu = services.cpu();
  if (!cpu) return ok();  // nothing is known against it
  if (const auto problem = os::cpu_level_problem(services.cpu_level, *cpu)) {
    return Error(Code::kUnsupported, *problem);
  }
  return ok();
}

}  // namespace aioss::cli
