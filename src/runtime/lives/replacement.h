// Replaces a model in place: its name leads to another file, or it has other settings, while a
// worker serves it. The new one is loaded beside it if there is room for both, tried with a canary
// (streams/canary.h) and given all new requests; the old one ends its streams and goes. Without
// room for both they take turns: the old one gets no more requests, ends its streams, goes, and the
// new one is loaded for those that wait.
//
// Until a new one has answered, the old one serves: one that cannot be loaded, or fails its canary,
// is tried again later, as failed loads are, and takes nothing away. Runtime thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "runtime/models/model_table.h"
#include "runtime/records/tally.h"
#include "runtime/streams/stream_state.h"

namespace aioss::runtime {

class EngineSwitches;

class ReplacementHost {  // what has to be done for it
 public:
  virtual ~ReplacementHost() = default;
  virtual void begin_beside(Model& model) = 0;
  // Of a life that is coming, in whatever state: it ends, and nobody who waits hears of it.
  virtual void drop(Life& coming, const Error& why) = 0;
  virtual void take_over(Life& coming) = 0;        // it is ready: from now on it serves
  virtual void replace_no_more(Model& model) = 0;  // what serves goes on, what is coming ends
  virtual void end_if_idle(Life& life, std::string_view reason) = 0;  // that takes no more requests
};

class Replacement final {
 public:
  // Has a canary submitted; never blocks. Null: none is asked.
  using AskCanary = std::function<Result<ipc::RequestId>(GenerateCall)>;
  struct Parts {  // all outlive it
    const Clock& clock;
    Tally& tally;
    const ModelTable& models;
    AskCanary ask_canary;
    ReplacementHost& host;
    EngineSwitches& engines;  // what is particular to another engine
  };
  explicit Replacement(const Parts& parts) : parts_(parts) {}

  // Whether something is to be done about what serves, or about what is coming: after the catalogue
  // has changed, and every second.
  void look(Model& model);
  // There is no room for both.
  void has_no_room(Life& coming);
  void was_loaded(Life& coming);
  void canary_ended(Life& coming, Stream& canary);
  // The same, of one that was tried as another engine: what was found, or why it may not serve.
  void tried(Life& coming, const Result<std::string>& found);
  // It could not be loaded, or has ended. The host has seen to it.
  void has_failed(Model& model, const Error& why);

 private:
  void end_drain_if_vain(Life& serving);
  void reject(Life& coming, const Error& why);
  void succeed(Life& coming, std::string_view how);

  const Parts parts_;
};

}  // namespace aioss::runtime
