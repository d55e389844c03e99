#include "runtime/prefixes/prefix_disk.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "crypto/hash.h"
#include "ipc/prefix_memory.h"
#include "os/thread.h"
#include "runtime/calls/tenant_book.h"

namespace aioss::runtime {
namespace {

using ledger::PrefixFiles;

constexpr std::string_view kIdentityLabel = "aioss/prefix-identity/v1\n";
// Of a load, at most: what is not there by then is computed when it is asked for.
constexpr std::int64_t kRestoreNsMax = 3'000'000'000;
// Read, opened and copied: 250 MB/s, which a slow disk does.
constexpr double kNsPerByte = 4;
constexpr std::size_t kOwnerDigits = 16;

ipc::PrefixRecord* record_at(std::span<std::uint8_t> memory, std::uint32_t number) {
  return reinterpret_cast<ipc::PrefixRecord*>(memory.data() + sizeof(ipc::PrefixHead)) + number;
}

// Fills memory that is all zeros, from its beginning.
class Filler {
 public:
  explicit Filler(std::span<std::uint8_t> memory) : memory_(memory) {}

  bool is_full() const { return number_ == ipc::kPrefixesMax; }
  std::optional<PrefixFiles::Room> room(std::size_t tokens, std::uint64_t state_bytes) {
    const std::uint64_t end = memory_.size() / ipc::kPrefixPage * ipc::kPrefixPage;
    if (offset_ >= end || state_bytes > end) return std::nullopt;
    if (ipc::prefix_extent_bytes(tokens, state_bytes) > end - offset_) return std::nullopt;
    const std::span<std::uint8_t> extent = memory_.subspan(offset_);
    return PrefixFiles::Room{
        {reinterpret_cast<PrefixFiles::Token*>(extent.data()), tokens},
        extent.subspan(ipc::prefix_tokens_bytes(tokens), static_cast<std::size_t>(state_bytes))};
  }
  // What room() was given for is there.
  void commit(std::uint64_t tenant, std::uint64_t owner, const PrefixFiles::Room& room) {
    ipc::PrefixRecord record{};
    record.token_count = static_cast<std::uint32_t>(room.tokens.size());
    record.tenant = tenant;
    record.owner = owner;
    record.offset = offset_;
    record.size = ipc::prefix_extent_bytes(room.tokens.size(), room.state.size());
    record.state_bytes = room.state.size();
    const Digest digest = ipc::prefix_digest(record, room.tokens);
    std::copy_n(digest.begin(), sizeof record.digest, std::begin(record.digest));
    record.mark = ipc::kPrefixWhole;
    *record_at(memory_, number_++) = record;
    offset_ += record.size;
  }
  void finish() {
    auto* const head = reinterpret_cast<ipc::PrefixHead*>(memory_.data());
    head->bytes = memory_.size() / ipc::kPrefixPage * ipc::kPrefixPage;
    head->magic = ipc::kPrefixMagic;
  }

