#include "cli/embedded_engines.h"

#include <utility>

#include "base/log.h"
#include "crypto/hash.h"
#include "os/fixed_content.h"

namespace aioss::cli {
namespace {

Result<plugins::EngineImage> image_of(const EmbeddedEngine& engine) {
  AIOSS_TRY(os::SealedCopy copy, os::SealedCopy::create("aioss-engine-" + engine.name));
  AIOSS_CHECK(copy.append(engine.bytes));
  AIOSS_TRY(os::Fd file, copy.seal());
  if (!os::can_be_executed(file.get())) {
    return Error{Code::kUnsupported, "this system executes no memory files"};
  }
  plugins::EngineImage image;
  image.name = engine.name;
  image.version = engine.version;
  image.file = std::make_shared<const os::Fd>(std::move(file));
  image.sha256 = crypto::sha256(engine.bytes);
  image.origin = "embedded";
  return image;
}

}  // namespace

void put_embedded(const Services& services, const os::CpuInfo* cpu, plugins::EngineTable& table) {
  if (!services.embedded) return;
  for (const EmbeddedEngine& engine : services.embedded()) {
    const std::string& level = engine.cpu_level;
    if (!level.empty() && cpu == nullptr) {
      log::warn("an engine for another level of processors is left out",
                {{"engine", engine.name}, {"level", level}});
      continue;
    }
    if (!level.empty() && os::cpu_level_problem(level, *cpu)) continue;  // the linked one does
    auto image = image_of(engine);
    if (!image) {
      log::warn("an engine that aioss has in itself cannot be used",
                {{"engine", engine.name}, {"reason", image.error().message}});
      continue;
    }
    if (!level.empty()) {
      log::info("an engine for this processor was chosen",
                {{"engine", engine.name}, {"level", level}, {"instead_of", services.cpu_level}});
    }
    table.put(std::move(*image));
  }
}

}  // namespace aioss::cli
