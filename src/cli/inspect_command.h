// `aioss inspect`: a model file, parsed by a confined child. What the child prints is untrusted: it
// has read the file. Blocking.
#pragma once

#include "cli/args.h"
#include "cli/services.h"

namespace aioss::cli {

// Descriptors in the child, `aioss worker --inspect`.
inline constexpr int kInspectModelFd = 3;
inline constexpr int kInspectOutputFd = 1;

int inspect_command(const Services& services, const Invocation& invocation);

}  // namespace aioss::cli
