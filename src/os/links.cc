#include "os/links.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace aioss::os {
namespace {

Error link_failed(const std::string& what) {
  Code code = Code::kIo;
  if (errno == EEXIST) code = Code::kConflict;
  if (errno == EXDEV) code = Code::kUnsupported;
  if (errno == ENOENT) code = Code::kNotFound;
  return {code, what + ": " + std::strerror(errno)};
}

}  // namespace

Status rename_new(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return ok();
  if (errno != EINVAL && errno != ENOSYS) return link_failed("cannot rename to " + to);
  // A file system without that: a second name is never put over another file, either.
  if (::link(from.c_str(), to.c_str()) != 0) return link_failed("cannot rename to " + to);
  if (::unlink(from.c_str()) != 0) return link_failed("cannot remove " + from);
  return ok();
}

Status rename_over(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return ok();
  return link_failed("cannot rename to " + to);
}

Status make_symbolic_link(const std::string& target, const std::string& path) {
  if (::symlink(target.c_str(), path.c_str()) == 0) return ok();
  return link_failed("cannot make the link " + path);
}

Result<std::string> resolved_path(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), &::free);
  if (!real) return link_failed("cannot find " + path);
  return std::string(real.get());
}

}  // namespace aioss::os
