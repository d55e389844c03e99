// Confinement of worker processes, in two stages (architecture: workers never had a network). Stage
// one is entered before any plugin is loaded, stage two before any byte of a model is parsed. Stage
// two protects against the model, stage one against the plugin: its constructors run in our
// process, and could see to it that stage two is never entered, so stage one is enough for them by
// itself. Neither can be undone. Both are no-ops that return an error on platforms without them,
// and an error means: not confined, do not go on. Call single-threaded. Landlock alone may be
// missing, for kernels that have none; seccomp refuses the same calls, but for what a plugin reads
// before stage two. GPUs need it.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace aioss::os {

// What a worker computes on. Drivers of GPUs want more: their nodes open for writing, ioctl, code
// that they compile as they go (executable mappings), threads that exist before stage two, and the
// nodes behind it, too, should they map memory into the process later. Behind stage two
// nothing but these nodes can be opened, by Landlock, which holds for the calling thread and those
// that it starts; a driver's own threads can still read what stage one lets a plugin read.
enum class SandboxFor { kCpu, kGpu };

// What the kernel gave us, for the log, /health and the ledger.
struct Confinement {
  bool no_new_privileges = false;
  bool seccomp = false;
  bool capabilities_dropped = false;  // all but CAP_IPC_LOCK, which mlock needs
  int landlock_abi = 0;               // 0: the kernel has none
  SandboxFor device = SandboxFor::kCpu;
  std::string describe() const;  // "seccomp, no_new_privs, landlock ABI 7"
};

// no_new_privs, RLIMIT_CORE 0, not dumpable, Landlock without any rule for writing, seccomp: no
// socket, connect, bind, listen, accept, execve, ptrace, bpf, io_uring, mount, module, keyctl,
// namespaces, other processes' memory. Reading files and executable mappings are still possible
// (dlopen needs both). Where a plugin is going to be opened (`plugin_fd`, borrowed, or on a GPU),
// Landlock lets it read the system's libraries, what /proc says of the process, and its own file.
// A GPU's may also open its nodes, name its threads and wait behind a Unix socket's name that it
// lets nobody in by (docs/devices.md).
// kUnsupported: a GPU where the kernel has no Landlock.
Result<Confinement> enter_stage_one(SandboxFor device = SandboxFor::kCpu, int plugin_fd = -1);
// Also no open of any path (but a GPU's nodes), no new executable mapping, no new process (threads
// only).
Result<Confinement> enter_stage_two(SandboxFor device = SandboxFor::kCpu);

// Tries what must be refused and reports each attempt; for tests and for `--prove`. Run it in a
// confined process only: an attempt that is not refused takes effect.
struct ProbeOutcome {
  std::string attempt;  // "open /etc/passwd", "socket AF_INET", "execve", …
  bool refused = false;
  std::string detail;  // errno text, or what succeeded
};
std::vector<ProbeOutcome> probe_confinement();

}  // namespace aioss::os
