// Which models have to go so that another one has room: those whose memory is worth least. The
// value of taking one is
//
//     bytes that it frees × time since it was last used ÷ time that it costs to bring it back
//
// and among those of the lowest priority the highest goes first. One that is busy, pinned or was
// just loaded never goes. A pure function of its arguments.
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
  std::uint64_t bytes = 0;      // that it would free
  std::int64_t unused_ns = 0;   // since it was last used
  std::int64_t restore_ns = 0;  // that loading it took
  std::int64_t priority = 0;    // the lower, the sooner it goes
  Stays stays = Stays::kNo;
};

struct Judged {
  Candidate candidate;
  double value = 0;  // in bytes; 0 of one that stays
  bool goes = false;
};

struct Wanted {
  std::uint64_t bytes = 0;
  std::size_t models = 0;  // that have to go at least, whatever they free
};

struct Choice {
  bool enough = false;         // if not, none goes
  std::uint64_t bytes = 0;     // that are freed
  std::vector<Judged> judged;  // all candidates, in the order in which they would go
};

// Bringing back takes a second at least: a process has to start, whatever the model is.
inline constexpr std::int64_t kRestoreLeastNs = 1'000'000'000;

Choice choose(std::vector<Candidate> candidates, const Wanted& wanted);

// One line of a candidate, for records and pages: "name bytes=… unused_ms=… restore_ms=… value=…
// priority=… goes", or why it stays, or "kept".
std::string describe(const Judged& judged);

}  // namespace aioss::memory
