// `aioss inspect`: a model file, parsed by a confined child. What the child prints is untrusted: it
// has read the file. Blocking.
#pragma once

#include "cli/args.h"
#include "cli/inspect_report.h"
#include "cli/services.h"

namespace aioss::cli {

// Descriptors in the child, `aioss worker --inspect`.
inline constexpr int kInspectModelFd = 3;
inline constexpr int kInspectOutputFd = 1;

// What the file says of itself, by that child.
Result<InspectReport> inspect_file(const Services& services, const std::string& path);
int inspect_command(const Services& services, const Invocation& invocation);

}  // namespace aioss::cli
