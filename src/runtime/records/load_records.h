// The records of engines and models: UPDATE once, if the executable is another one than the
// ledger's last; ENGINE_START once for each engine that says it is one; MODEL_LOAD before a life of
// a model serves; MODEL_UNLOAD once that has ended, also if it ended before its load was durable.
// One after the other, for each names the one before. Runtime thread only; what the ledger says
// comes back to it as tasks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "ipc/messages.h"
#include "ledger/writing/ledger.h"
#include "runtime/calls/post.h"
#include "runtime/catalogue/hasher.h"
#include "runtime/records/records.h"

namespace aioss::runtime {

class LoadRecords final {
 public:
  struct Told {                      // on the runtime thread, when a record is durable, or is not
    std::function<void()> advanced;  // loads that wait may be recorded now
    std::function<void(const Error&)> failed;  // and cannot: the next load tries it again
    std::function<void(std::uint64_t life, const Result<std::uint64_t>& record)> loaded;
    std::function<void()> settled;  // after each of these, and of MODEL_UNLOAD
  };
  struct Loaded {  // a life that is ready but for its record
    std::uint64_t life = 0;
    const std::string& model;
    const ipc::Ready& ready;
    const ModelHash& hash;
    std::uint64_t file_bytes = 0;
    std::string confinement;  // as its worker says
    Digest engine_sha256{};   // of its engine's file; zeros: it is linked
    records::Placement placement = {};
  };

  // The ledger outlives it.
  LoadRecords(ledger::Ledger& ledger, ipc::Profile profile, Post post, Told told);

  // What the executable is. Before, nothing is recorded.
  void program_is(const Digest& sha3);
  void program_is_unknown(Error why) { problem_ = std::move(why); }
  const std::optional<Error>& problem() const { return problem_; }
  const std::optional<Digest>& program() const { return program_; }

  // Whether record() would do something for this life now.
  bool takes(std::uint64_t life) const;
  // Appends the next record that its load needs. Again after each Told::advanced, until `loaded`.
  void record(const Loaded& what);
  // The life is over, whatever it had come to. `reason`: of MODEL_UNLOAD; "": its load failed.
  void ended(std::uint64_t life, std::string reason);

  bool all_settled() const { return pending_ == 0; }
  std::size_t lost() const { return lost_; }  // MODEL_UNLOADs that the ledger did not take
  std::vector<std::uint64_t> engine_records() const;

 private:
  struct Engine {
    bool appended = false;
    std::optional<std::uint64_t> record;
  };
  struct Load {
    std::optional<std::uint64_t> record;  // nothing: on its way
    std::optional<std::string> ended;     // meanwhile, and why
  };
  enum class Update { kNone, kDue, kAppended };

  void append(ledger::RecordType type, codec::Map body,
              std::function<void(const Result<ledger::Committed>&)> done);
  void append_update();
  void append_engine_start(const std::string& identity, const Loaded& what);
  void append_model_load(const Loaded& what, std::uint64_t engine_record);
  void append_model_unload(std::uint64_t load_record, const std::string& reason);
  void on_update(const Result<ledger::Committed>& result);
  void on_engine(const std::string& identity, const Result<ledger::Committed>& result);
  void on_load(std::uint64_t life, const Result<ledger::Committed>& result);
  void on_unload(const Result<ledger::Committed>& result);

  ledger::Ledger& ledger_;
  const ipc::Profile profile_;
  const Post post_;
  const Told told_;
  std::string cpu_model_;
  std::optional<Digest> program_;
  std::optional<Error> problem_;  // why it could not be hashed: no engine can be recorded
  Update update_ = Update::kNone;
  std::map<std::string, Engine> engines_;  // by identity
  std::map<std::uint64_t, Load> loads_;    // by life, from MODEL_LOAD to MODEL_UNLOAD
  std::size_t pending_ = 0, lost_ = 0;
};

}  // namespace aioss::runtime
