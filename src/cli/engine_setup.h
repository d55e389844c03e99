// Which engines a gateway has: those linked into the binary, and those of the engine directory that
// settings let it trust. Blocking.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/config.h"
#include "cli/services.h"
#include "plugins/engine_store.h"
#include "plugins/engine_table.h"
#include "runtime/dry_runs/device_table.h"

namespace aioss::cli {

// Those that the binary has in itself and this processor can run, linked or embedded; "fake" only
// with `fake_models`. What cannot be used is logged.
std::shared_ptr<plugins::EngineTable> own_engines(const Services& services, bool fake_models);

// The allow-list and the publisher's key of the settings; null: neither is set, and all is trusted
// that was installed. It may be asked before the plugin's name is known (plugins::Trust). An error:
// a list or key that cannot be read.
Result<plugins::Trust> engine_trust(const Services& services, const Config& config);

// Those, and the installed ones. What is left out of the directory is logged with the reason, and
// the table knows it.
Result<std::shared_ptr<plugins::EngineTable>> engine_table(const Services& services,
                                                           const Config& config, bool fake_models);

// Of the engine directory alone, as they are now, without those of the name of an own one. What is
// left out is logged, and `table` is told.
Result<std::vector<plugins::EngineImage>> installed_engines(const Services& services,
                                                            const Config& config,
                                                            plugins::EngineTable& table);
// The GPUs that these engines find; of an engine that cannot be asked, the reason is logged. Null:
// none of them is for GPUs, and nobody was asked.
std::shared_ptr<runtime::DeviceTable> device_table(const Services& services,
                                                   const plugins::EngineTable& engines);

// Whether the binary has an engine of this name in itself, linked or embedded, whatever this
// processor can run of them.
bool is_own_engine(const Services& services, std::string_view name);
// kConflict: it has, and no installed engine replaces one of those.
Status check_not_own(const Services& services, std::string_view name);

}  // namespace aioss::cli
