// How a model that is wanted comes to have room: what it needs is planned, others are unloaded if
// they must be, and only when all of it is leased its worker is started. What cannot have room is
// told so before anything is touched. Chooses also who gives way when the machine is short. The
// books themselves are Books'. Runtime thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "memory/eviction.h"
#include "os/file.h"
#include "runtime/calls/post.h"
#include "runtime/dry_runs/planner.h"
#include "runtime/models/model_table.h"
#include "runtime/room/books.h"
#include "runtime/settings/gateway_options.h"

namespace aioss::runtime {

class Adapters;

// So many models are planned at once, whose answers are tasks; who wants another is told "busy".
inline constexpr std::size_t kPlansMax = 64;

class RoomHost {  // what comes of it
 public:
  virtual ~RoomHost() = default;
  virtual void start(Life& life) = 0;                   // it has its room
  virtual void has_no_room_beside(Life& life) = 0;      // one that is coming: nobody goes for it
  virtual void fail_load(Life& life, Error error) = 0;  // it cannot be planned, or never fits
  // It could not be planned on `device`, one or several, but can be elsewhere.
  virtual void device_failed(Life& life, const std::string& device, const std::string& why) = 0;
  // It is not loaded now: for want of room; for other reasons.
  // `details`: for the record, what was needed, what there is and who has it.
  virtual void turn_away(Life& life, const Error& error,
                         const std::vector<std::string>& details) = 0;
  virtual void refuse_waiting(Life& life, const Error& error) = 0;
  virtual void evict(Life& life, std::string_view reason, std::vector<std::string> details) = 0;
  virtual void park(Life& life, std::string_view reason, std::vector<std::string> details) = 0;
};

class Room final {
 public:
  struct Parts {  // all outlive it
    const GatewayOptions& options;
    os::FileSystem& fs;
    const Clock& clock;
    ModelTable& models;
    memory::Pool& pool;
    Books& books;
    Planner* planner;  // null: what a model needs is guessed from its file's size
    Post post;
    RoomHost& host;
    Adapters* adapters = nullptr;  // unused ones go before any model; null: there are none
  };
  explicit Room(const Parts& parts) : parts_(parts), models_(parts_.models), pool_(parts_.pool) {}

  // A life that was just begun. Its turn comes once it is known what it needs; at once, in the room
  // of the life before it, if answers that have begun wait for it.
  void plan(Life& life);
  // What was leased was for other files or settings than there are by now. Not started yet.
  void plan_again(Life& life);
  // A warm one is wanted: it needs its session's part of the plan again.
  void want_back(Life& life);
  // Whether its settings and places are those that it was planned with; and its files, too.
  bool is_wanted_as_planned(const Life& life, const CatalogueEntry& entry) const;
  bool is_as_planned(const Life& life, const CatalogueEntry& entry, const OpenModel& files) const;

  // Somebody may have room now: admit() is worth calling.
  void changed() { changed_ = true; }
  bool take_changed() { return std::exchange(changed_, false); }
  // Starts those that have room, makes room for the next, turns away those that cannot have any.
  // In the order in which they came; none overtakes one whose room is on its way.
  void admit();
  std::vector<Life*> waiting() const;  // in their order

  memory::Stays stays(const Life& life) const;  // why it may not be evicted
  // That parking it would free. 0: it is not to be parked.
  std::uint64_t parked_bytes(const Life& life) const;
  // Unloads what is worth least, if something that nobody uses can go.
  void give_way(const Books::Shortage& shortage);

 private:
  struct Missing {  // for a load, beside what is free or will be
    std::uint64_t bytes = 0;
    std::size_t workers = 0;
  };
  Status within_own_limit(const Model& model, const ModelPlan& plan) const;
  void on_planned(std::uint64_t number, Result<ModelPlan> plan);
  bool admit(Life& life);
  bool take_room(Life& life);
  bool make_room(Life& life);
  bool fits_alone(const Life& life) const;
  bool goes_elsewhere(Life& life);
  bool let_adapters_go(const Life& life, const std::vector<memory::Candidate>& known,
                       const Missing& missing);
  bool may_hope(Life& life, std::vector<memory::Candidate> known, const memory::Wanted& wanted,
                std::int64_t busy_since_ns) const;
  void offer_place(Life& life) const;
  bool plan_elsewhere(Life& life, const ModelPlan& plan);
  bool fails_on_device(Life& life, const Error& error);
  void plan_there(Life& life);
  void ask_planner(Life& life, std::shared_ptr<const OpenModel> files);
  using NeedsOfBooks = std::vector<std::pair<std::string, memory::Amounts>>;
  static NeedsOfBooks needs_of(const Life& life);
  static std::uint64_t needs_of(const Life& life, const std::string& book);
  std::string tight_book(const Life& life) const;
  static std::uint64_t session_bytes(const Life& life, const std::string& device);
  std::uint64_t shortfall_of(const Life& life, const std::string& book) const;
  Missing missing_for(const Life& life) const;
  void refuse(Life& life, const Missing& missing, const memory::Choice& choice);
  std::vector<memory::Candidate> candidates(const std::string& device, const Life* but) const;
  void evict_chosen(const memory::Choice& choice, std::string_view reason, const std::string& why);

  const Parts parts_;
  ModelTable& models_;
  memory::Pool& pool_;
  std::uint64_t turns_ = 0;
  std::size_t plans_pending_ = 0;
  bool changed_ = false;
};

}  // namespace aioss::runtime
