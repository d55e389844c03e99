// Keeps the list of models what the disk says: reads it again when it is told to, and by itself
// when the models directory changes, on a thread "watch". The system tells changes; what it cannot
// tell (network file systems, files behind links, the list of allowed files) is found by looking
// every few seconds.
//
// The watch takes up a file that came or changed once two looks have found it the same and nobody
// has it open for writing (or, where the system does not say that, once it is two seconds old), so
// a copy under way is not a model yet. An order (rescan) takes what is there. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "os/directory_watch.h"
#include "os/file.h"
#include "runtime/calls/principal.h"
#include "runtime/catalogue/catalogue.h"

namespace aioss::runtime {

// What of `now` can be taken up: all that is as in `known`, and of the rest what `before`, an
// earlier look, has found the same and `is_whole` says is whole. What cannot stays as it is known.
struct Settled {
  Catalogue catalogue;
  bool all = true;  // false: look again soon
};
Settled settle(const Catalogue& known, const Catalogue& before, const Catalogue& now,
               const std::function<bool(const CatalogueEntry&)>& is_whole);

class CatalogueKeeper final {
 public:
  // Records that the list was read by `by`, with the differences, and puts it into effect; an
  // error: it stays as it was. A scan that has failed is recorded, too, and comes back as its
  // error. On the caller's thread of rescan(), or on "watch".
  using TakeUp = std::function<Status(const Principal& by, const Result<Catalogue>& scanned,
                                      const std::vector<std::string>& details)>;
  // The references outlive the keeper. `known` is in effect.
  CatalogueKeeper(os::FileSystem& fs, const Clock& clock, CatalogueOptions options, Catalogue known,
                  TakeUp take_up);
  ~CatalogueKeeper() { stop(); }
  CatalogueKeeper(const CatalogueKeeper&) = delete;
  CatalogueKeeper& operator=(const CatalogueKeeper&) = delete;

  // One at a time, so that each is recorded against the one before.
  Status rescan(const Principal& by);
  // Without it, nothing happens but on orders.
  void start_watch();
  void stop();  // waits for a look that is under way
  // What the watch does when it is woken. False: something is not settled.
  bool look();

 private:
  void run();
  bool is_whole(const CatalogueEntry& entry) const;

  os::FileSystem& fs_;
  const Clock& clock_;
  const CatalogueOptions options_;
  const TakeUp take_up_;
  std::mutex mutex_;
  Catalogue known_;           // guarded by mutex_
  Catalogue before_;          // guarded by mutex_; the look before
  std::string last_problem_;  // guarded by mutex_; logged already
  std::unique_ptr<os::DirectoryWatch> watch_;
  std::thread thread_;
};

}  // namespace aioss::runtime
