// A client and the coroutine of the server that answers it: takes events as long as the socket has
// room, which empties as the client reads. Checks what a client may rely on: the order of events,
// one end and nothing after it, and that the text is that of an undisturbed run, or the beginning
// of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ipc/limits.h"
#include "runtime/streams/stream_state.h"
#include "tests/sim/expected.h"
#include "tests/sim/plant.h"

namespace aioss::sim {

class Client final : public std::enable_shared_from_this<Client> {
 public:
  struct Parts {  // all outlive the client
    World& world;
    Watch& watch;
    Plant& plant;
    const Scenario& scenario;
  };
  Client(const Parts& parts, const ClientPlan& plan) : parts_(parts), plan_(plan) {}

  void arrive();
  // It has its answer, or has left, or was refused.
  bool is_over() const { return over_; }
  bool was_admitted() const { return id_ != 0; }
  ipc::RequestId id() const { return id_; }
  const ClientPlan& plan() const { return plan_; }
  bool has_text() const { return any_text_; }

  const std::optional<runtime::StreamStarted>& started() const { return started_; }
  const std::optional<runtime::StreamDone>& done() const { return done_; }
  const std::optional<runtime::StreamFailed>& failed() const { return failed_; }

 private:
  void wake_soon(std::int64_t delay_ns);
  void turn();
  void leave();
  void give_up_if_stalled(std::int64_t since_ns);
  std::uint64_t room();
  std::uint64_t take(runtime::StreamEvent event);
  void take(const runtime::StreamDelta& delta);
  void take(const runtime::ChoiceEnd& end);
  void take(const runtime::StreamDone& done);
  void take(const runtime::StreamFailed& failed);
  void check_end();
  void check_failure(const runtime::StreamFailed& failed);
  bool may_fail_with(const Error& error) const;
  void wrong(const std::string& what);

  const Parts parts_;
  const ClientPlan& plan_;
  ipc::RequestId id_ = 0;
  std::shared_ptr<runtime::StreamState> stream_;
  bool over_ = false;
  bool left_ = false;  // or was given up
  bool any_text_ = false;
  bool turn_armed_ = false;

  // The socket's buffer: what the kernel has and the client has not read.
  double buffered_ = 0;
  std::int64_t buffered_at_ns_ = 0, progress_ns_ = 0;

  struct Choice {
    std::string text;
    std::optional<runtime::ChoiceEnd> end;
  };
  std::vector<Choice> choices_;
  std::vector<ExpectedChoice> expected_;
  std::optional<runtime::StreamStarted> started_;
  std::optional<runtime::StreamDone> done_;
  std::optional<runtime::StreamFailed> failed_;
};

}  // namespace aioss::sim
