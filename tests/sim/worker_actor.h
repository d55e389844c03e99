// A worker process as an actor: the real service, scheduler and fake engine, driven by hand, behind
// a socket that is two queues of frames with delays. Its three threads are three kinds of events;
// what the reader gets while the engine computes, it takes in the middle of the engine's call, as
// the real one does. It can be killed, crash, hang or stall at any moment.
//
// Shared: by the run, by the peer that its link owns, and by the events that are to come.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "engine/engine.h"
#include "engine/text.h"
#include "ipc/channel.h"
#include "os/process.h"
#include "os/shared_memory.h"
#include "runtime/models/worker_link.h"
#include "tests/sim/scenario.h"
#include "tests/sim/watch.h"
#include "tests/sim/world.h"
#include "worker/service.h"

namespace aioss::sim {

class WorkerActor final : public std::enable_shared_from_this<WorkerActor> {
 public:
  struct Parts {  // all outlive the actor
    World& world;
    Watch& watch;
    const Scenario& scenario;
  };
  enum class Load : std::uint8_t { kGood, kFails, kDies };

  WorkerActor(const Parts& parts, const runtime::LinkOptions& options, Load load);
  ~WorkerActor();
  WorkerActor(const WorkerActor&) = delete;
  WorkerActor& operator=(const WorkerActor&) = delete;

  // The process begins; `link` is told of what there is to receive until it says goodbye.
  void begin(runtime::WorkerLink* link);
  void let_go();

  // What its peer does.
  std::uint64_t number() const { return number_; }
  const std::string& model() const { return model_; }
  Status deliver(ByteView frame);
  Result<Bytes> receive();
  void shut_down();
  Status send_signal(int signal);
  std::optional<os::ExitStatus> ended() const;
  void flush_soon();  // the link has something to send

  // Trouble.
  bool lives() const { return !exit_; }
  void crash();
  void hang();
  void stall(std::int64_t ns) { stall_ns_ = ns; }

  // Nothing is left of any request. Only while it has nothing to do.
  bool is_settled() const;
  // Of the engine, in the middle of a call: it takes its time, and may die there.
  void computes(std::uint32_t tokens);
  void copies_state();

 private:
  // Time as this process sees it: a step takes time while the world stands still.
  class LocalClock final : public Clock {
   public:
    explicit LocalClock(const WorkerActor& owner) : owner_(owner) {}
    std::int64_t wall_ns() const override;
    std::int64_t monotonic_ns() const override;

   private:
    const WorkerActor& owner_;
  };
  class Socket final : public ipc::Channel {  // the worker's end
   public:
    explicit Socket(WorkerActor& owner) : ipc::Channel(os::Fd()), owner_(owner) {}
    Status send(ByteView frame) override { return owner_.send(frame); }
    Status send_all(std::span<const Bytes> frames) override;
    void shut_down() override {}

   private:
    WorkerActor& owner_;
  };
  struct Frame {
    Bytes bytes;
    std::int64_t due = 0;   // at the other end
    std::int64_t sent = 0;  // by this process
  };
  struct Model;

  std::int64_t local_now() const { return parts_.world.now() + elapsed_; }
  void note(const std::string& what) const;
  Status send(ByteView frame);
  void say(const ipc::FromWorker& message);
  void step_link_at(std::int64_t when);
  void step_link();
  void read_due();
  void take(const Bytes& frame);
  void load(const ipc::Configure& configure);
  void ready();
  void compute();
  void park();
  void take_parked(const Bytes& frame);
  void arm_engine(std::int64_t when);
  void turn();
  void spend(std::int64_t cost);
  void die(os::ExitStatus status, std::int64_t when);
  void drop_what_is_in_flight();

  const Parts parts_;
  const std::uint64_t number_;
  const std::string model_;
  const int model_fd_;  // borrowed: of the run
  std::optional<os::SharedMapping> prefixes_;
  const Load load_;
  Dice dice_;
  const LocalClock clock_{*this};
  runtime::WorkerLink* link_ = nullptr;
  bool flush_armed_ = false;

  // The socket.
  std::deque<Frame> to_worker_, to_gateway_;
  bool shut_ = false;        // by the gateway
  bool drops_rest_ = false;  // then: what was on its way is lost, or not
  bool told_end_ = false;
  bool looks_again_ = false;  // the link, once more, behind that end

  // The process.
  std::optional<os::ExitStatus> exit_;
  std::int64_t exit_at_ = 0;
  bool hangs_ = false;
  std::int64_t stall_ns_ = 0;
  std::optional<std::uint32_t> poison_calls_;  // until it dies of the poison that it has
  bool configured_ = false;
  bool was_given_work_ = false;
  ipc::Configure configure_;
  std::unique_ptr<Model> model_state_;
  Socket socket_{*this};
  std::int64_t elapsed_ = 0;  // in the step that is being computed
  bool computing_ = false;
  std::int64_t busy_until_ = 0;
  std::int64_t armed_for_ = -1;  // the engine's next turn; -1: none
};

}  // namespace aioss::sim
