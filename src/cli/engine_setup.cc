#include "cli/engine_setup.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.h"
#include "cli/bundle_note.h"
#include "cli/embedded_engines.h"
#include "cli/key_argument.h"
#include "ledger/format/checkpoint.h"
#include "os/cpu.h"
#include "runtime/catalogue/allow_list.h"
#include "runtime/catalogue/engines.h"
#include "runtime/dry_runs/devices_child.h"

namespace aioss::cli {
namespace {

Result<std::optional<ledger::VerifierKey>> publisher_key(const Services& services,
                                                         const std::string& given) {
  if (given.empty()) return std::optional<ledger::VerifierKey>();
  AIOSS_TRY(const std::string text, key_argument(services.files, "engines_key", given));
  auto key = ledger::parse_note_key(text, ledger::KeyType::kLedger);
  if (!key) {
    return Error{Code::kUsage,
                 "engines_key: that is no key; give the whole line that 'aioss engine sign "
                 "--new-key' printed"};
  }
  return std::optional<ledger::VerifierKey>({key->name, key->public_key});
}

Result<std::optional<runtime::AllowList>> allow_list(const Services& services,
                                                     const std::string& path) {
  if (path.empty()) return std::optional<runtime::AllowList>();
  AIOSS_TRY(runtime::AllowList list, runtime::AllowList::read(services.files, path));
  return std::optional<runtime::AllowList>(std::move(list));
}

Status check_signature(const plugins::Manifest& manifest, const ledger::VerifierKey& key) {
  if (manifest.signature.empty()) {
    return Error{Code::kForbidden,
                 "it is not signed, and engines_key wants it signed by " + key.name};
  }
  return check_note(signed_engine(manifest.sha256), manifest.signature, key);
}

std::vector<plugins::EngineImage> linked_engines(const Services& services, bool fake_models) {
  std::vector<plugins::EngineImage> out;
  for (const EngineVersion& engine : services.engines()) {
    const bool fake = engine.name == runtime::kFakeEngine;
    if (fake && !fake_models) continue;
    plugins::EngineImage image;
    image.name = engine.name;
    image.version = engine.version;
    image.format = fake ? plugins::ModelFormat::kScript : plugins::ModelFormat::kGguf;
    image.is_linked = true;
    image.origin = "linked";
    out.push_back(std::move(image));
  }
  return out;
}

}  // namespace

std::shared_ptr<runtime::DeviceTable> device_table(const Services& services,
                                                   const plugins::EngineTable& engines) {
  auto found = runtime::ask_all_devices(&engines, "/proc/self/exe", services.clock);
  for (const Error& failure : found.failures) {
    log::warn("an engine for GPUs does not say which there are", {{"reason", failure.message}});
  }
  if (found.gpus.empty()) return nullptr;
  return std::make_shared<runtime::DeviceTable>(std::move(found.gpus));
}

bool is_own_engine(const Services& services, std::string_view name) {
  const auto has_it = [&](const auto& engines) {
    return std::any_of(engines.begin(), engines.end(),
                       [&](const auto& engine) { return engine.name == name; });
  };
  return has_it(services.engines()) || (services.embedded && has_it(services.embedded()));
}

Status check_not_own(const Services& services, std::string_view name) {
  if (!is_own_engine(services, name)) return ok();
  return Error{Code::kConflict, "aioss has an engine '" + std::string(name) +
                                    "' in itself, which no other replaces; build this one under "
                                    "another name"};
}

Result<plugins::Trust> engine_trust(const Services& services, const Config& config) {
  AIOSS_TRY(auto allowed, allow_list(services, config.text(Key::kEnginesAllow)));
  AIOSS_TRY(auto key, publisher_key(services, config.text(Key::kEnginesKey)));
  if (!allowed && !key) return plugins::Trust();
  return plugins::Trust([allowed = std::move(allowed), key = std::move(key)](
                            const plugins::Manifest& manifest, const std::string& file) -> Status {
    if (allowed && file.empty()) AIOSS_CHECK(allowed->check_digest(manifest.sha256));
    if (allowed && !file.empty()) AIOSS_CHECK(allowed->check({file}, {manifest.sha256}));
    return key ? check_signature(manifest, *key) : ok();
  });
}

std::shared_ptr<plugins::EngineTable> own_engines(const Services& services, bool fake_models) {
  auto table = std::make_shared<plugins::EngineTable>(linked_engines(services, fake_models));
  const auto cpu = services.cpu();
  if (!cpu) {
    log::warn("nothing is known of this processor", {{"reason", cpu.error().message}});
  }
  put_embedded(services, cpu ? &*cpu : nullptr, *table);
  return table;
}

Result<std::shared_ptr<plugins::EngineTable>> engine_table(const Services& services,
                                                           const Config& config, bool fake_models) {
  auto table = own_engines(services, fake_models);
  AIOSS_TRY(std::vector<plugins::EngineImage> installed,
            installed_engines(services, config, *table));
  for (plugins::EngineImage& engine : installed) table->put(std::move(engine));
  return table;
}

Result<std::vector<plugins::EngineImage>> installed_engines(const Services& services,
                                                            const Config& config,
                                                            plugins::EngineTable& table) {
  std::vector<plugins::EngineImage> out;
  AIOSS_TRY(const plugins::Trust trust, engine_trust(services, config));
  plugins::InstalledEngines found =
      plugins::read_engines(services.files, config.text(Key::kEnginesDir), trust);
  for (plugins::EngineImage& engine : found.engines) {
    if (const Status free = check_not_own(services, engine.name); !free) {
      found.left_out.push_back({engine.name, free.error()});
      continue;
    }
    out.push_back(std::move(engine));
  }
  for (const plugins::LeftOut& left : found.left_out) {
    log::error("an engine is left out", {{"engine", left.name}, {"reason", left.why.message}});
  }
  table.set_left_out(std::move(found.left_out));
  return out;
}

}  // namespace aioss::cli
