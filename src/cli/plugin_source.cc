#include "cli/plugin_source.h"

#include <utility>

#include "base/strings.h"
#include "cli/bundle.h"
#include "cli/bundle_note.h"
#include "cli/engine_child.h"
#include "cli/engine_setup.h"
#include "plugins/plugin_file.h"

namespace aioss::cli {
namespace {

// The publisher's word beside the file, if there is one.
Result<std::string> signature_beside(const Services& services, const std::string& path) {
  auto note = os::read_file(services.files, path + std::string(kBundleNoteSuffix),
                            plugins::kSignatureBytesMax);
  if (note) return std::string(as_text(*note));
  if (note.error().code == Code::kNotFound) return std::string();
  return std::move(note).error();
}

}  // namespace

Result<plugins::Manifest> manifest_of_plugin(const Services& services, const Config& config,
                                             const std::string& path) {
  AIOSS_TRY(const plugins::Trust trust, engine_trust(services, config));
  AIOSS_TRY(const plugins::PluginFile file, plugins::read_plugin(services.files, path));
  plugins::Manifest manifest;
  manifest.sha256 = file.sha256;
  AIOSS_TRY(manifest.signature, signature_beside(services, path));
  if (trust) AIOSS_CHECK(trust(manifest, ""));
  AIOSS_TRY(const EngineReport report, inspect_engine({file.file->get()}, services.clock));
  AIOSS_CHECK(check_not_own(services, report.name));
  manifest.name = report.name;
  manifest.version = report.version;
  manifest.abi = report.abi;
  AIOSS_CHECK(plugins::check_abi(manifest));
  if (trust) AIOSS_CHECK(trust(manifest, report.name + ".so"));
  return manifest;
}

}  // namespace aioss::cli