 private:
  std::span<std::uint8_t> memory_;
  std::uint64_t offset_ = ipc::kPrefixDataFrom;
  std::uint32_t number_ = 0;
};

}  // namespace

std::uint64_t owner_number(const ledger::Subject& subject) {
  const std::string_view digits = std::string_view(subject.id()).substr(2, kOwnerDigits);
  std::uint64_t number = 0;
  (void)std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
  return number;
}

Digest prefix_identity(const Digest& model_sha256, const Digest& program, ipc::Configure configured,
                       const ipc::Ready& ready) {
  const ipc::Configure defaults;
  configured.queue_requests_max = defaults.queue_requests_max;
  configured.spill_bytes_max = defaults.spill_bytes_max;
  configured.overcommit = defaults.overcommit;
  configured.prefixes_later = defaults.prefixes_later;
  const Bytes settings = ipc::encode(ipc::ToWorker{configured});
  const std::string facts = ready.engine.name + "\n" + ready.engine.version + "\n" +
                            ready.engine.build_id + "\n" + ready.engine.compiler + "\n" +
                            ready.engine.cpu_features + "\n" + std::to_string(ready.streams) +
                            "\n" + std::to_string(ready.cells_per_stream) + "\n" +
                            std::to_string(ready.threads) + "\n";
  return crypto::sha3_256({as_bytes(kIdentityLabel), ByteView(model_sha256), ByteView(program),
                           as_bytes(facts), ByteView(settings)});
}

PrefixDisk::PrefixDisk(ledger::Custody& custody, const Clock& clock, std::uint64_t bytes_max,
                       std::size_t models_max)
    : custody_(custody),
      files_(custody.prefixes()),
      clock_(clock),
      bytes_max_(bytes_max),
      jobs_max_(models_max),
      thread_([this] { run(); }) {}

// A model may come back, and another one go, before what was left of either is on the disk.
std::unique_ptr<PrefixDisk> open_prefix_disk(ledger::Custody& custody, const Clock& clock,
                                             std::optional<std::uint64_t> bytes_max,
                                             std::size_t workers_max) {
  if (!bytes_max) return nullptr;
  return std::make_unique<PrefixDisk>(custody, clock, *bytes_max, 2 * workers_max);
}

PrefixDisk::~PrefixDisk() {
  finish(std::chrono::milliseconds(0));
}

void PrefixDisk::restore(PrefixMemory memory, const Digest& identity, Done done) {
  {
    std::lock_guard lock(mutex_);
    if (bytes_max_ > 0 && memory && !finishing_ && restores_.size() < jobs_max_) {
      restores_.push_back({std::move(memory), identity, std::move(done)});
      changed_.notify_all();
      return;
    }
  }
  done({});
}

void PrefixDisk::save(PrefixesLeft left) {
  std::lock_guard lock(mutex_);
  if (bytes_max_ == 0 || finishing_ || saves_.size() >= jobs_max_) return;
  saves_.push_back({std::move(left), std::nullopt});
  changed_.notify_all();
}

void PrefixDisk::finish(std::chrono::milliseconds patience) {
  {
    std::unique_lock lock(mutex_);
    finishing_ = true;
    changed_.notify_all();
    changed_.wait_for(lock, patience, [this] { return ended_; });
    given_up_.store(true);
  }
  if (thread_.joinable()) thread_.join();
}

// ---- the thread ---------------------------------------------------------------------------------

// Loads wait for what they want, so that goes before the next entry to be saved.
void PrefixDisk::run() {
  os::set_thread_name("prefixes");
  tidy();
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return finishing_ || !restores_.empty() || !saves_.empty(); });
    if (!restores_.empty()) {
      const Restoring wanted = std::move(restores_.front());
      restores_.pop_front();
      lock.unlock();
      restore_now(wanted);
      lock.lock();
    } else if (!saves_.empty() && !given_up_.load()) {
      Saving& saving = saves_.front();  // others are put behind it
      lock.unlock();
      const bool more = (saving.mapped || begin(saving)) && save_next(saving);
      lock.lock();
      if (!more) saves_.pop_front();
    } else if (finishing_) {
      break;
    }
  }
  saves_.clear();
  ended_ = true;
  changed_.notify_all();
}

void PrefixDisk::tidy() {
  std::set<std::string, std::less<>> known;
  for (const ledger::SubjectPtr& subject : custody_.subjects()) known.insert(subject->id());
  const Status tidied =
      files_.destroy_strays([&](std::string_view id) { return known.contains(id); });
  if (!tidied) {
    log::warn("prompts' states that are of no use stay on the disk",
              {{"reason", tidied.error().message}});
  }
  look();
  (void)make_room(0, {});
}

void PrefixDisk::look() {
  auto found = files_.list(std::numeric_limits<std::size_t>::max());
  there_ = found ? std::move(*found) : std::vector<PrefixFiles::File>();
  std::sort(there_.begin(), there_.end(),
            [](const auto& a, const auto& b) { return a.modified_ns < b.modified_ns; });
}

// The oldest go, but none of `kept`.
bool PrefixDisk::make_room(std::uint64_t bytes, const std::set<std::string>& kept) {
  std::uint64_t total = bytes, stays = bytes;
  std::size_t staying = 0;
  for (const PrefixFiles::File& file : there_) {
    total += file.bytes;
    if (!kept.contains(file.name)) continue;
    stays += file.bytes;
    ++staying;
  }
  // Nobody goes for what cannot have room all the same.
  if (bytes > 0 && (stays > bytes_max_ || staying >= kPrefixFilesMax)) return false;
  const auto fits = [&] { return total <= bytes_max_ && there_.size() < kPrefixFilesMax; };
  for (auto file = there_.begin(); file != there_.end() && !fits() && !given_up_.load();) {
    if (kept.contains(file->name)) {
      ++file;
      continue;
    }
    if (const Status destroyed = files_.destroy(*file); !destroyed) {
      log::warn("a prompt's state stays on the disk", {{"reason", destroyed.error().message}});
      ++file;
      continue;
    }
    total -= file->bytes;
    file = there_.erase(file);
  }
  return fits();
}

// ---- restoring ----------------------------------------------------------------------------------

