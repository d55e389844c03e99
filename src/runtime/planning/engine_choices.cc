#include "runtime/planning/engine_choices.h"

#include <utility>

#include "base/log.h"
#include "codec/cbor.h"

namespace aioss::runtime {
namespace {

constexpr std::uint64_t kVersion = 1;
constexpr std::uint64_t kFileBytesMax = 1U << 19;  // twice what kEnginePinsMax of the longest take
constexpr std::string_view kDamagedSuffix = ".damaged";
constexpr std::size_t kWriterStackBytes = std::size_t{256} << 10;
enum PinsFileKey : std::uint64_t { kPinsVersionKey = 0, kPinsListKey = 1 };
enum PinKey : std::uint64_t { kPinModelKey = 0, kPinEngineKey = 1 };

}  // namespace

EngineChoices::EngineChoices(os::FileSystem& fs, const std::string& directory) : fs_(fs) {
  if (directory.empty()) return;
  directory_ = directory;
  path_ = directory + "/model-engines.cbor";
  read();
  auto writer = os::Thread::start(kWriterStackBytes, [this] { write_loop(); });
  if (writer) {
    writer_ = std::move(*writer);
    return;
  }
  log::warn("pins of engines will not be kept", {{"reason", writer.error().message}});
  path_.clear();
}

EngineChoices::~EngineChoices() {
  {
    std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
}

// What cannot be read is as if there were no pins, and is kept when the next one is written.
void EngineChoices::read() {
  const Result<Bytes> bytes = os::read_file(fs_, path_, kFileBytesMax);
  if (!bytes && bytes.error().code == Code::kNotFound) return;
  const Status taken = bytes ? take_in(*bytes) : Status(bytes.error());
  written_ = pins();
  if (taken) return;
  is_damaged_ = true;
  log::error("not all pins of engines can be read: their models are computed as settings say",
             {{"file", path_},
              {"reason", taken.error().message},
              {"read", static_cast<std::uint64_t>(written_.size())},
              {"then_kept_as", path_ + std::string(kDamagedSuffix)}});
}

Status EngineChoices::take_in(ByteView bytes) {
  AIOSS_TRY(const codec::Map map, codec::decode_map(bytes));
  AIOSS_TRY(const std::uint64_t version, map.get_uint(kPinsVersionKey, "version"));
  if (version != kVersion) {
    return Error{Code::kUnsupported, "it is of version " + std::to_string(version) +
                                         ", and this aioss reads version " +
                                         std::to_string(kVersion)};
  }
  AIOSS_TRY(const codec::Array* list, map.get_array(kPinsListKey, "pins"));
  for (const codec::Value& value : *list) {
    if (choices_.size() >= kEnginePinsMax) return Error{Code::kCorrupt, "it has too many pins"};
    const codec::Map* pin = value.if_map();
    if (pin == nullptr) return Error{Code::kCorrupt, "a pin is no map"};
    AIOSS_TRY(const std::string model, pin->get_text(kPinModelKey, "model"));
    AIOSS_TRY(const std::string engine, pin->get_text(kPinEngineKey, "engine"));
    // Names of engines look like those of models.
    if (!is_model_name(model) || !is_model_name(engine)) {
      return Error{Code::kCorrupt, "a pin is not of a model's name and an engine's"};
    }
    choices_.insert_or_assign(model, Choice{engine, true, ""});
  }
  return ok();
}

bool EngineChoices::has_room_for_pin() const {
  std::lock_guard lock(mutex_);
  return pins().size() < kEnginePinsMax;
}

EngineChoices::Pins EngineChoices::pins() const {
  Pins out;
  for (const auto& [model, choice] : choices_) {
    if (choice.pinned) out.emplace(model, choice.engine);
  }
  return out;
}

std::optional<EngineChoices::Choice> EngineChoices::of(std::string_view model) const {
  std::lock_guard lock(mutex_);
  const auto found = choices_.find(model);
  if (found == choices_.end()) return std::nullopt;
  return found->second;
}

void EngineChoices::set(const std::string& model, Choice choice) {
  {
    std::lock_guard lock(mutex_);
    choices_.insert_or_assign(model, std::move(choice));
  }
  changed_.notify_all();
}

void EngineChoices::drop(const std::string& model) {
  {
    std::lock_guard lock(mutex_);
    choices_.erase(model);
  }
  changed_.notify_all();
}

void EngineChoices::apply(Catalogue& catalogue) const {
  for (auto& [name, entry] : catalogue.models) apply(entry);
}

void EngineChoices::apply(CatalogueEntry& entry) const {
  const auto chosen = of(entry.name);
  if (chosen) entry.settings.engine = chosen->engine;
}

// ---- the writer's thread ------------------------------------------------------------------------

void EngineChoices::write_loop() {
  os::set_thread_name("engine-pins");
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ends_ || pins() != written_; });
    Pins now = pins();
    if (now == written_) return;  // it ends
    const bool keeps_old = is_damaged_;
    lock.unlock();
    const Status written = keeps_old ? keep_damaged_and_write(now) : write(now);
    lock.lock();
    written_ = std::move(now);  // also if it failed: the next pin writes all of them again
    if (written) is_damaged_ = false;
    if (!written) {
      log::error("the pins of engines cannot be written, and are lost at the server's end",
                 {{"reason", written.error().message}});
    }
  }
}

Status EngineChoices::keep_damaged_and_write(const Pins& pins) const {
  const Status kept = fs_.rename(path_, path_ + std::string(kDamagedSuffix));
  if (!kept && kept.error().code != Code::kNotFound) return kept;
  return write(pins);
}

Status EngineChoices::write(const Pins& pins) const {
  codec::Array list;
  for (const auto& [model, engine] : pins) {
    codec::Map pin;
    pin.set(kPinModelKey, codec::Value::text(model)).set(kPinEngineKey, codec::Value::text(engine));
    list.push_back(codec::Value::map(std::move(pin)));
  }
  codec::Map map;
  map.set(kPinsVersionKey, codec::Value::uint(kVersion))
      .set(kPinsListKey, codec::Value::array(std::move(list)));
  AIOSS_CHECK(fs_.make_directories(directory_));
  return os::replace_file(fs_, path_, codec::encode(std::move(map)));
}

}  // namespace aioss::runtime
