#include "runtime/catalogue/catalogue_keeper.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "os/fixed_content.h"
#include "os/thread.h"

namespace aioss::runtime {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kDebounce{200};    // from the first change told to the look
constexpr milliseconds kSettleWait{500};  // to the next look, if something is not settled
constexpr milliseconds kPollTold{10'000};
constexpr milliseconds kPollUntold{2'000};
constexpr std::int64_t kOldEnoughNs = 2'000'000'000;

bool same_files(const CatalogueEntry& a, const CatalogueEntry& b) {
  return std::equal(a.parts.begin(), a.parts.end(), b.parts.begin(), b.parts.end(), is_same_file);
}

// As a model of one file, which is looked at the same way.
CatalogueEntry as_model(const AdapterEntry& adapter) {
  CatalogueEntry entry;
  entry.name = adapter.name;
  entry.paths = {adapter.path};
  entry.parts = {adapter.file};
  return entry;
}

void settle_adapters(const Catalogue& known, const Catalogue& before, const Catalogue& now,
                     const std::function<bool(const CatalogueEntry&)>& is_whole, Settled& out) {
  for (const auto& [name, entry] : now.adapters) {
    const auto is = known.adapters.find(name);
    if (is != known.adapters.end() && is_same_file(is->second.file, entry.file)) continue;
    const auto was = before.adapters.find(name);
    const bool still = was != before.adapters.end() && is_same_file(was->second.file, entry.file);
    if (still && is_whole(as_model(entry))) continue;
    out.all = false;
    if (is != known.adapters.end()) {
      out.catalogue.adapters.insert_or_assign(name, is->second);
    } else {
      out.catalogue.adapters.erase(name);
    }
  }
}

Principal watch_principal() {
  Principal principal;
  principal.role = Role::kOperator;
  principal.source = kWatchSource;
  return principal;
}

}  // namespace

Settled settle(const Catalogue& known, const Catalogue& before, const Catalogue& now,
               const std::function<bool(const CatalogueEntry&)>& is_whole) {
  Settled out{now, true};
  for (const auto& [name, entry] : now.models) {
    const auto is = known.models.find(name);
    if (is != known.models.end() && same_files(is->second, entry)) continue;
    const auto was = before.models.find(name);
    const bool still = was != before.models.end() && same_files(was->second, entry);
    if (still && is_whole(entry)) continue;
    out.all = false;
    if (is != known.models.end()) {
      out.catalogue.models.insert_or_assign(name, is->second);
      continue;
    }
    out.catalogue.models.erase(name);
    std::erase_if(out.catalogue.aliases, [&](const auto& alias) { return alias.second == name; });
    out.catalogue.notices.push_back("ignored '" + name + "' for now: it is still being written");
  }
  settle_adapters(known, before, now, is_whole, out);
  return out;
}

CatalogueKeeper::CatalogueKeeper(os::FileSystem& fs, const Clock& clock, CatalogueOptions options,
                                 Catalogue known, TakeUp take_up)
    : fs_(fs),
      clock_(clock),
      options_(std::move(options)),
      take_up_(std::move(take_up)),
      known_(std::move(known)),
      before_(known_) {}

Status CatalogueKeeper::rescan(const Principal& by) {
  std::lock_guard lock(mutex_);
  const Result<Catalogue> scanned = scan_catalogue(fs_, options_);
  AIOSS_CHECK(
      take_up_(by, scanned, scanned ? differences(known_, *scanned) : std::vector<std::string>()));
  known_ = before_ = *scanned;
  return ok();
}

bool CatalogueKeeper::is_whole(const CatalogueEntry& entry) const {
  for (std::size_t i = 0; i < entry.paths.size(); ++i) {
    const auto file = fs_.open(entry.paths[i], os::OpenMode::kRead);
    if (!file) continue;  // nobody can load it; that is not for us to say
    const std::optional<bool> written = os::is_open_for_writing((*file)->descriptor());
    const bool old = clock_.wall_ns() - entry.parts[i].modified_ns > kOldEnoughNs;
    if (written.value_or(!old)) return false;
  }
  return true;
}

bool CatalogueKeeper::look() {
  std::lock_guard lock(mutex_);
  Result<Catalogue> scanned = scan_catalogue(fs_, options_);
  std::string problem = scanned ? "" : scanned.error().message;
  bool all = true;
  if (scanned) {
    Settled settled = settle(known_, std::exchange(before_, *scanned), *scanned,
                             [this](const CatalogueEntry& entry) { return is_whole(entry); });
    all = settled.all;
    const auto details = differences(known_, settled.catalogue);
    const Status taken =
        details.empty() ? ok() : take_up_(watch_principal(), settled.catalogue, details);
    if (taken) {
      known_ = std::move(settled.catalogue);
    } else {
      problem = taken.error().message;  // tried again at the next look
    }
    for (const std::string& detail : details) {
      if (taken) log::info("the models folder has changed", {{"what", detail}});
    }
  }
  const bool new_problem = problem != last_problem_ && !problem.empty();
  if (new_problem) log::error("the change of the models is not taken up", {{"reason", problem}});
  last_problem_ = std::move(problem);
  return all;
}

void CatalogueKeeper::start_watch() {
  if (options_.models_dir.empty()) return;
  auto watch = os::DirectoryWatch::create(options_.models_dir);
  if (!watch) {
    log::error("the models folder is not watched; send SIGHUP after changes",
               {{"reason", watch.error().message}});
    return;
  }
  watch_ = std::move(*watch);
  thread_ = std::thread([this] { run(); });
}

void CatalogueKeeper::run() {
  using Woken = os::DirectoryWatch::Woken;
  os::set_thread_name("watch");
  bool all = true;
  for (;;) {
    const milliseconds poll = watch_->is_told() ? kPollTold : kPollUntold;
    Woken woken = watch_->wait_for(all ? poll : kSettleWait);
    if (woken == Woken::kChanged) woken = watch_->wait_for(kDebounce);
    if (woken == Woken::kStopped) return;
    all = look();
  }
}

void CatalogueKeeper::stop() {
  if (!watch_) return;
  watch_->stop();
  if (thread_.joinable()) thread_.join();
}

}  // namespace aioss::runtime
