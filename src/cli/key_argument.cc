#include "cli/key_argument.h"

#include <utility>

#include "base/strings.h"

namespace aioss::cli {

Result<std::string> key_argument(os::FileSystem& files, const std::string& what,
                                 const std::string& given) {
  constexpr std::uint64_t kKeyBytesMax = 4096;  // a vkey line has about 100
  std::string key(trim(given));
  if (given.starts_with('@')) {
    auto bytes = os::read_file(files, given.substr(1), kKeyBytesMax);
    if (!bytes) return std::move(bytes).error().with_context(what + " " + given);
    key = trim(as_text(*bytes));
  }
  if (key.empty()) return Error(Code::kUsage, what + ": there is no key in '" + given + "'");
  return key;
}

}  // namespace aioss::cli
