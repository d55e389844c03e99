// The list of model files that may be loaded: lines "SHA-256  NAME", as sha256sum writes them. A
// file is allowed if a line has its digest and its name (folders before it do not count); so a file
// that is not listed is refused, and one that was changed, too. Values.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "os/file.h"

namespace aioss::runtime {

// 1,024 models of 64 parts each, at 100 bytes a line, and room.
inline constexpr std::uint64_t kAllowListBytesMax = 8U << 20;

class AllowList final {
 public:
  // Empty lines and lines that begin with '#' do not count. kInvalidArgument: line and reason.
  static Result<AllowList> parse(std::string_view text, const std::string& path);
  static Result<AllowList> read(os::FileSystem& fs, const std::string& path);

  bool operator==(const AllowList&) const = default;
  std::size_t size() const { return files_.size(); }
  // Files by their names, with their digests: all must be in it. kForbidden says which is not.
  Status check(const std::vector<std::string>& paths, const std::vector<Digest>& digests) const;
  // Whether a line has this digest, whatever the name: of a file that does not tell its name yet.
  Status check_digest(const Digest& digest) const;
  // Whether a line has this name, whatever the digest: one that is not can be refused unread.
  Status check_names(const std::vector<std::string>& paths) const;

 private:
  std::map<std::string, std::set<Digest>, std::less<>> files_;
};

}  // namespace aioss::runtime
