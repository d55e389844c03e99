#include "runtime/catalogue/engines.h"

#include "base/strings.h"
#include "crypto/hash.h"

namespace aioss::runtime {

Result<EngineImagePointer> engine_of(const std::shared_ptr<plugins::EngineTable>& engines,
                                     std::string_view name) {
  if (!engines) return EngineImagePointer();
  return engines->get(name);
}

Digest file_digest(const EngineImagePointer& engine) {
  return engine && !engine->is_linked ? engine->sha256 : Digest{};
}

Digest with_engine(const Digest& digest, const EngineImagePointer& engine) {
  if (!engine || engine->is_linked) return digest;
  return crypto::sha3_256({ByteView(digest), ByteView(engine->sha256)});
}

Status check_engine(const EngineImagePointer& engine, const ipc::EngineFacts& facts) {
  if (!engine || engine->is_linked) return ok();
  const bool same_version = engine->version.empty() || engine->version == facts.version;
  if (facts.name == engine->name && same_version) return ok();
  return Error{Code::kEngineFailed, "engine '" + engine->name + "' is installed as version " +
                                        engine->version + " and calls itself '" +
                                        one_line(facts.name) + "' " + one_line(facts.version)};
}

}  // namespace aioss::runtime
