#include "runtime/catalogue/allow_list.h"

#include <algorithm>

#include "base/strings.h"
#include "codec/hex.h"

namespace aioss::runtime {
namespace {

constexpr std::size_t kHexBytes = 64;

std::string_view last_part_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string shown(std::string_view name) {
  return "'" + one_line(replace_invalid_utf8(name)) + "'";
}

}  // namespace

Result<AllowList> AllowList::parse(std::string_view text, const std::string& path) {
  AllowList list;
  std::size_t number = 0;
  for (std::string_view line : split(text, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (trim(line).empty() || line.front() == '#') continue;
    const std::string where = path + ":" + std::to_string(number) + ": ";
    const Result<Bytes> digest = codec::from_hex(line.substr(0, kHexBytes));
    // Two spaces, or a space and a star (sha256sum --binary).
    const bool apart = line.size() > kHexBytes + 2 && line[kHexBytes] == ' ' &&
                       (line[kHexBytes + 1] == ' ' || line[kHexBytes + 1] == '*');
    if (!digest || digest->size() != std::tuple_size_v<Digest> || !apart) {
      return Error{Code::kInvalidArgument,
                   where +
                       "a line must be the SHA-256 in hex, two spaces and the file's name, as "
                       "'sha256sum FILE' prints it"};
    }
    const std::string_view name = last_part_of(line.substr(kHexBytes + 2));
    if (name.empty()) return Error{Code::kInvalidArgument, where + "there is no file name"};
    Digest value{};
    std::copy(digest->begin(), digest->end(), value.begin());
    list.files_[std::string(name)].insert(value);
  }
  return list;
}

Result<AllowList> AllowList::read(os::FileSystem& fs, const std::string& path) {
  auto bytes = os::read_file(fs, path, kAllowListBytesMax);
  if (!bytes) return std::move(bytes).error().with_context("list of allowed models " + path);
  return parse(as_text(*bytes), path);
}

Status AllowList::check_names(const std::vector<std::string>& paths) const {
  for (const std::string& path : paths) {
    if (files_.contains(last_part_of(path))) continue;
    return Error{Code::kForbidden, "the file " + shown(last_part_of(path)) +
                                       " is not in the list of allowed models; an operator can add "
                                       "its line"};
  }
  return ok();
}

Status AllowList::check_digest(const Digest& digest) const {
  const bool is_there = std::any_of(files_.begin(), files_.end(),
                                    [&](const auto& file) { return file.second.contains(digest); });
  if (is_there) return ok();
  return Error{Code::kForbidden, "its SHA-256 is not in the list of what is allowed"};
}

Status AllowList::check(const std::vector<std::string>& paths,
                        const std::vector<Digest>& digests) const {
  AIOSS_CHECK(check_names(paths));
  if (paths.size() != digests.size()) {
    return Error{Code::kForbidden, "the model has other parts by now; try again"};
  }
  for (std::size_t i = 0; i < paths.size(); ++i) {
    const auto found = files_.find(last_part_of(paths[i]));
    if (found->second.contains(digests[i])) continue;
    return Error{Code::kForbidden, "the file " + shown(last_part_of(paths[i])) +
                                       " is not the one in the list of allowed models: its SHA-256 "
                                       "is another; 'aioss models verify' shows both"};
  }
  return ok();
}

}  // namespace aioss::runtime
