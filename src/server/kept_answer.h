// A streamed answer that outlives its client (X-Aioss-Resume): it consumes the stream itself, keeps
// the client's events in a ring, numbered from 1 without a gap, and gives them to whoever reads.
// The reader who came last is the one; the others find that they are no longer. Once the stream has
// ended, it is let go: its text may be far more than the ring.
//
// What nobody has taken yet is never dropped: when the ring is full of it, the stream is not read
// on, and its worker stops for want of credit. Of what was taken, kHistoryBytes stay, for a client
// that did not get what the kernel took. With nobody reading, nothing is dropped.
//
// Patience counts from when a reader last took what nobody had before, or left with all there was:
// to come back and to leave renews nothing, so nobody keeps a stream of the model for ever that
// way. Nor by a connection that hardly reads: while the ring stays full, kReadingTimeMax is all
// that a reader gets on top.
//
// io thread only. Shared by the shelf, by the coroutine that reads it, and by tasks on their way.
// The texts are overwritten when they are dropped. A stream that has not ended when the object goes
// is cancelled.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "api/openai/response.h"
#include "base/clock.h"
#include "http/server.h"
#include "runtime/calls/principal.h"
#include "runtime/calls/stream.h"
#include "server/answer_meter.h"

namespace aioss::server {

// Of one answer: about 4,000 tokens, as events. One stream event more may be over it, whose text
// the stream's credit bounds.
inline constexpr std::size_t kRingBytesMax = std::size_t{1} << 20;
// Far more than a connection that breaks can have lost: a write and two sockets' buffers.
inline constexpr std::size_t kHistoryBytes = kRingBytesMax / 2;
// For a reader to begin again at the first event and to come to one that is new. One that reads
// nothing at all is sent away after as long (http::Limits::write_timeout).
inline constexpr std::chrono::seconds kReadingTimeMax{120};
// What an event costs beside its bytes.
inline constexpr std::size_t kEventOverheadBytes = 64;

// Takes one of the shelf's places as long as it lives (stream_shelf.h).
class ShelfPlace {
 public:
  virtual ~ShelfPlace() = default;
};

class KeptAnswer final : public std::enable_shared_from_this<KeptAnswer> {
 public:
  struct Setup {
    http::net::io_context& io;  // outlives the answer
    const Clock& clock;         // likewise
    std::shared_ptr<runtime::Stream> stream;
    api::openai::AnswerFacts facts;
    AnswerMeter meter;
    http::Headers head;  // of the answer, the same for everybody who reads it
    runtime::Principal owner;
    std::chrono::seconds patience;  // with a client that is gone
    std::unique_ptr<ShelfPlace> place;
  };
  static std::shared_ptr<KeptAnswer> create(Setup setup);
  ~KeptAnswer();
  KeptAnswer(const KeptAnswer&) = delete;
  KeptAnswer& operator=(const KeptAnswer&) = delete;

  const std::string& id() const { return facts_.request_id; }
  const http::Headers& head() const { return head_; }
  bool belongs_to(const runtime::Principal& caller) const;
  const std::string& tenant() const { return owner_.tenant; }

  // ---- reading ----
  using Reader = std::uint64_t;  // a number that is never used again
  // Whether what follows event `after` can be had: kInvalidArgument if there is no such event yet,
  // kNotFound if what followed it was dropped.
  Status check(std::uint64_t after) const;
  // Replaces the reader there is. `changed` is notified when take() may have something new, or the
  // caller is the reader no longer.
  Reader attach(std::uint64_t after, std::shared_ptr<http::AsyncEvent> changed);
  bool is_reader(Reader reader) const { return reader_ == reader; }
  // Whole events, about kWriteBytesMax; "" if there is none now.
  std::string take();
  bool at_end() const;  // the reader has taken the last event
  // `delivered`: the connection took the answer to its end. Nothing if another one reads.
  void detach(Reader reader, bool delivered);

  // ---- keeping ----
  bool ended() const { return ended_; }
  bool has_reader() const { return reader_ != 0; }
  bool delivered() const { return delivered_; }
  std::int64_t left_ns() const { return left_ns_; }  // since when patience counts
  bool is_overdue() const;  // nobody came back in time, or who came does not read
  // Not kept any longer: ends the stream, with that reason in its record, if it has not ended. Its
  // reader, if it has one, is sent away.
  void give_up(Error why);

 private:
  struct Waker;
  explicit KeptAnswer(Setup setup);
  std::uint64_t next_number() const { return first_ + ring_.size(); }
  void note_progress();
  void end_reading();
  void pump();  // from the stream into the ring, as far as there is room
  bool has_room() const { return ring_bytes_ < kRingBytesMax; }
  void add_events(std::string& rendered);
  void drop_history();
  void drop_first();
  void end();

  const Clock& clock_;
  std::shared_ptr<runtime::Stream> stream_;  // null once it has ended
  const api::openai::AnswerFacts facts_;
  const http::Headers head_;
  const runtime::Principal owner_;
  const std::int64_t patience_ns_;
  const std::unique_ptr<ShelfPlace> place_;
  api::openai::ChunkWriter chunks_;
  AnswerMeter meter_;
  std::shared_ptr<Waker> waker_;

  std::deque<std::string> ring_;
  std::size_t ring_bytes_ = 0, history_bytes_ = 0;  // the latter: of those that were taken
  std::uint64_t first_ = 1;                         // number of the ring's first event
  std::uint64_t next_ = 1;                          // that the reader gets next
  std::uint64_t taken_ = 0;                         // the last one that any reader ever had
  bool ended_ = false, delivered_ = false;
  std::optional<std::int64_t> full_ns_;  // since when no event found room

  Reader reader_ = 0, last_reader_ = 0;  // 0: nobody
  std::shared_ptr<http::AsyncEvent> changed_;
  bool moved_ = false;  // this reader has taken what nobody had before
  std::int64_t left_ns_ = 0;
};

}  // namespace aioss::server
