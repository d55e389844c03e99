#include "memory/eviction.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

namespace aioss::memory {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

double value_of(const Candidate& candidate) {
  if (candidate.stays != Stays::kNo) return 0;
  const auto unused = static_cast<double>(std::max<std::int64_t>(candidate.unused_ns, 1));
  const auto restore = static_cast<double>(std::max(candidate.restore_ns, kRestoreLeastNs));
  // One byte at least: a model that says it takes nothing still takes a process.
  return static_cast<double>(std::max<std::uint64_t>(candidate.bytes, 1)) * unused / restore;
}

bool goes_before(const Judged& a, const Judged& b) {
  const auto rank = [](const Judged& one) {
    return std::make_tuple(one.candidate.stays != Stays::kNo, one.candidate.priority, -one.value);
  };
  if (rank(a) != rank(b)) return rank(a) < rank(b);
  return a.candidate.name < b.candidate.name;
}

}  // namespace

std::string_view name(Stays stays) {
  constexpr std::array<std::string_view, 5> kNames{"", "busy", "pinned", "just_loaded", "changing"};
  return kNames[static_cast<std::size_t>(stays)];
}

Choice choose(std::vector<Candidate> candidates, const Wanted& wanted) {
  Choice choice;
  for (Candidate& candidate : candidates) {
    const double value = value_of(candidate);
    choice.judged.push_back({std::move(candidate), value, false});
  }
  std::sort(choice.judged.begin(), choice.judged.end(), goes_before);

  std::size_t models = 0;
  const auto suffices = [&](std::uint64_t bytes, std::size_t count) {
    return bytes >= wanted.bytes && count >= wanted.models;
  };
  for (Judged& one : choice.judged) {
    if (one.candidate.stays != Stays::kNo || suffices(choice.bytes, models)) break;
    one.goes = true;
    choice.bytes += one.candidate.bytes;
    ++models;
  }
  choice.enough = suffices(choice.bytes, models);
  // The last ones may free so much that an earlier one need not go: the most worth keeping first.
  for (auto one = choice.judged.rbegin(); one != choice.judged.rend(); ++one) {
    if (!one->goes) continue;
    if (choice.enough && !suffices(choice.bytes - one->candidate.bytes, models - 1)) continue;
    one->goes = false;
    choice.bytes -= one->candidate.bytes;
    --models;
  }
  return choice;
}

std::string describe(const Judged& judged) {
  const Candidate& of = judged.candidate;
  std::string line = of.name + " bytes=" + std::to_string(of.bytes) +
                     " unused_ms=" + std::to_string(of.unused_ns / kNsPerMs) +
                     " restore_ms=" + std::to_string(of.restore_ns / kNsPerMs) +
                     " value=" + std::to_string(static_cast<std::uint64_t>(judged.value)) +
                     " priority=" + std::to_string(of.priority) + " ";
  if (of.stays != Stays::kNo) return line + std::string(name(of.stays));
  return line + (judged.goes ? "goes" : "kept");
}

}  // namespace aioss::memory
