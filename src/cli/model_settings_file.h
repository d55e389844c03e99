// Settings of single models: the sections [models.NAME] of aioss.toml, and the files NAME.toml
// beside models, which have the same keys without a section. Strict: an unknown key is an error
// that names the nearest one. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "runtime/settings/model_settings.h"

namespace aioss::cli {

// kUsage, with file and line.
Result<runtime::ModelSettings> parse_model_settings(std::string_view text, const std::string& path);
Result<runtime::ModelSettingsMap> parse_model_sections(std::string_view text,
                                                       const std::string& path);

}  // namespace aioss::cli
