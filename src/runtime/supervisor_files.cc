// What a worker is given of its model. With a list of allowed files (docs/models.md) its bytes are
// fixed before they are hashed, and it starts only once their hash is known and is in the list;
// otherwise it loads while they are hashed.
#include <utility>

#include "runtime/supervisor.h"

namespace aioss::runtime {

// Null: they are being sealed, and the load goes on when that is done; or they are not those that
// were planned, and it begins again.
Result<std::shared_ptr<OpenModel>> Supervisor::files_of(Life& life, const CatalogueEntry& entry) {
  if (life.hash && life.hash->sealed) return std::exchange(life.sealing, nullptr);
  AIOSS_TRY(std::shared_ptr<OpenModel> files, open_model(parts_.fs, entry));
  if (!is_as_planned(life, entry, *files)) {
    plan_again(life);
    return std::shared_ptr<OpenModel>();
  }
  if (!models_.catalogue().allowed) return files;
  life.files = life.sealing = std::move(files);
  begin_sealing(life);
  return std::shared_ptr<OpenModel>();
}

void Supervisor::begin_sealing(Life& life) {
  const auto desk = parts_.desk;
  life.hashing = parts_.hasher.seal_model(life.sealing, [desk, number = life.number](auto hash) {
    desk->post([number, hash = std::move(hash)](Supervisor& supervisor) {
      supervisor.on_hashed(number, hash);
    });
  });
}

// False: the load has failed.
bool Supervisor::on_sealed(Life& life) {
  const std::string& model = life.model.name;
  const CatalogueEntry* const entry = models_.entry(model);
  Status fit = ok();
  if (entry == nullptr) {
    fit = Error{Code::kNotFound, "the file of model '" + model + "' is gone"};
  } else if (!life.files->is_of(*entry)) {
    fit = Error{Code::kModelCorrupt,
                "the file of model '" + model + "' was replaced while it was sealed; try again"};
  } else if (models_.catalogue().allowed) {
    fit = models_.catalogue().allowed->check(entry->paths, life.hash->parts);
  }
  if (fit) fit = start_worker(life);
  if (!fit) fail_load(life, std::move(fit).error());
  return life.link != nullptr;
}

// A load without a worker: there is none to be stopped.
void Supervisor::give_up_sealing(Life& life) {
  stop_hashing(life);
  models_.end_life(life);
  life.files.reset();
  life.sealing.reset();
  life.room.committed.clear();
  room_changed_ = true;
  publish(life.model);
}

}  // namespace aioss::runtime
