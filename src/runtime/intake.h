// From a call to a stream on its way to the runtime thread: gives it its id and its seed, takes its
// place among all others, and sees to it that the vault knows whose it is. What may be asked for at
// all was checked before. Never blocks; thread-safe.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "crypto/random.h"
#include "ledger/custody/custody.h"
#include "ledger/writing/ledger.h"
#include "runtime/calls/generate_call.h"
#include "runtime/models/model_view.h"
#include "runtime/settings/gateway_options.h"
#include "runtime/stream_desk.h"
#include "runtime/streams/custodian.h"

namespace aioss::runtime {

class Intake final {
 public:
  struct Parts {  // all outlive it
    const GatewayOptions& options;
    const Clock& clock;
    crypto::Random& random;
    ledger::Ledger& ledger;
    ledger::Custody& custody;
    Custodian& custodian;
    const ModelView& view;
    const std::atomic<std::uint64_t>& config_record;  // of the newest CONFIG_CHANGE
    std::shared_ptr<StreamDesk> desk;
  };
  explicit Intake(Parts parts) : parts_(std::move(parts)) {}

  // Of a model that exists. kBusy: too many requests, of all or of this tenant. kTooLarge: a prompt
  // over its tenant's limit. kInvalidArgument: a worker would not take it. kShuttingDown.
  Result<std::shared_ptr<StreamState>> begin(GenerateCall call);

 private:
  std::string make_request_id();
  std::uint64_t make_seed();
  Status take_place(const GenerateCall& call, std::size_t bytes);
  bool hand_on(const std::shared_ptr<StreamState>& stream, std::size_t bytes);

  const Parts parts_;
  std::atomic<ipc::RequestId> last_id_{0};
};

}  // namespace aioss::runtime
