// A copy of a ledger that came out of a backup must not go on as if it were the original. It is
// marked (<ledger>/restored), and before it records anything else its first opening writes RECOVERY
// with the cause "restored" and puts a new key in force; so the two histories differ from there on,
// and say so. The mark goes when that is durable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "codec/cbor.h"
#include "ledger/format/record.h"
#include "os/file.h"

namespace aioss::ledger {

inline constexpr std::string_view kRestoredFile = "restored";
inline constexpr std::string_view kRestoredCause = "restored";

struct RestoredMark {
  std::uint64_t size = 0;  // of the backup's checkpoint
  Digest root{};
  std::string restored_by;  // a user of the operating system, as a hint; "" if unknown
};

// Nothing if there is no mark. kCorrupt if it cannot be understood: then nobody knows what this is.
Result<std::optional<RestoredMark>> read_restored_mark(os::FileSystem& fs,
                                                       const std::string& directory);
Status write_restored_mark(os::FileSystem& fs, const std::string& directory,
                           const RestoredMark& mark);
Status remove_restored_mark(os::FileSystem& fs, const std::string& directory);

codec::Map restored_body(const RestoredMark& mark);  // of RECOVERY

// Watches the records go by for what an opening that was cut short has written already.
class RestoredWatch final {
 public:
  explicit RestoredWatch(std::optional<RestoredMark> mark) : mark_(std::move(mark)) {}
  void see(const Record& record);

  const std::optional<RestoredMark>& mark() const { return mark_; }
  bool recovery_is_missing() const { return mark_ && !recorded_; }
  bool rotation_is_missing() const { return mark_ && !rotated_; }

 private:
  std::optional<RestoredMark> mark_;
  bool recorded_ = false;
  bool rotated_ = false;  // behind that record
};

}  // namespace aioss::ledger
