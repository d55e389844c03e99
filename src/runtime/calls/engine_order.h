// What an operator can order about the engine that a model is computed with, and how it stands with
// the last of these orders. Values. docs/engine-switch.md says what they mean.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/calls/principal.h"

namespace aioss::runtime {

struct EngineOrder {
  enum class What : std::uint8_t {
    kSwitch,    // to `engine`, until the server ends
    kPin,       // likewise, and again after every start, whatever settings say
    kUnpin,     // what computes goes on; the next start follows the settings
    kRollback,  // to the one before the last switch
  };
  What what{};
  std::string model;
  std::string engine;  // kSwitch, kPin: a name in the table of engines
  Principal by;
};

// `step` and `outcome` are of the last switch, ordered or by itself.
struct EngineStatus {
  std::string engine;  // that computes, or would; "": the model's file says which
  std::string before;  // that a rollback leads to; "": there is none
  bool pinned = false;
  std::uint64_t orders = 0;  // switches so far: tells whoever waits whose outcome that is
  // "": none; "waiting" for the model's next load; "loading"; "trying": its canary; "moving":
  // streams; "watched": it has taken over, and goes back if it crashes twice; "over".
  std::string step = {};
  std::string outcome = {};  // "": it is under way; "done", "failed", "rolled_back"
  std::string reason = {};   // for people: why it failed, or what the canary found
};

}  // namespace aioss::runtime
