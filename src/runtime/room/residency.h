// How long models stay: the time after their last use, pins, and orders of operators. What is known
// of one is in the model (models/model.h). Runtime thread only.
//
// A load that nobody waits for any more goes on: most of its work is done, the same is likely to be
// asked for again, and what is not wanted then goes when its time after its last use is over.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "runtime/calls/model_order.h"
#include "runtime/models/model_table.h"
#include "runtime/settings/gateway_options.h"

namespace aioss::runtime {

class ResidencyHost {  // what has to be done for it
 public:
  virtual ~ResidencyHost() = default;
  virtual void want(Model& model) = 0;  // loaded, if it is not
  // By our own decision; `details`: why this one.
  virtual void evict(Life& life, std::string_view reason, std::vector<std::string> details) = 0;
  virtual void park(Life& life, std::string_view reason, std::vector<std::string> details) = 0;
  virtual void end_at_once(Model& model) = 0;                  // with its streams, by order
  virtual void replace_no_more(Model& model) = 0;              // what is coming is not wanted
  virtual void give_up(Model& model, const Error& error) = 0;  // whoever waits for it
};

// How long a model of these settings stays warm: 0, it never is. Nothing: as long as it would have
// stayed anyway, if it was parked to make room.
std::optional<std::chrono::seconds> warm_stay_of(const ModelSettings& settings,
                                                 const GatewayOptions& options);

class Residency final {
 public:
  // All outlive it.
  Residency(const GatewayOptions& options, const Clock& clock, ModelTable& models,
            ResidencyHost& host)
      : options_(options), clock_(clock), models_(models), host_(host) {}

  // Pins of the models' settings, where they are new: what an operator has ordered since stays.
  void take_pins(const Catalogue& before);
  // Wanted at the start; in the options' order, as far as there is room.
  void preload();

  void begin(const Life& life);  // it is ready
  void parked(Life& life);       // it is warm
  void woken(const Life& life);  // it is ready again
  void note_use(Model& model, const StreamState& stream);
  // Unloads it if it is idle and its time is over, or an order waits for that.
  void expire(Model& model);
  void look(Model& model);  // every second

  // An error: the model could not even begin to load.
  Status order(Model& model, const ModelOrder& order);

  // What is shown of it.
  Residence shown(const Model& model) const;

 private:
  bool may_evict(const Model& model) const {
    return model.is_idle() && !model.pinned && model.coming() == nullptr && !model.serving->drains;
  }
  std::chrono::seconds stay_of(const Model& model) const;
  std::optional<std::chrono::seconds> warm_stay_of(const Model& model) const;
  void stay_on(Model& model);
  void expire_ready(Model& model);
  void expire_warm(Life& life);
  Status load(Model& model);
  void unload(Model& model, bool force);
  void unpin(Model& model);

  const GatewayOptions& options_;
  const Clock& clock_;
  ModelTable& models_;
  ResidencyHost& host_;
};

}  // namespace aioss::runtime
