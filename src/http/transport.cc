#include "http/transport.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

#include "base/assert.h"
#include "http/awaiting.h"

namespace aioss::http {
namespace {

constexpr std::size_t kReadBytes = 16 * 1024;  // at a time
// A client that is always ready would keep the io thread for itself: after this many operations
// without a wait the others get their turn.
constexpr unsigned kImmediateMax = 16;
// While pipelined bytes stand unread, the socket is always readable and says nothing of its end by
// an event: it is asked this often.
constexpr std::chrono::milliseconds kRecheckInterval{20};
// What a client may still send after our goodbye: the largest body by far, and an end to it.
constexpr std::size_t kFarewellBytesMax = 64 << 20;

bool would_block(const boost::system::error_code& error) {
  return error == net::error::would_block || error == net::error::try_again;
}

}  // namespace

Transport::Transport(Socket socket)
    : socket_(std::move(socket)),
      deadline_(socket_.get_executor()),
      recheck_(socket_.get_executor()) {
  boost::system::error_code error;
  socket_.non_blocking(true, error);
  if (error) set_gone();
}

void Transport::set_deadline(std::chrono::milliseconds timeout) {
  timed_out_ = false;
  deadline_.expires_after(timeout);
  deadline_.async_wait(
      [self = shared_from_this(), id = ++deadline_id_](const boost::system::error_code& error) {
        if (error || id != self->deadline_id_) return;
        self->timed_out_ = true;
        boost::system::error_code ignored;
        self->socket_.cancel(ignored);
      });
}

void Transport::clear_deadline() {
  ++deadline_id_;
  timed_out_ = false;
  deadline_.cancel();
}

bool Transport::due_to_yield() {
  if (++immediate_ < kImmediateMax) return false;
  immediate_ = 0;
  return true;
}

// A function of its own, so that the buffer is on the stack and not in a coroutine's frame.
void Transport::read_now(std::string& input, boost::system::error_code& error) {
  std::array<char, kReadBytes> bytes;
  const std::size_t count = socket_.read_some(net::buffer(bytes), error);
  if (!error) input.append(bytes.data(), count);
}

net::awaitable<Transport::Read> Transport::read_some(std::string& input) {
  for (;;) {
    if (gone_) co_return Read::kGone;
    boost::system::error_code error;
    read_now(input, error);
    if (!error) break;
    if (error == net::error::eof) co_return Read::kEnd;
    if (!would_block(error) && error != net::error::interrupted) {
      set_gone();
      co_return Read::kGone;
    }
    if (interrupted_) co_return Read::kInterrupted;
    if (timed_out_) co_return Read::kTimeout;
    immediate_ = 0;
    // The outcome of the wait does not matter: the flags and the next read tell what happened.
    co_await socket_.async_wait(net::socket_base::wait_read, kTuple);
  }
  interrupted_ = false;
  if (due_to_yield()) co_await net::post(socket_.get_executor(), kTuple);
  co_return Read::kBytes;
}

void Transport::interrupt() {
  interrupted_ = true;
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

net::awaitable<bool> Transport::write_all(std::string bytes, std::chrono::milliseconds timeout) {
  std::size_t written = 0;
  bool armed = false;
  while (written < bytes.size() && !gone_) {
    boost::system::error_code error;
    const net::const_buffer rest = net::buffer(bytes) + written;
    const std::size_t count = socket_.write_some(net::const_buffer(rest), error);
    if (!error) {
      written += count;
      armed = false;
      continue;
    }
    if (error == net::error::interrupted) continue;
    if (!would_block(error) || (armed && timed_out_)) {
      stalled_ = would_block(error);
      set_gone();
      break;
    }
    if (!armed) set_deadline(timeout);
    armed = true;
    immediate_ = 0;
    co_await socket_.async_wait(net::socket_base::wait_write, kTuple);
  }
  clear_deadline();
  if (!gone_ && due_to_yield()) co_await net::post(socket_.get_executor(), kTuple);
  co_return !gone_;
}

void Transport::watch() {
  watching_ = true;
  wait_for_end();
}

void Transport::unwatch() {
  watching_ = false;
  on_gone_ = nullptr;
  recheck_.cancel();
}

void Transport::on_gone(std::function<void()> callback) {
  if (gone_) {
    if (callback) callback();
    return;
  }
  on_gone_ = std::move(callback);
}

// A wait that is still with the reactor from the last request serves this one too, so there is
// never more than one.
void Transport::wait_for_end() {
  if (wait_pending_ || gone_) return;
  wait_pending_ = true;
  socket_.async_wait(net::socket_base::wait_read,
                     [self = shared_from_this()](const boost::system::error_code&) {
                       self->wait_pending_ = false;
                       self->check_for_end();
                     });
}

void Transport::check_for_end() {
  if (!watching_ || gone_) return;
  switch (peek()) {
    case Peek::kNothing:
      return wait_for_end();
    case Peek::kEnd:
      return set_gone();
    case Peek::kBytes:
      break;
  }
  if (peer_has_hung_up()) return set_gone();
  recheck_.expires_after(kRecheckInterval);
  recheck_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (!error) self->check_for_end();
  });
}

Transport::Peek Transport::peek() {
  char byte = 0;
  const ssize_t count = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (count > 0) return Peek::kBytes;
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
    return Peek::kNothing;
  }
  return Peek::kEnd;
}

bool Transport::peer_has_hung_up() {
  pollfd watched{socket_.native_handle(), POLLRDHUP, 0};
  return ::poll(&watched, 1, 0) > 0;  // POLLERR and POLLHUP are reported unasked
}

void Transport::set_gone() {
  if (gone_) return;
  gone_ = true;
  boost::system::error_code ignored;
  socket_.cancel(ignored);
  if (const auto callback = std::exchange(on_gone_, nullptr)) callback();
}

net::awaitable<void> Transport::close_gently(std::chrono::milliseconds timeout) {
  boost::system::error_code error;
  if (!gone_) socket_.shutdown(net::socket_base::shutdown_send, error);
  if (!error && !gone_) {
    interrupted_ = false;
    set_deadline(timeout);
    std::string swallowed;
    std::size_t total = 0;
    for (;;) {
      swallowed.clear();
      const Read read = co_await read_some(swallowed);
      total += swallowed.size();
      if (read != Read::kBytes || timed_out_ || total > kFarewellBytesMax) break;
    }
  }
  close();
}

void Transport::close() {
  set_gone();
  unwatch();
  clear_deadline();
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace aioss::http
