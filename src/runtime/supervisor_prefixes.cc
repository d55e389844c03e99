// What is kept of prompts, from one worker to the next and over the disk: see prefix_store.h and
// prefix_disk.h.
#include <utility>

#include "runtime/supervisor.h"

namespace aioss::runtime {
namespace {

constexpr double kTokensPerChunk = 64;  // of Stats::chunk_ns

}  // namespace

// New memory may get something from the disk, while the model is loaded: the worker waits for word
// of that.
void Supervisor::give_prefixes(Life& life, LinkOptions& link,
                               const std::vector<os::FileInfo>& files) {
  const Model& model = life.model;
  link.prefix_fd = prefixes_.memory_for(model.name, files, life.room.prefix_bytes_max);
  const bool comes = parts_.prefix_disk && !model.distrusts_prefixes && link.prefix_fd >= 0 &&
                     prefixes_.is_new(model.name);
  life.prefixes = comes ? Life::Prefixes::kOnTheDisk : Life::Prefixes::kThere;
  link.configure.prefixes_later = comes;
  life.configured = link.configure;
}

// What they depend on is known now.
void Supervisor::bring_prefixes(Life& life) {
  if (!parts_.prefix_disk) return;
  const Digest identity =
      prefix_identity(life.hash->sha256, *records_.program(), life.configured, *life.ready);
  prefixes_.identify(life.model.name, identity);
  if (life.prefixes != Life::Prefixes::kOnTheDisk) return;
  life.prefixes = Life::Prefixes::kComing;
  const auto desk = parts_.desk;
  parts_.prefix_disk->restore(
      prefixes_.memory_of(life.model.name), identity,
      [desk, number = life.number](PrefixOwners owners) {
        desk->post([number, owners = std::move(owners)](Supervisor& supervisor) {
          supervisor.on_prefixes_brought(number, owners);
        });
      });
}

void Supervisor::on_prefixes_brought(std::uint64_t number, PrefixOwners owners) {
  Life* const found = models_.life(number);
  if (found == nullptr || !found->link) return;
  Life& life = *found;
  for (const auto& [of, owner] : owners) prefixes_.add_owner(life.model.name, owner);
  life.prefixes = Life::Prefixes::kThere;
  life.link->take_over_prefixes();  // whoever was erased meanwhile: it forgets, and then takes over
  become_ready_if_whole(life);
}

// Before the model's next worker starts, which takes them back.
void Supervisor::take_prefixes(const Life& life, std::uint64_t chunk_ns) {
  const std::string& model = life.model.name;
  // The disk may still be writing into it, or it was computed with other weights than were hashed.
  const bool changed = life.files && life.files->was_changed();
  if (changed || life.prefixes != Life::Prefixes::kThere) prefixes_.drop(model);
  if (!parts_.prefix_disk) return;
  std::optional<PrefixesLeft> left = prefixes_.left_by(model);
  if (!left) return;
  left->prefill_ns_per_token = static_cast<double>(chunk_ns) / kTokensPerChunk;
  parts_.prefix_disk->save(std::move(*left));
}

void Supervisor::note_owner(const Model& model, const StreamState& stream) {
  if (!parts_.prefix_disk || !stream.subject()) return;
  prefixes_.add_owner(model.name, {stream.subject(), turn_name(stream.principal())});
}

// The ones that run clear theirs; the next ones begin with new memory, whatever those managed.
void Supervisor::forget_prefixes() {
  prefixes_.clear();
  for (Life* const life : models_.lives()) {
    if (!life->link) continue;
    // Before its Hello it would take anything but Configure for a broken conversation.
    if (life->hello) life->link->forget_prefixes();
    life->forgets = !life->hello;
  }
}

}  // namespace aioss::runtime
