// Where a worker keeps the states of prefixes: shared memory that the gateway holds, so that what
// is in it outlives the worker, killed or unloaded, and the next worker of the same model goes on
// with it. The gateway takes entries to the disk and back while no worker has it, and looks into
// none. Layout, and how a worker that is killed leaves whole entries or none: ipc/prefix_memory.h.
// What is found is untrusted: bounds, overlaps and digests are checked before anything is believed;
// the state itself has the engine's checksum, looked at when it is loaded.
//
// Used by one thread, and mapped by one worker at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "ipc/prefix_memory.h"
#include "os/shared_memory.h"

namespace aioss::worker {

class StateArena final {
 public:
  using Token = std::int32_t;
  using Number = std::uint32_t;  // of an entry, below kEntriesMax
  static constexpr Number kEntriesMax = ipc::kPrefixesMax;
  static constexpr std::size_t kTokensMax = ipc::kPrefixTokensMax;  // of an entry

  struct Whose {
    std::uint64_t tenant = 0;  // who shares it
    std::uint64_t owner = 0;   // whose prompt it was; nothing to the worker
  };
  struct Entry {
    Number number = 0;
    Whose whose;
    std::vector<Token> tokens;
  };

  explicit StateArena(os::SharedMapping memory);
  // What is there already. Everything, if the memory is new or of another layout, is made empty
  // and nothing returned; so is what is damaged. Once, before anything else.
  std::vector<Entry> adopt();

  // Room for an entry with so many bytes of state, or nothing: then something must go. Reserved
  // until commit() or drop().
  std::optional<Number> reserve(Whose whose, std::span<const Token> tokens,
                                std::size_t state_bytes);
  std::span<std::uint8_t> room(Number number);          // of the state
  void commit(Number number, std::size_t state_bytes);  // so much of it was used
  ByteView state(Number number) const;                  // of a committed one
  void drop(Number number);                             // zeroed; the pages go back
  // Whether an entry could ever have room.
  bool could_hold(std::size_t token_count, std::size_t state_bytes) const;

  std::uint64_t used_bytes() const { return used_; }

 private:
  using Head = ipc::PrefixHead;
  using Record = ipc::PrefixRecord;
  struct Extent {
    std::uint64_t offset = 0, size = 0;  // size 0: the number is free
  };
  Head& head() const;
  Record& record(Number number) const;
  bool take(const Extent& extent);
  std::optional<std::uint64_t> find_room(std::uint64_t size) const;
  void format();

  os::SharedMapping memory_;
  std::uint64_t size_;                           // of what is used of the memory: whole pages
  std::vector<Extent> extents_;                  // by number
  std::map<std::uint64_t, std::uint64_t> free_;  // offset → size
  std::uint64_t used_ = 0;
};

}  // namespace aioss::worker
