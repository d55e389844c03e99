// What a worker is given of its model. With a list of allowed files (docs/models.md) its bytes are
// fixed before they are hashed, and it starts only once their hash is known and is in the list;
// otherwise it loads while they are hashed.
#include <utility>

#include "runtime/supervisor.h"

namespace aioss::runtime {

// Null: they are being sealed, and the load goes on when that is done; or they are not those that
// were planned, and it begins again.
Result<std::shared_ptr<OpenModel>> Supervisor::files_of(Slot& slot, const CatalogueEntry& entry) {
  if (slot.hash && slot.hash->sealed) return std::exchange(slot.sealing, nullptr);
  AIOSS_TRY(std::shared_ptr<OpenModel> files, open_model(parts_.fs, entry));
  if (!is_as_planned(slot, entry, *files)) {
    plan_again(slot);
    return std::shared_ptr<OpenModel>();
  }
  if (!catalogue_.allowed) return files;
  slot.files = slot.sealing = std::move(files);
  begin_sealing(slot);
  return std::shared_ptr<OpenModel>();
}

void Supervisor::begin_sealing(Slot& slot) {
  const auto desk = parts_.desk;
  slot.hashing =
      parts_.hasher.seal_model(slot.sealing, [desk, name = slot.name, load = slot.load](auto hash) {
        desk->post([name, load, hash = std::move(hash)](Supervisor& supervisor) {
          supervisor.on_hashed(name, load, hash);
        });
      });
}

// False: the load has failed.
bool Supervisor::on_sealed(Slot& slot) {
  const auto entry = catalogue_.models.find(slot.name);
  Status fit = ok();
  if (entry == catalogue_.models.end()) {
    fit = Error{Code::kNotFound, "the file of model '" + slot.name + "' is gone"};
  } else if (!slot.files->is_of(entry->second)) {
    fit = Error{Code::kModelCorrupt, "the file of model '" + slot.name +
                                         "' was replaced while it was sealed; try again"};
  } else if (catalogue_.allowed) {
    fit = catalogue_.allowed->check(entry->second.paths, slot.hash->parts);
  }
  if (fit) fit = start_worker(slot);
  if (!fit) fail_load(slot, std::move(fit).error());
  return slot.link != nullptr;
}

// A load without a worker: there is none to be stopped.
void Supervisor::give_up_sealing(Slot& slot) {
  stop_hashing(slot);
  slot.phase = Phase::kCold;
  slot.files.reset();
  slot.sealing.reset();
  slot.room.committed.clear();
  room_changed_ = true;
  publish(slot);
}

}  // namespace aioss::runtime
