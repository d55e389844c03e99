// Which models have to go so that another one has room: those whose memory is worth least. The
// value of taking one is
//
//     bytes that it frees × time since it was last used ÷ time that it costs to bring it back
//
// and among those of the lowest priority the highest goes first. One that is busy, pinned or was
// just loaded never goes.
//
// A model that runs may also be parked: it frees what it computes with and keeps its weights, and
// is back within milliseconds. So a model has two values, one for each way. Of a priority, first
// models are parked and parked ones are ended, by value; only if that does not do, those that run
// are ended. A pure function of its arguments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace aioss::memory {

// Why a model stays, whatever its value.
enum class Stays : std::uint8_t { kNo, kBusy, kPinned, kJustLoaded, kChanging };
std::string_view name(Stays stays);  // "", "busy", "pinned", "just_loaded", "changing"

struct Candidate {
  std::string name;
  std::uint64_t bytes = 0;      // that its end would free
  std::int64_t unused_ns = 0;   // since it was last used
  std::int64_t restore_ns = 0;  // that loading it took
  std::int64_t priority = 0;    // the lower, the sooner it goes
  Stays stays = Stays::kNo;
  bool is_parked = false;
  std::uint64_t parked_bytes = 0;  // that parking it would free; 0: it is not to be parked
  std::int64_t wake_ns = 0;        // that bringing it back from there takes
};

struct Judged {
  Candidate candidate;
  double value = 0;    // of its end, in bytes; 0 of one that stays
  bool goes = false;   // it is ended, or
  bool parks = false;  // parked only
};

struct Wanted {
  std::uint64_t bytes = 0;
  std::size_t models = 0;  // that have to end at least, whatever they free
};

struct Choice {
  bool enough = false;         // if not, none goes
  std::uint64_t bytes = 0;     // that are freed
  std::vector<Judged> judged;  // all candidates, in the order in which they would go
};

// Bringing back takes a second at least: a process has to start, whatever the model is.
inline constexpr std::int64_t kRestoreLeastNs = 1'000'000'000;
// Waking one up: buffers have to be made.
inline constexpr std::int64_t kWakeLeastNs = 10'000'000;

Choice choose(std::vector<Candidate> candidates, const Wanted& wanted);

// One line of a candidate, for records and pages: "name bytes=… unused_ms=… restore_ms=… value=…
// priority=… goes", or why it stays, or "kept"; "parks", of one that may, behind "parked_bytes=…
// wake_ms=…"; of one that is parked already "warm" stands before that.
std::string describe(const Judged& judged);

}  // namespace aioss::memory
