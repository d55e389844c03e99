// All requests that have not ended: which life has which, who waits for which model, until when,
// and which content is refused. Hands over to the life that serves, in order, and takes back what a
// lost worker leaves. The queue of those that wait is the model's (models/model.h). Runtime thread
// only.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "os/file.h"
#include "runtime/dry_runs/device_table.h"
#include "runtime/models/adapters.h"
#include "runtime/models/model_table.h"
#include "runtime/records/tally.h"
#include "runtime/requests/quarantine.h"
#include "runtime/room/prefix_custody.h"
#include "runtime/settings/gateway_options.h"

namespace aioss::runtime {

class RequestsHost {  // what handing over finds out
 public:
  virtual ~RequestsHost() = default;
  // True: what its worker reads is no longer what was recorded, and it ends.
  virtual bool end_if_changed(Life& life) = 0;
  virtual void await_end(Life& life) = 0;  // its link has ended by itself
  // Of devices, for which a request is proven to be at fault itself.
  virtual void give_back(const Model& model, const DeviceTable::Loss& loss) = 0;
};

class Requests final {
 public:
  struct Parts {  // all outlive it
    os::FileSystem& fs;
    const Clock& clock;
    const GatewayOptions& options;
    Tally& tally;
    ModelTable& models;
    PrefixCustody& prefixes;
    RequestsHost& host;
    Adapters& adapters;
  };
  explicit Requests(const Parts& parts) : parts_(parts), models_(parts_.models) {}

  // A request comes; it waits nowhere yet. Its model.
  Model& enter(const std::shared_ptr<StreamState>& stream, std::size_t prompt_bytes);
  // It has ended, and its place is free. Its stream and its model.
  struct Left {
    std::shared_ptr<StreamState> stream;
    std::size_t prompt_bytes = 0;  // with which it entered
    Model& model;
  };
  Left leave(ipc::RequestId id);
  bool empty() const { return running_.empty(); }

  // What its consumer wants; nothing if it has ended.
  void stop(ipc::RequestId id);
  void give_credit(ipc::RequestId id);

  // True: it has been told why, and no load is to be begun for it. A model that is not loaded is
  // known by its files and the engine that it would be loaded with.
  bool refuse_quarantined(const Model& model, StreamState& stream);
  bool refuse_failed(Model& model, StreamState& stream);  // a load that may not be tried yet
  void refuse(const Model& model, StreamState& stream, const Error& error,
              const std::vector<std::string>& details = {});
  // It waits for its model's life, and is told how far that is at the next look.
  void wait(Model& model, const std::shared_ptr<StreamState>& stream);
  // To the life that serves, in their order, as far as they may; those whose adapters are on their
  // way let others pass.
  void hand_over_waiting(Model& model);
  // A canary, to the life that it is of and to no other.
  void try_out(const std::shared_ptr<StreamState>& canary);

  // Of a life, what may go on with another one: not canaries, and nothing that is under adapters.
  std::vector<ipc::RequestId> movable(const Life& life) const;
  // Has `to` compute what it needs to go on with one of these, while the other life still answers.
  // Not while `to` is for a suspect. Null: there is nothing to gain, or no way.
  struct Ahead {
    ipc::RequestId number = 0;  // by which the link of `to` has it until it is done
    std::uint64_t tokens = 0;   // of the answer, that there are
    bool in_part = false;       // it computes the prompt alone: there are several choices
  };
  std::optional<Ahead> compute_ahead(const Life& to, ipc::RequestId id);
  // A suspect has it by itself, or is to have it.
  bool is_for_a_suspect(const Life& life) const;
  // What was computed ahead of it ended the worker, from inside.
  void blame(ipc::RequestId id);
  bool has(ipc::RequestId id) const { return running_.contains(id); }
  std::uint64_t tokens_of(ipc::RequestId id) const { return running_.at(id).stream->token_count(); }
  // At a token boundary: the life has it no more, and it is handed over to the one that serves, or
  // waits for it. Null: it is ending where it is.
  std::shared_ptr<StreamState> move(Life& from, ipc::RequestId id);

  // A worker is lost; its link has ended the streams that cannot go on.
  void take_back(Life& life, LinkLost lost);
  // Its process has ended: whose doing was it?
  void find_the_cause(Life& life, const LinkEnded& ended);

  // All that wait for the model, callers included.
  void abort_waiting(Model& model, const Error& error);
  // As a decision of ours, with `details` in its record.
  void refuse_waiting(Model& model, const Error& error, const std::vector<std::string>& details);
  void abort_of(const Model& model, const Error& error);  // also those that a life has
  void abort_all(const Error& error);
  void ledger_failed(const Error& error);

  // What time brings: ends those that are overdue or have waited for a load long enough, and tells
  // the others how far their loads are.
  void look(std::int64_t now_ns);
  // Until something is due, `most` at most.
  std::chrono::milliseconds patience(std::chrono::milliseconds most) const;

 private:
  struct Running {
    std::shared_ptr<StreamState> stream;
    Model* model = nullptr;
    std::size_t prompt_bytes = 0;
    std::uint64_t life = 0;  // that it was handed to, which may have ended; 0: it waits
    std::vector<DeviceTable::Loss> losses = {};  // of devices, by ends of lives that computed it
    bool is_handed_over() const { return life != 0; }
  };
  using Times = std::set<std::pair<std::int64_t, ipc::RequestId>>;

  bool must_wait_for_adapters(Life& life, const std::shared_ptr<StreamState>& stream,
                              std::optional<Error>& refused);
  void hand_over(Life& life, const std::shared_ptr<StreamState>& stream);
  static bool has_suspect(const Life& life);
  static bool must_wait(const Life& life, const StreamState& stream);
  WorkerLink* link_of(const Running& running) const;
  bool is_quarantined(const Life& life, const StreamState& stream);
  bool is_quarantined(const Model& model, const StreamState& stream);
  void quarantine(const Life& life, const StreamState& stream);
  void note_loss(const Life& life, const StreamState& stream);
  void give_losses_back(const Model& model, const StreamState& stream);
  std::shared_ptr<StreamState> take_due(Times& times, std::int64_t now_ns);
  void end_overdue(std::int64_t now_ns);
  void end_load_waits(std::int64_t now_ns);
  void tell_waiting(std::int64_t now_ns);
  ModelWait wait_of(const Model& model, std::size_t position) const;

  const Parts parts_;
  ModelTable& models_;
  std::unordered_map<ipc::RequestId, Running> running_;
  Times deadlines_;   // of running_
  Times overdue_;     // until when they may take to stop; may name some that have ended
  Times load_waits_;  // of running_: until when their models are to be ready
  std::int64_t told_ns_ = 0;
  Quarantine quarantine_;
};

}  // namespace aioss::runtime
