// Bundles of models: a folder with model files, a list of their SHA-256 as sha256sum writes it, and
// beside the list its note (cli/bundle_note.h). Blocking; one thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/args.h"
#include "cli/config.h"
#include "cli/services.h"
#include "runtime/catalogue/allow_list.h"

namespace aioss::cli {

inline constexpr std::string_view kBundleList = "SHA256SUMS";
inline constexpr std::string_view kBundleNoteSuffix = ".note";

// The list, once it is known to be signed by `models_key`, or with --unsigned unchecked. What was
// checked is what is returned: the file is read once.
Result<runtime::AllowList> open_bundle(const Services& services, const Config& config,
                                       const Invocation& invocation, const std::string& path);

}  // namespace aioss::cli
