// One life of a model: a worker, from the wish for it until its process has ended. It has all that
// ends with the worker; what the model is without one is in model.h. Owned by its model
// (Model::lives); made and ended by ModelTable only. Runtime thread only.
//
// Late tasks (of its link, of the hasher, of the ledger, of the planner) name a life by its number
// and find none once it has ended: nothing of an earlier life reaches a later one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ipc/messages.h"
#include "runtime/calls/answer.h"
#include "runtime/catalogue/catalogue.h"
#include "runtime/catalogue/hasher.h"
#include "runtime/models/life_adapters.h"
#include "runtime/models/life_room.h"
#include "runtime/models/worker_link.h"
#include "runtime/settings/model_settings.h"
#include "runtime/streams/engine_canary.h"
#include "runtime/streams/stream_state.h"

namespace aioss::runtime {

struct Model;

// kCold: of a model that it has no life, of a life that it is over.
enum class Phase {
  kCold,
  kWaitingForRoom,
  kLoading,
  kReady,
  kParking,        // it gives back what it computes with: see lives/lives_warm.cc
  kWarm,           // it has its model and nothing else
  kWaitingToWake,  // likewise, and it is wanted
  kWaking,         // it takes the rest again
  kStopping
};

struct Life final {
  Life(Model& of, std::uint64_t number_of_it) : model(of), number(number_of_it) {}
  Life(const Life&) = delete;
  Life& operator=(const Life&) = delete;

  bool has_no_requests() const;  // it is ready, and they have ended
  bool is_idle() const;          // likewise, and nobody waits whom it would serve
  // Its worker does what it is asked to: it is ready, or warm, or between these.
  bool listens() const { return phase >= Phase::kReady && phase <= Phase::kWaking; }
  bool has_worker_or_place() const {  // one whose files are sealed has its place
    return link != nullptr || phase == Phase::kLoading;
  }

  // Of a model there is one at most that serves, and one that is coming to take its place.
  enum class Role { kServes, kComing, kLeaving };

  Model& model;  // outlives it
  const std::uint64_t number;
  // Its name in the books of memory: the model's; of one that came beside another, its own.
  std::string holder;
  Phase phase = Phase::kWaitingForRoom;
  Role role = Role::kServes;
  bool drains = false;  // it serves, but gets no more requests: see lives/replacement.h
  std::int64_t drains_since_ns = 0;
  LifeRoom room;

  // What it is started with.
  ModelSettings settings;  // it was planned with these
  ipc::Configure configured;
  std::shared_ptr<const plugins::EngineImage> engine;  // null: it is linked
  std::shared_ptr<const OpenModel> files;  // what the worker loads, as long as there is one
  std::shared_ptr<OpenModel> sealing;      // they, until they are sealed and a worker has them
  bool outdated = false;  // the catalogue has other files or settings by this name, or none

  // What is known of it, as it comes.
  std::uint64_t start = 0;  // counts starts of workers, for the names of its threads
  std::unique_ptr<WorkerLink> link;
  std::optional<ipc::Hello> hello;
  std::optional<ipc::Ready> ready;
  std::optional<ModelHash> hash;
  std::optional<Hasher::Ticket> hashing;
  std::optional<std::uint64_t> load_record;
  enum class Prefixes { kThere, kOnTheDisk, kComing } prefixes = Prefixes::kThere;
  bool has_own_prefixes = false;  // which end with its worker
  bool forgets = false;           // once it listens: somebody was erased meanwhile

  std::vector<CanaryTokens>
      engine_canary;  // what it answered, once it was asked: lives/engine_switches.h

  // Who is with it, beside the requests that its link has.
  LifeAdapters adapters;
  std::vector<std::shared_ptr<Answer<ipc::ProbeReport>>> probe_waiters;
  // The last one, which runs alone (StreamState::is_suspect()); over once the link has it no more.
  std::optional<ipc::RequestId> suspect;

  // Its end.
  std::string unload_reason;     // for MODEL_UNLOAD; "": nobody asked it to end
  bool ended_by_itself = false;  // while stopping: nobody asked it to
  std::vector<std::shared_ptr<StreamState>> survivors;  // of the worker that was lost

  // Monotonic, nanoseconds.
  std::int64_t wanted_ns = 0;  // when it was begun: what a load takes counts from here
  std::int64_t stop_began_ns = 0;
  std::int64_t parking_ns = 0;     // since when, while it parks
  std::int64_t warm_until_ns = 0;  // while it is warm; INT64_MAX: for ever
  std::int64_t logged_ns = 0;      // when the log was last told how far the load is
};

}  // namespace aioss::runtime
