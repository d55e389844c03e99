// What the gateway's door does with an order about a model: refuse what cannot be, record it, and
// give it to the runtime thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/calls/engine_order.h"
#include "runtime/calls/model_entry.h"
#include "runtime/calls/model_order.h"
#include "runtime/models/model_view.h"
#include "runtime/records/records.h"
#include "runtime/settings/gateway_options.h"
#include "runtime/stream_desk.h"

namespace aioss::runtime {

// Writes an ADMIN_ACTION and waits for it.
using RecordAction =
    std::function<Status(records::AdminAction, const std::vector<std::string>& details)>;

// Of a model that there is. Blocks on the ledger, and until the runtime thread has taken it.
Result<ModelEntry> take_order(const ModelOrder& order, const ModelView& view, StreamDesk& desk,
                              const RecordAction& record);

// The same, about its engine.
Result<ModelEntry> take_order(const EngineOrder& order, StreamDesk& desk,
                              const RecordAction& record);

// kUsage if the options want what cannot be.
Status check_residence(const GatewayOptions& options);

}  // namespace aioss::runtime
