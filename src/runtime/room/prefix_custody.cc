#include "runtime/room/prefix_custody.h"

#include <algorithm>
#include <utility>

#include "crypto/hash.h"
#include "runtime/calls/tenant_book.h"
#include "runtime/catalogue/engines.h"
#include "runtime/models/model_table.h"

namespace aioss::runtime {
namespace {

constexpr double kTokensPerChunk = 64;  // of Stats::chunk_ns

// No model has a name like this.
std::string key_of(const Life& life) {
  return life.has_own_prefixes ? "own#" + std::to_string(life.number) : life.model.name;
}

// What states depend on beside the files: an engine and its file, and how it computes. The rest of
// the settings may change from one worker to the next.
Digest computes_of(const Life& life, const ipc::Configure& configured) {
  ipc::Configure how;
  how.engine = configured.engine;
  how.kv_type = configured.kv_type;
  how.flash_attention = configured.flash_attention;
  how.micro_batch_tokens_max = configured.micro_batch_tokens_max;
  how.prefill_chunk_tokens_max = configured.prefill_chunk_tokens_max;
  how.device = configured.device;
  how.layers = configured.layers;
  const Bytes settings = ipc::encode(ipc::ToWorker{how});
  const Digest file = file_digest(life.engine);
  return crypto::sha3_256({ByteView(settings), ByteView(file)});
}

}  // namespace

PrefixCustody::PrefixCustody(PrefixStore store, PrefixDisk* disk, ModelTable& models, Post post,
                             There there)
    : store_(std::move(store)),
      disk_(disk),
      models_(models),
      post_(std::move(post)),
      there_(std::move(there)) {}

void PrefixCustody::give(Life& life, LinkOptions& link, const std::vector<os::FileInfo>& files) {
  const Model& model = life.model;
  // Those of the model may be with another worker of it, and only one at a time can have them.
  life.has_own_prefixes =
      life.role == Life::Role::kComing ||
      std::any_of(model.lives.begin(), model.lives.end(), [&](const auto& other) {
        return other.get() != &life && other->link && !other->has_own_prefixes;
      });
  link.prefix_fd = store_.memory_for(key_of(life), files, computes_of(life, link.configure),
                                     life.room.prefix_bytes_max);
  const bool comes = disk_ != nullptr && !model.distrusts_prefixes && link.prefix_fd >= 0 &&
                     !life.has_own_prefixes && store_.is_new(model.name);
  life.prefixes = comes ? Life::Prefixes::kOnTheDisk : Life::Prefixes::kThere;
  link.configure.prefixes_later = comes;
  life.configured = link.configure;
}

void PrefixCustody::was_not_started(const Life& life) {
  const std::string model = key_of(life);
  store_.is_new(model) ? store_.drop(model) : store_.ended(model);
}

void PrefixCustody::bring(Life& life, const Digest& program) {
  if (disk_ == nullptr || life.has_own_prefixes) return;
  const Digest computes = with_engine(program, life.engine);
  const Digest identity =
      prefix_identity(life.hash->sha256, computes, life.configured, *life.ready);
  store_.identify(life.model.name, identity);
  if (life.prefixes != Life::Prefixes::kOnTheDisk) return;
  life.prefixes = Life::Prefixes::kComing;
  disk_->restore(store_.memory_of(life.model.name), identity,
                 [this, post = post_, number = life.number](PrefixOwners owners) {
                   post([this, number, owners = std::move(owners)] { on_brought(number, owners); });
                 });
}

void PrefixCustody::on_brought(std::uint64_t number, const PrefixOwners& owners) {
  Life* const life = models_.life(number);
  if (life == nullptr || !life->link) return;
  for (const auto& [of, owner] : owners) store_.add_owner(life->model.name, owner);
  life->prefixes = Life::Prefixes::kThere;
  // Whoever was erased meanwhile: it forgets, and then takes over.
  life->link->take_over_prefixes();
  there_(*life);
}

void PrefixCustody::note_owner(const Model& model, const StreamState& stream) {
  if (disk_ == nullptr || !stream.subject()) return;
  store_.add_owner(model.name, {stream.subject(), turn_name(stream.principal())});
}

void PrefixCustody::take(const Life& life, bool trusted, std::uint64_t chunk_ns) {
  const std::string model = key_of(life);
  store_.ended(model);
  // What follows it computes with another file or other settings, or has its own.
  const bool leaves = life.role == Life::Role::kLeaving || life.outdated;
  if (life.has_own_prefixes || leaves) return store_.drop(model);
  // The disk may still be writing into it, or it was computed with other weights than were hashed.
  const bool changed = life.files && life.files->was_changed();
  if (!trusted || changed || life.prefixes != Life::Prefixes::kThere) store_.drop(model);
  if (disk_ == nullptr) return;
  std::optional<PrefixesLeft> left = store_.left_by(model);
  if (!left) return;
  left->prefill_ns_per_token = static_cast<double>(chunk_ns) / kTokensPerChunk;
  disk_->save(std::move(*left));
}

void PrefixCustody::forget() {
  store_.clear();
  for (Life* const life : models_.lives()) {
    if (!life->link) continue;
    // Before its Hello it would take anything but Configure for a broken conversation.
    if (life->hello) life->link->forget_prefixes();
    life->forgets = !life->hello;
  }
}

std::optional<std::uint64_t> PrefixCustody::bytes_of(const std::string& model) const {
  return store_.bytes_of(model);
}

void PrefixCustody::drop(const std::string& model) {
  store_.drop(model);
}

}  // namespace aioss::runtime
