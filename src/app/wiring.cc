#include "app/wiring.h"

#include "engines/fake/fake_engine.h"
#include "engines/llama/llama_engine.h"

namespace aioss::app {

std::vector<worker::EngineChoice> engines() {
  worker::EngineChoice llama;
  llama.name = "llama";
  llama.engine = engines::llama::entry();
  llama.open_text = [](engine::Model& model, const std::vector<int>&) {
    return engines::llama::open_text(model);
  };

  worker::EngineChoice fake;
  fake.name = "fake";
  fake.engine = engines::fake::entry();
  fake.open_text = [](engine::Model& model, const std::vector<int>&) {
    return engines::fake::open_text(model);
  };
  fake.needs_gguf = false;  // its models are scripts

  return {llama, fake};
}

Result<std::unique_ptr<engine::TextModel>> open_vocabulary(const std::vector<int>& fds) {
  return engines::llama::open_vocabulary(fds);
}

std::vector<cli::EngineVersion> engine_versions() {
  std::vector<cli::EngineVersion> versions;
  for (const worker::EngineChoice& choice : engines()) {
    aioss_engine_identity identity{};
    identity.struct_size = sizeof identity;
    choice.engine->identity(&identity);
    versions.push_back({choice.name, identity.version, identity.build_id, identity.compiler,
                        identity.cpu_features});
  }
  return versions;
}

std::string cpu_level() {
  return AIOSS_CPU_LEVEL;
}

}  // namespace aioss::app
