#include "runtime/records/load_records.h"

#include <utility>

#include "base/log.h"
#include "codec/hex.h"
#include "os/cpu.h"

namespace aioss::runtime {

LoadRecords::LoadRecords(ledger::Ledger& ledger, ipc::Profile profile, Post post, Told told)
    : ledger_(ledger), profile_(profile), post_(std::move(post)), told_(std::move(told)) {
  if (const auto cpu = os::cpu_info()) cpu_model_ = cpu->model;
}

void LoadRecords::program_is(const Digest& sha3) {
  program_ = sha3;
  const auto& before = ledger_.last_program();
  if (!before || before->sha3 == sha3) return;
  update_ = Update::kDue;
  append_update();
}

bool LoadRecords::takes(std::uint64_t life) const {
  return program_ && update_ != Update::kAppended && !loads_.contains(life);
}

void LoadRecords::record(const Loaded& what) {
  if (!takes(what.life)) return;
  if (update_ == Update::kDue) return append_update();
  const ipc::EngineFacts& facts = what.ready.engine;
  const std::string identity = facts.name + "\n" + facts.version + "\n" + facts.build_id + "\n" +
                               codec::to_hex(what.engine_sha256);
  const auto engine = engines_.find(identity);
  if (engine == engines_.end() || !engine->second.appended) {
    append_engine_start(identity, what);
  } else if (engine->second.record) {
    append_model_load(what, *engine->second.record);
  }  // otherwise the record is on its way
}

void LoadRecords::ended(std::uint64_t life, std::string reason) {
  const auto found = loads_.find(life);
  if (found == loads_.end()) return;  // it was not recorded
  if (reason.empty()) reason = ledger::unload_reason::kLoadFailed;
  if (!found->second.record) {
    found->second.ended = std::move(reason);
    return;
  }
  append_model_unload(*found->second.record, reason);
  loads_.erase(found);
}

std::vector<std::uint64_t> LoadRecords::engine_records() const {
  std::vector<std::uint64_t> records;
  for (const auto& [identity, engine] : engines_) {
    if (engine.record) records.push_back(*engine.record);
  }
  return records;
}

// ---- one record ---------------------------------------------------------------------------------

// Whatever waits for `done` comes to it on the runtime thread; the ledger's touches nothing here.
void LoadRecords::append(ledger::RecordType type, codec::Map body,
                         std::function<void(const Result<ledger::Committed>&)> done) {
  ++pending_;
  ledger_.append(
      type, std::move(body),
      [this, post = post_, done = std::move(done)](const Result<ledger::Committed>& result) {
        post([this, done, result] {
          --pending_;
          done(result);
          told_.settled();
        });
      });
}

void LoadRecords::append_update() {
  update_ = Update::kAppended;
  append(ledger::RecordType::kUpdate, records::update(*ledger_.last_program(), *program_),
         [this](const auto& result) { on_update(result); });
}

// If it fails, the next load tries it again.
void LoadRecords::on_update(const Result<ledger::Committed>& result) {
  update_ = result ? Update::kNone : Update::kDue;
  if (result) return told_.advanced();
  told_.failed({Code::kLedgerUnavailable,
                "the update of aioss cannot be recorded: " + result.error().message});
}

void LoadRecords::append_engine_start(const std::string& identity, const Loaded& what) {
  engines_[identity].appended = true;
  append(ledger::RecordType::kEngineStart,
         records::engine_start({what.ready.engine, profile_, *program_, cpu_model_,
                                what.confinement, what.engine_sha256}),
         [this, identity](const auto& result) { on_engine(identity, result); });
}

void LoadRecords::on_engine(const std::string& identity, const Result<ledger::Committed>& result) {
  if (result) {
    engines_[identity].record = result->index;
    return told_.advanced();
  }
  engines_.erase(identity);
  told_.failed({Code::kLedgerUnavailable,
                "the engine's start cannot be recorded: " + result.error().message});
}

void LoadRecords::append_model_load(const Loaded& what, std::uint64_t engine_record) {
  loads_[what.life];
  append(ledger::RecordType::kModelLoad,
         records::model_load(
             {what.model, what.ready, what.hash, what.file_bytes, engine_record, what.placement}),
         [this, life = what.life](const auto& result) { on_load(life, result); });
}

void LoadRecords::on_load(std::uint64_t life, const Result<ledger::Committed>& result) {
  const auto found = loads_.find(life);
  const std::optional<std::string> ended = found->second.ended;
  if (result) found->second.record = result->index;
  if (!result || ended) loads_.erase(found);
  if (ended) {
    if (result) append_model_unload(result->index, *ended);
  } else if (result) {
    told_.loaded(life, result->index);
  } else {
    told_.loaded(life, Error{Code::kLedgerUnavailable,
                             "the load cannot be recorded: " + result.error().message});
  }
}

void LoadRecords::append_model_unload(std::uint64_t load_record, const std::string& reason) {
  append(ledger::RecordType::kModelUnload, records::model_unload(load_record, reason),
         [this](const auto& result) { on_unload(result); });
}

void LoadRecords::on_unload(const Result<ledger::Committed>& result) {
  if (result) return;
  ++lost_;
  log::error("MODEL_UNLOAD is not recorded", {{"reason", result.error().message}});
}

}  // namespace aioss::runtime
