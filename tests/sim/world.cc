#include "tests/sim/world.h"

#include <cstdio>
#include <utility>

namespace aioss::sim {

void World::at(std::int64_t when_ns, std::function<void()> what) {
  events_.push({std::max(when_ns, now_), dice.next(), events_made_++, std::move(what)});
}

bool World::step() {
  if (violation_ || events_.empty()) return false;
  // The queue gives its top as a constant, and is about to forget it.
  Event event = std::move(const_cast<Event&>(events_.top()));
  events_.pop();
  now_ = event.at;
  ++steps_;
  event.what();
  return !violation_;
}

void World::note(std::string_view line) {
  char head[64];
  const int size = std::snprintf(head, sizeof head, "%.6f ",
                                 static_cast<double>(now_) / static_cast<double>(kSecond));
  const auto add = [this](std::string_view text) {
    for (const char c : text) digest_ = (digest_ ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  };
  add({head, static_cast<std::size_t>(size)});
  add(line);
  add("\n");
  if (print_) std::printf("%s%.*s\n", head, static_cast<int>(line.size()), line.data());
}

void World::violated(std::string invariant) {
  if (violation_) return;
  note("VIOLATED: " + invariant);
  violation_ = std::move(invariant);
}

}  // namespace aioss::sim
