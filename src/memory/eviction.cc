#include "memory/eviction.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "base/clock.h"

namespace aioss::memory {
namespace {

double value_of(const Candidate& of, std::uint64_t bytes, std::int64_t restore_ns) {
  if (of.stays != Stays::kNo) return 0;
  const auto unused = static_cast<double>(std::max<std::int64_t>(of.unused_ns, 1));
  // One byte at least: a model that says it takes nothing still takes a process.
  const auto freed = static_cast<double>(std::max<std::uint64_t>(bytes, 1));
  return freed * unused / static_cast<double>(restore_ns);
}

double value_of_end(const Candidate& of) {
  return value_of(of, of.bytes, std::max(of.restore_ns, kRestoreLeastNs));
}

bool may_park(const Candidate& of) {
  return !of.is_parked && of.parked_bytes > 0;
}

bool goes_before(const Judged& a, const Judged& b) {
  const auto rank = [](const Judged& one) {
    return std::make_tuple(one.candidate.stays != Stays::kNo, one.candidate.priority,
                           !one.candidate.is_parked, -one.value);
  };
  if (rank(a) != rank(b)) return rank(a) < rank(b);
  return a.candidate.name < b.candidate.name;
}

// One thing that can be done to one model.
struct Step {
  Judged* one = nullptr;
  bool parks = false;
  std::int64_t priority = 0;
  bool ends_a_running_one = false;
  double value = 0;
};

bool comes_before(const Step& a, const Step& b) {
  const auto rank = [](const Step& step) {
    return std::make_tuple(step.priority, step.ends_a_running_one, -step.value);
  };
  if (rank(a) != rank(b)) return rank(a) < rank(b);
  return a.one->candidate.name < b.one->candidate.name;
}

std::vector<Step> steps_of(std::vector<Judged>& judged) {
  std::vector<Step> steps;
  for (Judged& one : judged) {
    const Candidate& of = one.candidate;
    if (of.stays != Stays::kNo) continue;
    steps.push_back({&one, false, of.priority, !of.is_parked, one.value});
    if (!may_park(of)) continue;
    const double value = value_of(of, of.parked_bytes, std::max(of.wake_ns, kWakeLeastNs));
    steps.push_back({&one, true, of.priority, false, value});
  }
  std::sort(steps.begin(), steps.end(), comes_before);
  return steps;
}

std::uint64_t freed_by(const std::vector<Judged>& judged) {
  std::uint64_t bytes = 0;
  for (const Judged& one : judged) {
    if (one.goes) bytes += one.candidate.bytes;
    if (one.parks) bytes += one.candidate.parked_bytes;
  }
  return bytes;
}

bool suffices(const std::vector<Judged>& judged, const Wanted& wanted) {
  const auto ends =
      std::count_if(judged.begin(), judged.end(), [](const auto& j) { return j.goes; });
  return freed_by(judged) >= wanted.bytes && static_cast<std::size_t>(ends) >= wanted.models;
}

// Nothing, or at least not its end, if the others do.
void spare(Judged& one, const std::vector<Judged>& judged, const Wanted& wanted) {
  const Judged before = one;
  one.goes = one.parks = false;
  if (suffices(judged, wanted)) return;
  one.parks = before.parks || may_park(one.candidate);
  if (one.parks && suffices(judged, wanted)) return;
  one.goes = before.goes;
  one.parks = before.parks;
}

}  // namespace

std::string_view name(Stays stays) {
  constexpr std::array<std::string_view, 5> kNames{"", "busy", "pinned", "just_loaded", "changing"};
  return kNames[static_cast<std::size_t>(stays)];
}

Choice choose(std::vector<Candidate> candidates, const Wanted& wanted) {
  Choice choice;
  for (Candidate& candidate : candidates) {
    const double value = value_of_end(candidate);
    choice.judged.push_back({std::move(candidate), value});
  }
  std::sort(choice.judged.begin(), choice.judged.end(), goes_before);

  const std::vector<Step> steps = steps_of(choice.judged);
  for (const Step& step : steps) {
    if (suffices(choice.judged, wanted)) break;
    step.one->goes = !step.parks;
    step.one->parks = step.parks;
  }
  choice.enough = suffices(choice.judged, wanted);
  // The last ones may free so much that an earlier one need not go: the most worth keeping first.
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    if (choice.enough) spare(*step->one, choice.judged, wanted);
    if (!choice.enough) step->one->goes = step->one->parks = false;
  }
  choice.bytes = freed_by(choice.judged);
  return choice;
}

std::string describe(const Judged& judged) {
  const Candidate& of = judged.candidate;
  std::string line = of.name + " bytes=" + std::to_string(of.bytes) +
                     " unused_ms=" + std::to_string(of.unused_ns / kNsPerMs) +
                     " restore_ms=" + std::to_string(of.restore_ns / kNsPerMs) +
                     " value=" + std::to_string(static_cast<std::uint64_t>(judged.value)) +
                     " priority=" + std::to_string(of.priority) + " ";
  if (of.is_parked) line += "warm ";
  if (may_park(of)) {
    line += "parked_bytes=" + std::to_string(of.parked_bytes) +
            " wake_ms=" + std::to_string(of.wake_ns / kNsPerMs) + " ";
  }
  if (of.stays != Stays::kNo) return line + std::string(name(of.stays));
  if (judged.goes) return line + "goes";
  return line + (judged.parks ? "parks" : "kept");
}

}  // namespace aioss::memory
