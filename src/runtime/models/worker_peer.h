// What a worker's link talks to: the process and its socket. In tests/sim it is an actor of the
// same thread.
//
// Used by the link's threads as it uses a process: one reads, one writes, any may signal.
#pragma once

#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "os/process.h"

namespace aioss::runtime {

class WorkerPeer {
 public:
  virtual ~WorkerPeer() = default;  // kills it if it still runs
  virtual int pid() const = 0;
  // As ipc::Channel has them.
  virtual Status send(ByteView frame) = 0;
  virtual Result<Bytes> receive() = 0;
  virtual void shut_down() = 0;
  virtual Status send_signal(int signal) = 0;  // kNotFound once it has ended
  // How it has ended, if it has. Does not wait.
  virtual std::optional<os::ExitStatus> ended() = 0;
  // It does not end: what is left of it, whose owner need not wait either. Nothing is called after.
  virtual std::shared_ptr<os::Child> give_up() = 0;
};

}  // namespace aioss::runtime
