// One client's socket, TCP or Unix: reads and writes with deadlines, and the watch for the client's
// end while an answer is being made. io thread only; at most one reader and one writer at a time.
//
// The socket is non-blocking; each operation is tried first and waits only if the kernel has to. A
// client that is gone stays gone: from then on every operation fails at once.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "http/server.h"

namespace aioss::http {

using Socket = net::generic::stream_protocol::socket;

class Transport final : public std::enable_shared_from_this<Transport> {
 public:
  enum class Read { kBytes, kTimeout, kInterrupted, kEnd, kGone };

  explicit Transport(Socket socket);

  // For the reads that follow, together. A write in between ends it.
  void set_deadline(std::chrono::milliseconds timeout);
  void clear_deadline();
  // Appends what has arrived to `input`, waiting for the first byte. Bytes that are there are
  // always read, also after the deadline or an interrupt.
  net::awaitable<Read> read_some(std::string& input);
  // Ends a read that waits, or the next one that would. Bytes that come first make it void.
  void interrupt();

  // All of it, or false: the client is gone. `timeout` is for each step of progress.
  net::awaitable<bool> write_all(std::string bytes, std::chrono::milliseconds timeout);

  // From now until unwatch(), `on_gone` runs as soon as the client has closed its side or reset the
  // connection, at most once. Also run by a failing write.
  void watch();
  void unwatch();
  void on_gone(std::function<void()> callback);
  bool gone() const { return gone_; }
  bool stalled() const { return stalled_; }  // gone because a write made no progress in time

  // Says goodbye so that the client can read what was sent: ends our side, then swallows what the
  // client still sends, for a bounded time and amount, until it ends its own.
  net::awaitable<void> close_gently(std::chrono::milliseconds timeout);
  void close();  // at once; the client counts as gone

 private:
  enum class Peek { kNothing, kBytes, kEnd };

  void read_now(std::string& input, boost::system::error_code& error);
  bool due_to_yield();
  void wait_for_end();
  void check_for_end();
  Peek peek();
  bool peer_has_hung_up();
  void set_gone();

  Socket socket_;
  net::steady_timer deadline_;
  net::steady_timer recheck_;
  std::function<void()> on_gone_;
  std::uint64_t deadline_id_ = 0;  // tells a late expiry from one that still counts
  unsigned immediate_ = 0;         // operations in a row that did not wait
  bool timed_out_ = false;
  bool interrupted_ = false;
  bool gone_ = false;
  bool stalled_ = false;
  bool watching_ = false;
  bool wait_pending_ = false;  // the watch has a wait with the reactor
};

}  // namespace aioss::http
