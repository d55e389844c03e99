// Which engine each model is computed with, where an operator has said so: over its settings, until
// the server ends, or for good (a pin, kept in the state folder). Thread-safe: orders change it on
// the runtime thread, plans read it at the door. It keeps one thread, which writes pins, so that
// nobody waits for the disk.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "os/file.h"
#include "os/thread.h"
#include "runtime/catalogue/catalogue.h"

namespace aioss::runtime {

inline constexpr std::size_t kEnginePinsMax = kModelsMax;

class EngineChoices final {
 public:
  struct Choice {
    std::string engine;
    bool pinned = false;
    std::string before;  // "": a rollback has nowhere to go
    bool operator==(const Choice&) const = default;
  };

  // Reads the pins. `directory`: of the state; "": there is none, and pins are lost at the end.
  // A file that cannot be read is told to the log, and kept as FILE.damaged before another is
  // written.
  EngineChoices(os::FileSystem& fs, const std::string& directory);
  ~EngineChoices();  // once the last pins are written
  EngineChoices(const EngineChoices&) = delete;
  EngineChoices& operator=(const EngineChoices&) = delete;

  bool keeps_pins() const { return !path_.empty(); }
  bool has_room_for_pin() const;  // kEnginePinsMax
  std::optional<Choice> of(std::string_view model) const;
  void set(const std::string& model, Choice choice);
  void drop(const std::string& model);  // the settings say again which

  // Puts what was chosen over what settings say.
  void apply(Catalogue& catalogue) const;
  void apply(CatalogueEntry& entry) const;

 private:
  using Pins = std::map<std::string, std::string>;
  void read();
  Status take_in(ByteView bytes);
  Pins pins() const;  // with mutex_ held
  void write_loop();
  Status write(const Pins& pins) const;
  Status keep_damaged_and_write(const Pins& pins) const;

  os::FileSystem& fs_;
  std::string directory_, path_;
  mutable std::mutex mutex_;  // guards all that follows
  std::map<std::string, Choice, std::less<>> choices_;
  Pins written_;
  bool ends_ = false;
  bool is_damaged_ = false;  // the file: what could not be read of it is kept beside the next one
  std::condition_variable changed_;
  os::Thread writer_;  // last: it ends first
};

}  // namespace aioss::runtime
