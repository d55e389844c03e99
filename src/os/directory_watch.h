// Tells that something in a directory has changed: files that came, went, were renamed, or were
// closed after writing. What exactly it was is not told: whoever is woken looks itself. Linux
// (inotify); where the kernel has no watch to give, and for changes that it does not tell (network
// file systems, files behind symbolic links), the caller's deadline has to do, so give one. One
// thread waits; any thread may wake it.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/result.h"
#include "os/file.h"

namespace aioss::os {

class DirectoryWatch final {
 public:
  // An error only if even waking is impossible. is_told() says whether the kernel tells changes.
  static Result<std::unique_ptr<DirectoryWatch>> create(const std::string& directory);
  DirectoryWatch(const DirectoryWatch&) = delete;
  DirectoryWatch& operator=(const DirectoryWatch&) = delete;

  enum class Woken { kChanged, kTimeout, kStopped };
  // Takes all that was told so far. kStopped from the first stop() on.
  Woken wait_for(std::chrono::milliseconds timeout);
  void stop();
  bool is_told() const { return events_.valid(); }

 private:
  DirectoryWatch(std::string directory, Fd stop)
      : directory_(std::move(directory)), stop_(std::move(stop)) {}
  void begin();
  bool take_events();

  const std::string directory_;
  Fd events_, stop_;
};

}  // namespace aioss::os
