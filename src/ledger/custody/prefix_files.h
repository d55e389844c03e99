// States of prompts on the disk, so that a server that is started again need not compute them anew:
// prefix/<subject id>/<name> beside the chain (folders of mode 0700). A cache: no record names a
// file, no backup holds one, and whoever deletes the folder loses time and nothing else.
//
// Sealed under the key of the subject whose prompt it was, so that an erasure reaches it, and bound
// to what it was computed with (`identity`: model, program, profile, geometry). Format, numbers in
// little-endian order:
//
//   "aspfx001" ‖ identity[32] ‖ u64 bytes of the text ‖ chunks of at most 4 MiB of it, each
//   nonce[12] ‖ AES-256-GCM(seal key, chunk) with the associated data
//   "aioss/prefix/v1\n" ‖ ledger_id ‖ those 48 bytes ‖ name ‖ u64 number of the chunk
//   text = u32 tokens ‖ u32 bytes of the tenant ‖ u64 bytes of the state ‖ tenant ‖ i32 tokens ‖
//          state
//
// The name is a salted hash of identity, tenant and tokens, in hexadecimal: the same prefix has the
// same file, and without the subject's key nobody can test a guess. Written beside, then renamed;
// not synced: a torn file does not open, and is destroyed by whoever finds out.
//
// Thread-safe; everything blocks on the disk. A save ends before or after an erasure of its
// subject, and leaves nothing in either case.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "crypto/random.h"
#include "ledger/format/format.h"
#include "ledger/format/subject.h"
#include "os/file.h"

namespace aioss::ledger {

class PrefixFiles final {
 public:
  using Token = std::int32_t;
  static constexpr std::size_t kTenantBytesMax = 2 * kSubjectNameBytesMax + 1;
  static constexpr std::size_t kTokensMax = std::size_t{1} << 24;

  // The references outlive it. `directory` is the ledger's.
  PrefixFiles(os::FileSystem& fs, crypto::Random& random, std::string directory,
              const LedgerId& ledger_id);

  struct Prefix {
    std::string_view tenant;  // who shares it
    std::span<const Token> tokens;
    ByteView state;
  };
  struct File {  // found on the disk: its name and size are all that is known of it
    std::string subject, name;
    std::uint64_t bytes = 0;
    std::int64_t modified_ns = 0;
  };

  // What it will take on the disk.
  static std::uint64_t bytes_of(const Prefix& prefix);
  // The name of its file; the same for the same prefix.
  std::string name_of(const Subject& subject, const Digest& identity, const Prefix& prefix) const;
  // Asked before the file gets its name: false, and there will be none. So a caller can take back
  // what it gave to be read. False, too, if the subject was erased meanwhile.
  // kIo: also where the disk would have less than a GiB left.
  using Stands = std::function<bool()>;
  Result<bool> save(const Subject& subject, const Digest& identity, const Prefix& prefix,
                    const Stands& stands);

  // Where the caller wants tokens and state of a file, which have these sizes; nothing: nowhere.
  // What was put there before an error means nothing.
  struct Room {
    std::span<Token> tokens;
    std::span<std::uint8_t> state;
  };
  using MakeRoom = std::function<std::optional<Room>(std::string_view tenant, std::size_t tokens,
                                                     std::uint64_t state_bytes)>;
  // kNotFound: of another identity, or gone, or no room for it. kCorrupt: it is not what was
  // written under this name for this subject, in this ledger; destroy it.
  Status load(const Subject& subject, const File& file, const Digest& identity,
              const MakeRoom& make_room) const;

  // All there are, at most `files_max`; of names that no save gives, nothing but destroy_strays()
  // takes note.
  Result<std::vector<File>> list(std::size_t files_max) const;
  Status destroy(const File& file);
  // Overwrites and removes all that a subject has here; how many there were.
  Result<std::uint64_t> destroy_all(std::string_view subject_id);
  // What saves have left that never ended, what is not ours, and what belongs to nobody known.
  // While no save is under way.
  Status destroy_strays(const std::function<bool(std::string_view subject_id)>& is_known);

 private:
  std::string folder_of(std::string_view subject_id) const;
  std::string path_of(const File& file) const;
  Status write(const Subject& subject, const std::string& path, const std::string& name,
               const Digest& identity, const Prefix& prefix);

  os::FileSystem& fs_;
  crypto::Random& random_;
  const std::string directory_;
  const LedgerId ledger_id_;
  std::mutex mutex_;  // held while names come and go, never while a state is sealed
};

}  // namespace aioss::ledger
