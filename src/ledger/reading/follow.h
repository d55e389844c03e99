// Reads on in a ledger that another process writes, from where the last reading ended: a round
// costs what has come since, however large the ledger is. For whoever shows new records of a ledger
// that was walked before: the frames are checked for form, order and chain, their meaning is not.
// One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "ledger/format/chain.h"
#include "ledger/format/format.h"
#include "ledger/format/record.h"
#include "os/file.h"

namespace aioss::ledger {

class Follower final {
 public:
  // What cannot be read may be a write under way. It is none if it still stands at the same place
  // after so many rounds, and the file did not grow or goes on behind it: some six seconds at the
  // pace of `aioss ledger tail`, longer than a disk holds a write back.
  static constexpr unsigned kRoundsMax = 20;
  using Visit = std::function<bool(const Record&)>;

  // `next`: the first record to be given. The file system outlives the object.
  Follower(os::FileSystem& fs, const std::string& directory, std::uint64_t next);

  // One round: gives the records that have come, in order; those that were pruned are passed over.
  // False: `visit` said so. kCorrupt: damage, as above.
  Result<bool> read(const Visit& visit);

 private:
  struct Step {  // over one header, run of leaves or frame
    std::size_t bytes = 0;
    std::string_view problem = {};
    bool more = true;  // as the visitor said
  };
  struct Doubt {  // about what stands at `offset`
    std::string file;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;  // of the file
    unsigned rounds = 0;
  };

  Result<bool> find_segment();
  void begin(const std::string& file, std::uint64_t first_index);
  Result<bool> read_segment(const Visit& visit);
  Step take(ByteView window, const Visit& visit);
  Step take_header(ByteView window);
  Step take_leaves(ByteView window);
  Step take_frame(ByteView window, const Visit& visit);
  Result<bool> doubt(std::string_view problem, std::uint64_t size, bool goes_on);

  os::FileSystem& fs_;
  const std::string folder_;
  ChainHasher hasher_;
  std::uint64_t next_;  // no record before it is given any more

  std::string file_;  // the segment being read; empty: none
  bool sealed_ = false;
  LedgerId ledger_id_{};
  std::uint64_t offset_ = 0;     // of the first byte not read; 0: of its header
  std::uint64_t index_ = 0;      // of the record there
  std::optional<Digest> chain_;  // before that record; nothing: its header says so
  Doubt doubt_;
};

}  // namespace aioss::ledger