void PrefixDisk::restore_now(const Restoring& wanted) {
  PrefixOwners owners;
  Result<os::SharedMapping> mapped = os::SharedMapping::map(wanted.memory->get());
  if (!mapped || mapped->bytes().size() <= ipc::kPrefixDataFrom) return wanted.done({});
  std::map<std::string, ledger::SubjectPtr> subjects;
  for (ledger::SubjectPtr& subject : custody_.subjects()) subjects[subject->id()] = subject;
  look();
  Filler filler(mapped->bytes());
  const std::int64_t start = clock_.monotonic_ns();
  std::size_t restored = 0;
  for (auto file = there_.rbegin(); file != there_.rend() && !filler.is_full(); ++file) {
    if (given_up_.load() || clock_.monotonic_ns() - start > kRestoreNsMax) break;
    const auto subject = subjects.find(file->subject);
    if (subject == subjects.end()) continue;
    std::optional<PrefixFiles::Room> room;
    std::string tenant;
    const Status loaded =
        files_.load(*subject->second, *file, wanted.identity,
                    [&](std::string_view whose, std::size_t tokens, std::uint64_t state_bytes) {
                      tenant = whose;
                      return room = filler.room(tokens, state_bytes);
                    });
    if (loaded) {
      const std::uint64_t number = owner_number(*subject->second);
      filler.commit(tenant_number(tenant), number, *room);
      if (owners.size() < kPrefixOwnersMax) owners[number] = {subject->second, tenant};
      ++restored;
    } else if (loaded.error().code == Code::kCorrupt) {
      log::warn("a prompt's state on the disk is damaged, and removed",
                {{"reason", loaded.error().message}});
      (void)files_.destroy(*file);
    }
  }
  filler.finish();
  if (restored > 0) log::info("prompts' states were restored", {{"count", restored}});
  wanted.done(std::move(owners));
}

// ---- saving -------------------------------------------------------------------------------------

// What the entry says of itself is copied before it is checked.
std::optional<PrefixDisk::Found> PrefixDisk::entry(const Saving& saving,
                                                   std::uint32_t number) const {
  const std::span<std::uint8_t> memory = saving.mapped->bytes();
  ipc::PrefixRecord record;
  std::memcpy(&record, record_at(memory, number), sizeof record);
  const auto parts = ipc::whole_prefix(record, memory);
  if (!parts) return std::nullopt;
  const auto owner = saving.left.owners.find(record.owner);
  if (owner == saving.left.owners.end() || owner->second.subject->erased()) return std::nullopt;
  if (tenant_number(owner->second.tenant) != record.tenant) return std::nullopt;
  return Found{&owner->second, {owner->second.tenant, parts->tokens, parts->state}};
}

bool PrefixDisk::is_worth_it(const Saving& saving, const PrefixFiles::Prefix& prefix) const {
  const auto tokens = static_cast<double>(prefix.tokens.size());
  if (prefix.tokens.size() < kPrefixTokensOnDiskMin) return false;
  const double per_token = saving.left.prefill_ns_per_token;
  const double bytes = static_cast<double>(PrefixFiles::bytes_of(prefix));
  return per_token == 0 || bytes * kNsPerByte < tokens * per_token;
}

bool PrefixDisk::begin(Saving& saving) {
  Result<os::SharedMapping> mapped = os::SharedMapping::map(saving.left.memory->get());
  if (!mapped || mapped->bytes().size() <= ipc::kPrefixDataFrom) return false;
  saving.mapped = std::move(*mapped);
  look();
  std::uint64_t bytes = 0;
  for (std::uint32_t number = 0; number < ipc::kPrefixesMax; ++number) {
    if (saving.left.taken_back->load() || given_up_.load()) return false;
    const auto found = entry(saving, number);
    if (!found) continue;
    bytes += found->prefix.tokens.size_bytes() + found->prefix.state.size();
    if (bytes > saving.mapped->bytes().size()) return false;  // they overlap: no worker of ours
    saving.kept.insert(files_.name_of(*found->owner->subject, saving.left.identity, found->prefix));
  }
  return true;
}

bool PrefixDisk::save_next(Saving& saving) {
  const auto stands = [&] { return !saving.left.taken_back->load() && !given_up_.load(); };
  for (; saving.next < ipc::kPrefixesMax; ++saving.next) {
    if (!stands()) return false;
    const auto found = entry(saving, saving.next);
    if (!found || !is_worth_it(saving, found->prefix)) continue;
    const ledger::Subject& subject = *found->owner->subject;
    const std::string name = files_.name_of(subject, saving.left.identity, found->prefix);
    const bool is_there = std::any_of(there_.begin(), there_.end(), [&](const auto& file) {
      return file.name == name && file.subject == subject.id();
    });
    const std::uint64_t bytes = PrefixFiles::bytes_of(found->prefix);
    if (is_there || !make_room(bytes, saving.kept)) continue;
    ++saving.next;
    const Result<bool> saved = files_.save(subject, saving.left.identity, found->prefix, stands);
    if (!saved) {
      log::warn("a prompt's state is not kept on the disk", {{"reason", saved.error().message}});
      return false;
    }
    if (*saved) there_.push_back({subject.id(), name, bytes, clock_.wall_ns()});
    return true;
  }
  return false;
}

}  // namespace aioss::runtime
