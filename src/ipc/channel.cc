#include "ipc/channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <span>
#include <string>
#include <utility>

namespace aioss::ipc {
namespace {

constexpr std::size_t kHeaderBytes = 4;
// A frame's memory is taken in steps, so that a peer cannot make us hold what it never sends.
constexpr std::size_t kReceiveStepBytes = std::size_t{256} << 10;

// Frames of one step of a worker are small; larger ones gain nothing from company.
constexpr std::size_t kSendTogetherBytes = std::size_t{64} << 10;
constexpr std::size_t kReadAheadBytes = std::size_t{64} << 10;

void append_frame(Bytes& bytes, ByteView frame) {
  ASSERT(frame.size() <= kFrameBytesMax);
  bytes.reserve(bytes.size() + kHeaderBytes + frame.size());
  const auto size = static_cast<std::uint32_t>(frame.size());
  for (unsigned shift = 0; shift < 32; shift += 8) {
    bytes.push_back(static_cast<std::uint8_t>(size >> shift));
  }
  bytes.insert(bytes.end(), frame.begin(), frame.end());
}

Error peer_gone() {
  return {Code::kWorkerDied, "the peer closed its end of the channel"};
}

Error socket_error(int error_number, std::string_view what) {
  if (error_number == EPIPE || error_number == ECONNRESET || error_number == ENOTCONN) {
    return peer_gone();
  }
  return error_from_errno(error_number, what);
}

// Waits until the socket can be read or written. kTimeout if the time is up first.
Status wait_until_ready(int fd, short events, int timeout_ms) {
  for (;;) {
    pollfd entry{fd, events, 0};
    const int ready = ::poll(&entry, 1, timeout_ms);
    if (ready > 0) return ok();
    if (ready == 0) return Error{Code::kTimeout, "no frame came in time"};
    if (errno != EINTR) return error_from_errno(errno, "cannot wait for the channel");
  }
}

// At least one byte.
Result<std::size_t> receive_some(int fd, std::span<std::uint8_t> into) {
  for (;;) {
    const ssize_t got = ::recv(fd, into.data(), into.size(), 0);
    if (got > 0) return static_cast<std::size_t>(got);
    if (got == 0) return peer_gone();
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      AIOSS_CHECK(wait_until_ready(fd, POLLIN, -1));
    } else if (errno != EINTR) {
      return socket_error(errno, "cannot read from the channel");
    }
  }
}

Status send_bytes(int fd, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      AIOSS_CHECK(wait_until_ready(fd, POLLOUT, -1));
    } else if (errno != EINTR) {
      return socket_error(errno, "cannot write to the channel");
    }
  }
  return ok();
}

}  // namespace

Bytes framed(ByteView frame) {
  Bytes bytes;
  append_frame(bytes, frame);
  return bytes;
}

Status Channel::send(ByteView frame) {
  Bytes bytes;  // one system call for header and frame
  append_frame(bytes, frame);
  return send_bytes(socket_.get(), bytes);
}

Status Channel::send_all(std::span<const Bytes> frames) {
  Bytes bytes;
  for (const Bytes& frame : frames) {
    append_frame(bytes, frame);
    if (bytes.size() < kSendTogetherBytes) continue;
    AIOSS_CHECK(send_bytes(socket_.get(), bytes));
    bytes.clear();
  }
  return send_bytes(socket_.get(), bytes);
}

Status Channel::fill(std::size_t wanted) {
  ASSERT(wanted <= kReadAheadBytes);
  received_.resize(kReadAheadBytes);  // once: it is never made smaller
  if (received_from_ == received_to_) received_from_ = received_to_ = 0;
  while (received_to_ - received_from_ < wanted) {
    if (received_from_ > 0) {
      std::copy(received_.begin() + static_cast<std::ptrdiff_t>(received_from_),
                received_.begin() + static_cast<std::ptrdiff_t>(received_to_), received_.begin());
      received_to_ -= std::exchange(received_from_, 0);
    }
    AIOSS_TRY(const std::size_t got,
              receive_some(socket_.get(), std::span(received_).subspan(received_to_)));
    received_to_ += got;
  }
  return ok();
}

Status Channel::take(std::span<std::uint8_t> into) {
  const std::size_t ahead = std::min(into.size(), received_to_ - received_from_);
  std::copy_n(received_.begin() + static_cast<std::ptrdiff_t>(received_from_), ahead, into.begin());
  received_from_ += ahead;
  into = into.subspan(ahead);
  while (!into.empty()) {  // the rest of a large frame, straight to its place
    AIOSS_TRY(const std::size_t got, receive_some(socket_.get(), into));
    into = into.subspan(got);
  }
  return ok();
}

Result<Bytes> Channel::receive(std::chrono::milliseconds timeout) {
  if (timeout.count() >= 0 && received_from_ == received_to_) {
    const auto limit = std::chrono::milliseconds(std::numeric_limits<int>::max());
    const auto wait = static_cast<int>(std::min(timeout, limit).count());
    AIOSS_CHECK(wait_until_ready(socket_.get(), POLLIN, wait));
  }
  AIOSS_CHECK(fill(kHeaderBytes));
  std::array<std::uint8_t, kHeaderBytes> header{};
  AIOSS_CHECK(take(header));
  std::uint32_t size = 0;
  for (unsigned i = 0; i < kHeaderBytes; ++i) size |= std::uint32_t{header[i]} << (8 * i);
  if (size > receive_bytes_max_) {
    return Error{Code::kCorrupt, "a frame claims " + std::to_string(size) + " bytes; at most " +
                                     std::to_string(receive_bytes_max_) + " are allowed"};
  }
  Bytes frame;
  while (frame.size() < size) {
    const std::size_t from = frame.size();
    frame.resize(std::min<std::size_t>(size, from + kReceiveStepBytes));
    AIOSS_CHECK(take(std::span(frame).subspan(from)));
  }
  return frame;
}

void Channel::shut_down() {
  ::shutdown(socket_.get(), SHUT_RDWR);
}

}  // namespace aioss::ipc
