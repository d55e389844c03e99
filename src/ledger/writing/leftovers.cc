#include "ledger/writing/leftovers.h"

namespace aioss::ledger {
namespace {

void begin(std::set<std::uint64_t>& open, const Record& record) {
  if (open.size() < kOpenLoadsMax) open.insert(record.index);
}

void end(std::set<std::uint64_t>& open, const Record& record) {
  if (const auto begun = record.body.get_uint(key::kRefIndex, "begin")) open.erase(*begun);
}

std::optional<Program> program_of(const codec::Map& body, std::uint64_t sha3, std::uint64_t text) {
  const auto digest = body.get_digest(sha3, "executable");
  if (!digest) return std::nullopt;
  auto version = body.get_text(text, "version");
  return Program{*digest, version ? std::move(*version) : std::string()};
}

codec::Map ending(std::uint64_t begun, std::uint64_t reason_key) {
  codec::Map body;
  body.set(key::kRefIndex, codec::Value::uint(begun))
      .set(reason_key, codec::Value::text(unload_reason::kCrash));
  return body;
}

}  // namespace

bool Leftovers::wants(RecordType type) {
  return type == RecordType::kEngineStart || type == RecordType::kEngineStop ||
         type == RecordType::kUpdate || type == RecordType::kModelLoad ||
         type == RecordType::kModelUnload;
}

void Leftovers::see(const Record& record) {
  std::optional<Program> program;
  switch (record.type) {
    case RecordType::kEngineStart:
      begin(engines_, record);
      program = program_of(record.body, key::engine_start::kBinarySha3,
                           key::engine_start::kProductVersion);
      break;
    case RecordType::kUpdate:
      program = program_of(record.body, key::update::kBinaryNow, key::update::kVersionNow);
      break;
    case RecordType::kEngineStop:
      return end(engines_, record);
    case RecordType::kModelLoad:
      return begin(loads_, record);
    case RecordType::kModelUnload:
      return end(loads_, record);
    default:
      return;
  }
  if (program) program_ = std::move(program);
}

std::vector<std::pair<RecordType, codec::Map>> Leftovers::endings() const {
  std::vector<std::pair<RecordType, codec::Map>> bodies;
  for (const std::uint64_t load : loads_) {
    bodies.emplace_back(RecordType::kModelUnload, ending(load, key::model_unload::kReason));
  }
  for (const std::uint64_t engine : engines_) {
    bodies.emplace_back(RecordType::kEngineStop, ending(engine, key::engine_stop::kReason));
  }
  return bodies;
}

}  // namespace aioss::ledger
