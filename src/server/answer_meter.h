// What is common to everybody who consumes a generation's stream: what is measured of it, and how
// its events become those of a client. io thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/openai/response.h"
#include "base/clock.h"
#include "runtime/calls/stream.h"
#include "server/http_metrics.h"

namespace aioss::server {

// Written at once to a client that is behind; also what one turn of the io thread may cost. Part of
// what can be on its way to a client that does not read: see kCreditBytes.
inline constexpr std::size_t kWriteBytesMax = 16 * 1024;

// A worker is not trusted: an index it made up ends the answer, not the server.
std::optional<Error> check_choice(const runtime::StreamEvent& event, std::uint32_t choices);

class AnswerMeter;

enum class Rendered { kNothing, kEvent, kLast };
// Takes the next event of the stream, if there is one: checks and measures it, and appends the
// client's to `out`. One that no worker may send ends the stream, as an error. `facts` are those
// that `chunks` was made with.
Rendered render_next(runtime::Stream& stream, const api::openai::AnswerFacts& facts,
                     AnswerMeter& meter, api::openai::ChunkWriter& chunks, std::string& out);

// Measures one generation, from its arrival. A value; the references outlive it.
class AnswerMeter final {
 public:
  AnswerMeter(HttpMetrics& metrics, const Clock& clock);

  void asks_for(std::string model, std::uint32_t choices);
  // Each event once, in order; of a choice that was asked for.
  void observe(const runtime::StreamEvent& event);
  // "" until it is known how it ended: "ok" or the name of a Code.
  const std::string& outcome() const { return outcome_; }
  void set_outcome(std::string_view outcome) { outcome_ = outcome; }
  // Once, at the end: counts it.
  void report();

 private:
  void observe_delta(const runtime::StreamDelta& delta);

  HttpMetrics* metrics_;
  const Clock* clock_;
  std::int64_t arrived_ns_;
  std::string model_;
  std::vector<std::int64_t> last_token_ns_;  // by choice; 0 before its first token
  bool first_token_seen_ = false;
  std::uint64_t prompt_tokens_ = 0, completion_tokens_ = 0;
  std::string outcome_;
};

}  // namespace aioss::server
