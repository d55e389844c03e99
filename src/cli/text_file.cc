#include "cli/text_file.h"

#include <utility>

namespace aioss::cli {

Result<std::string> read_text(const Services& services, const std::string& path,
                              std::uint64_t limit) {
  auto bytes = os::read_file(services.files, path, limit);
  if (!bytes) return std::move(bytes).error().with_context(path);
  return std::string(as_text(*bytes));
}

Status write_text(const Services& services, const std::string& path, std::string_view text) {
  constexpr unsigned kPermissions = 0644;
  if (path.empty()) {
    if (services.console.out(text)) return ok();
    return Error{Code::kIo, "standard output took no more text"};
  }
  Status written = os::replace_file(services.files, path, as_bytes(text), kPermissions);
  if (!written) return std::move(written).error().with_context(path);
  return ok();
}

}  // namespace aioss::cli
