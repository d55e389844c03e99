#include "cli/cpu_check.h"

#include "os/cpu.h"

namespace aioss::cli {

Status check_cpu(const Services& services) {
  const auto cpu = os::cpu_info();
  if (!cpu) return ok();  // nothing is known against it
  if (const auto problem = os::cpu_level_problem(services.cpu_level, *cpu)) {
    return Error(Code::kUnsupported, *problem);
  }
  return ok();
}

}  // namespace aioss::cli
