// Which engines a gateway has: those linked into the binary, and those of the engine directory that
// settings let it trust. Blocking.
#pragma once

#include <memory>

#include "base/result.h"
#include "cli/config.h"
#include "cli/services.h"
#include "plugins/engine_store.h"
#include "plugins/engine_table.h"

namespace aioss::cli {

// The allow-list and the publisher's key of the settings; null: neither is set, and all is trusted
// that was installed. An error: a list or key that cannot be read.
Result<plugins::Trust> engine_trust(const Services& services, const Config& config);

// "fake" only with `fake_models`. What is left out of the directory is logged with the reason.
Result<std::shared_ptr<plugins::EngineTable>> engine_table(const Services& services,
                                                           const Config& config, bool fake_models);

// Whether the binary has an engine of this name in itself: no plugin may take it.
bool is_linked_engine(const Services& services, std::string_view name);

}  // namespace aioss::cli
