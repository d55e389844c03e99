// Frames over a stream socket: u32 little-endian length, then that many bytes. Both ends bound it.
// One reader thread and one writer thread may use a channel at the same time. Another kind of
// channel takes the place of the socket in tests/sim.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "base/result.h"
#include "os/file.h"

namespace aioss::ipc {

// What may be sent, either way: a request of 4 MiB, framed, with room to spare.
inline constexpr std::uint32_t kFrameBytesMax = 16U << 20;

// A frame as it goes over the wire, for who must write it without a channel.
Bytes framed(ByteView frame);

class Channel {
 public:
  // `receive_bytes_max`: what this end takes in one frame. The gateway, which trusts its workers
  // less than they need trust it, gives kFrameFromWorkerBytesMax (ipc/limits.h).
  explicit Channel(os::Fd socket, std::size_t receive_bytes_max = kFrameBytesMax)
      : socket_(std::move(socket)), receive_bytes_max_(receive_bytes_max) {}
  virtual ~Channel() = default;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  int descriptor() const { return socket_.get(); }
  // Blocks until the whole frame is handed to the kernel. kWorkerDied if the peer is gone.
  virtual Status send(ByteView frame);
  // The same for several, handed over together: one system call, and the peer wakes once.
  virtual Status send_all(std::span<const Bytes> frames);
  // The next frame. kWorkerDied at end of stream, kCorrupt for a bad length, kTimeout if no frame
  // began in time (negative: wait for ever).
  virtual Result<Bytes> receive(std::chrono::milliseconds timeout = std::chrono::milliseconds(-1));
  // Wakes both threads; later calls fail with kWorkerDied.
  virtual void shut_down();

 private:
  Status fill(std::size_t wanted);  // the reader's: until `wanted` bytes are in received_
  Status take(std::span<std::uint8_t> into);

  os::Fd socket_;
  const std::size_t receive_bytes_max_;
  // Read ahead, the reader's alone: what is in the buffer from `from` to `to`.
  Bytes received_;
  std::size_t received_from_ = 0, received_to_ = 0;
};

}  // namespace aioss::ipc
