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
void Supervisor::give_prefixes(Slot& slot, LinkOptions& link,
                               const std::vector<os::FileInfo>& files) {
  link.prefix_fd = prefixes_.memory_for(slot.name, files, slot.room.prefix_bytes_max);
  const bool comes = parts_.prefix_disk && !slot.distrusts_prefixes && link.prefix_fd >= 0 &&
                     prefixes_.is_new(slot.name);
  slot.prefixes = comes ? Slot::Prefixes::kOnTheDisk : Slot::Prefixes::kThere;
  link.configure.prefixes_later = comes;
  slot.configured = link.configure;
}

// What they depend on is known now.
void Supervisor::bring_prefixes(Slot& slot) {
  if (!parts_.prefix_disk) return;
  const Digest identity =
      prefix_identity(slot.hash->sha256, *binary_sha3_, slot.configured, *slot.ready);
  prefixes_.identify(slot.name, identity);
  if (slot.prefixes != Slot::Prefixes::kOnTheDisk) return;
  slot.prefixes = Slot::Prefixes::kComing;
  const auto desk = parts_.desk;
  parts_.prefix_disk->restore(
      prefixes_.memory_of(slot.name), identity,
      [desk, name = slot.name, load = slot.load](PrefixOwners owners) {
        desk->post([name, load, owners = std::move(owners)](Supervisor& supervisor) {
          supervisor.on_prefixes_brought(name, load, owners);
        });
      });
}

void Supervisor::on_prefixes_brought(const std::string& model, std::uint64_t load,
                                     PrefixOwners owners) {
  Slot& slot = slot_of(model);
  if (slot.load != load || !slot.link) return;
  for (const auto& [number, owner] : owners) prefixes_.add_owner(model, owner);
  slot.prefixes = Slot::Prefixes::kThere;
  slot.link->take_over_prefixes();  // whoever was erased meanwhile: it forgets, and then takes over
  become_ready_if_whole(slot);
}

// Before the model's next worker starts, which takes them back.
void Supervisor::take_prefixes(Slot& slot, std::uint64_t chunk_ns) {
  // The disk may still be writing into it, or it was computed with other weights than were hashed.
  const bool changed = slot.files && slot.files->was_changed();
  if (changed || slot.prefixes != Slot::Prefixes::kThere) prefixes_.drop(slot.name);
  if (!parts_.prefix_disk) return;
  std::optional<PrefixesLeft> left = prefixes_.left_by(slot.name);
  if (!left) return;
  left->prefill_ns_per_token = static_cast<double>(chunk_ns) / kTokensPerChunk;
  parts_.prefix_disk->save(std::move(*left));
}

void Supervisor::note_owner(const Slot& slot, const StreamState& stream) {
  if (!parts_.prefix_disk || !stream.subject()) return;
  prefixes_.add_owner(slot.name, {stream.subject(), turn_name(stream.principal())});
}

// The ones that run clear theirs; the next ones begin with new memory, whatever those managed.
void Supervisor::forget_prefixes() {
  prefixes_.clear();
  for (auto& [name, slot] : slots_) {
    if (!slot->link) continue;
    // Before its Hello it would take anything but Configure for a broken conversation.
    if (slot->hello) slot->link->forget_prefixes();
    slot->forgets = !slot->hello;
  }
}

}  // namespace aioss::runtime
