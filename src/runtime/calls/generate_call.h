// A request for an answer, as the gateway takes it. A value.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ipc/messages.h"
#include "runtime/calls/adapter_wish.h"
#include "runtime/calls/principal.h"

namespace aioss::runtime {

struct GenerateCall {
  Principal principal;
  std::string model;
  ipc::Submit request;  // id is set by the gateway; a seed of 0 with !seed_given is replaced
  bool seed_given = false;
  std::string endpoint;    // "/v1/chat/completions", "cli", for the record
  bool streaming = false;  // for the record
  // How long its model stays after it, and how long it waits for its model; the setting if absent.
  std::optional<std::chrono::seconds> keep_alive = {}, load_wait = {};
  std::uint64_t canary_of = 0;  // load whose worker is tried with it (streams/canary.h); 0: none
  std::vector<AdapterWish> adapters = {};  // all different; at most ipc::kAdaptersMax
};

}  // namespace aioss::runtime
