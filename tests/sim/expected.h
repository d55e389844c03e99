// What a request answers when it has a worker to itself and nothing goes wrong: the real scheduler
// over the fake engine, with one stream. One thread.
#pragma once

#include <string>
#include <vector>

#include "ipc/messages.h"
#include "tests/sim/scenario.h"

namespace aioss::sim {

struct ExpectedChoice {
  std::string text;
  std::uint32_t tokens = 0;
  ipc::FinishReason reason = ipc::FinishReason::kStop;
};

// One for each choice. Empty: it would be refused.
std::vector<ExpectedChoice> undisturbed(const Scenario& scenario, const ipc::Submit& request);

}  // namespace aioss::sim
