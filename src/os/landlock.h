// Landlock by its system calls: glibc has no wrappers, and the headers of Debian 12 stop at ABI 2.
// Internal to os. Acts on the calling thread and what it starts later.
#pragma once

#include "base/result.h"

namespace aioss::os {

// The kernel's ABI version; 0 if it has no Landlock or it is switched off.
int landlock_abi();

enum class LandlockScope {
  kReadOnly,  // files may be read, nothing may be written, created, removed, renamed or executed
  kPlugin,    // as kReadOnly, but read beneath the system's libraries only, and what is said of the
              // process itself: what dlopen needs
  kGpu,       // as kPlugin, and what drivers read; the nodes of GPUs may be opened for writing too,
              // and asked by ioctl; below /proc/self/task names may be written
  kGpuNodes,  // nothing but the nodes of GPUs may be opened
  kNothing,   // no file or directory may be opened
};
// Also no TCP bind or connect (ABI 4), no device ioctl on files opened later (5), no abstract Unix
// sockets and no signals out of the domain (6), as far as the kernel knows them. Needs
// no_new_privs. Returns the ABI; 0 and no effect if there is none. The file of `plugin_fd` may be
// read too (dlopen opens it anew by its name in /proc), if there is one; it is borrowed.
Result<int> restrict_with_landlock(LandlockScope scope, int plugin_fd = -1);

}  // namespace aioss::os
