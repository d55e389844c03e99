// Who may come in by key, and what their tenants may do. One key a line: `id tenant user role
// salt_hex sha3_hex`; one tenant a line, see tenant_limits.h; '#' begins a comment. The file holds
// no key, only SHA3-256(salt ‖ key); the key itself is shown once, when it is made.
//
// A broken line grants nothing: at start it stops the server, in a running one it is reported and
// the other lines hold. A file that was removed, or that could not be read kUnreadableMax times in
// a row, admits nobody. A change that lets somebody in takes effect only once the ledger has
// recorded it; until then it is reported and the keys of before hold. To let nobody in does not
// wait for the ledger: that is recorded when it can be.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "crypto/random.h"
#include "os/file.h"
#include "runtime/calls/principal.h"

namespace aioss::server {

// Every key is tried for every request, so that time tells nothing: 1,024 hashes are about 1 ms.
inline constexpr std::size_t kKeysMax = 1024;
// A key of ours has 54 bytes. Longer ones are refused unhashed.
inline constexpr std::size_t kKeyBytesMax = 256;
inline constexpr std::size_t kKeyNameBytesMax = 64;  // of an id, a tenant, a user
// At one look a second. Less than that may be a replacement under way.
inline constexpr unsigned kUnreadableMax = 3;
// kKeysMax of the longest lines, and as much again in comments.
inline constexpr std::uint64_t kKeyFileBytesMax = 1U << 20;

struct Key {
  std::string id;
  std::string tenant;
  std::string user;
  runtime::Role role = runtime::Role::kUser;
  Bytes salt;
  Digest digest{};
  runtime::TenantLimits limits = {};  // of its tenant
  bool operator==(const Key&) const = default;
};

std::string_view name(runtime::Role role);  // "user", "operator", "auditor"
std::optional<runtime::Role> role_from_name(std::string_view name);

struct ParsedKeys {
  std::vector<Key> keys;
  std::vector<std::string> problems;  // "line 3: …"; their lines are not in `keys`
};
ParsedKeys parse_keys(std::string_view text);

struct NewKey {
  std::string key;   // to be shown once and kept by its user
  std::string line;  // for the key file, without a line break
};
// kInvalidArgument for a name that a key file cannot hold.
Result<NewKey> make_key(crypto::Random& random, std::string_view id, std::string_view tenant,
                        std::string_view user, runtime::Role role);

// What a key file changes against the one before.
struct KeyChange {
  Digest file_sha3{};  // of no bytes, if there is no file to read
  std::string reason;
  // "added ID", "removed ID", "changed ID": another tenant, user, role or secret, or its tenant's
  // limits.
  std::vector<std::string> details;
};
std::vector<std::string> differences(const std::vector<Key>& before, const std::vector<Key>& after);

// The keys of one file. find() and problem() from any thread; refresh() from one thread at a time.
class KeyRing final {
 public:
  // Records that the keys are to be those of another file, and why. Called before they hold; an
  // error keeps them from it, unless there are none. May block.
  using Record = std::function<Status(const KeyChange& change)>;
  // kUsage with the line, if any line is broken. `fs` outlives the ring. Without `record`, changes
  // are not recorded.
  static Result<std::unique_ptr<KeyRing>> create(os::FileSystem& fs, std::string path,
                                                 Record record = nullptr);

  // Reads the file again if it has changed. Blocks on the disk and on the record.
  void refresh();
  // Takes the same time whichever key matches, if any.
  std::optional<runtime::Principal> find(std::string_view key) const;
  std::string problem() const;  // why some or all keys are not accepted; "" if all is well
  std::size_t size() const;

 private:
  struct Content {
    ParsedKeys parsed;
    Digest sha3{};  // of the file's bytes
  };
  KeyRing(os::FileSystem& fs, std::string path, Record record)
      : fs_(fs), path_(std::move(path)), record_(std::move(record)) {}
  bool is_unchanged();
  Result<Content> read();
  static Content nobody(std::string why);
  Status record(const Content& content, const std::string& reason);
  Status adopt(Content content, const std::string& reason);
  void admit_nobody(std::string why, const std::string& reason);
  void keep_old_keys(const Error& why);
  void hold(std::vector<Key> keys, std::string problem);

  os::FileSystem& fs_;
  const std::string path_;
  const Record record_;
  // refresh()'s thread only:
  std::optional<os::FileInfo> seen_;  // of what was adopted last; nothing while something is to do
  std::optional<Digest> recorded_;    // that the keys are those of these bytes
  std::vector<Key> recorded_keys_;    // and these they are
  unsigned unreadable_ = 0;           // looks in a row

  mutable std::mutex mutex_;
  // Guarded by mutex_; shared with a find() under way.
  std::shared_ptr<const std::vector<Key>> keys_;
  std::string problem_;  // guarded by mutex_
};

}  // namespace aioss::server
