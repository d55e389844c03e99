// The table of invariances: the same tokens, computed in other company and other pieces, bit for
// bit.
#include <algorithm>
#include <string>
#include <utility>

#include "engine/conformance_harness.h"

namespace aioss::engine::conformance {
namespace {

enum class Promise { kReproducible, kEvidence, kNobody };

struct Row {
  std::string name;
  Variant variant;
  Promise promise = Promise::kReproducible;
};

bool promised(Promise promise, aioss_profile profile) {
  switch (promise) {
    case Promise::kReproducible:
      return profile != AIOSS_PROFILE_FAST;
    case Promise::kEvidence:
      return profile == AIOSS_PROFILE_EVIDENCE;
    case Promise::kNobody:
      break;
  }
  return false;
}

std::vector<Row> rows_of(const ConformanceOptions& options, aioss_profile profile) {
  std::vector<Row> rows;
  // Even the fastest arithmetic is a function of its input, on one machine with the same threads.
  rows.push_back({.name = "again", .variant = {}});
  rows.push_back({.name = "neighbours_3", .variant = {.neighbours = 3}});
  rows.push_back({.name = "neighbours_6", .variant = {.neighbours = 6, .subject = 3}});
  for (const std::uint32_t chunk : options.chunk_budgets) {
    rows.push_back({.name = "chunks_of_" + std::to_string(chunk), .variant = {.chunk = chunk}});
  }
  rows.push_back({.name = "after_earlier_use", .variant = {.earlier_use = true}});
  rows.push_back({.name = "one_thread", .variant = {.threads = 1}, .promise = Promise::kNobody});
  rows.push_back(
      {.name = "one_prefill", .variant = {.one_prefill = true}, .promise = Promise::kEvidence});
  if (!options.measure_unpromised) {
    // Neighbours stay: that they share a graph is asked of every profile.
    std::erase_if(rows, [&](const Row& row) {
      return !promised(row.promise, profile) && row.variant.neighbours != 3;
    });
  }
  return rows;
}

// Neighbours that do not share a graph prove nothing.
void check_graphs(const std::string& name, const Run& run, Recorder& recorder) {
  recorder.expect(name, run.graphs == run.decode_calls,
                  std::to_string(run.graphs) + " graphs in " + std::to_string(run.decode_calls) +
                      " decode calls");
}

void check_length(Harness& harness, std::uint32_t length, Recorder& recorder) {
  const std::string at = ".at_" + std::to_string(length);
  const Result<Run> base = harness.run({}, length);
  if (!base) return recorder.failed("same_bits.base" + at, base.error());
  check_graphs("graphs.alone" + at, *base, recorder);
  for (const Row& row : rows_of(harness.options(), harness.profile())) {
    const std::string name = "same_bits." + row.name + at;
    const Result<Run> run = harness.run(row.variant, length);
    if (!run) {
      recorder.failed(name, run.error());
      continue;
    }
    if (row.variant.neighbours != 0) check_graphs("graphs." + row.name + at, *run, recorder);
    const Comparison result = compare(base->rows, run->rows);
    const Verdict verdict = !promised(row.promise, harness.profile()) ? Verdict::kNotPromised
                            : result.equal                            ? Verdict::kPass
                                                                      : Verdict::kFail;
    recorder.add(name, verdict, result.detail);
  }
}

}  // namespace

void check_invariance(Harness& harness, Recorder& recorder) {
  for (const std::uint32_t length : harness.options().prompt_lengths) {
    check_length(harness, length, recorder);
    const bool nothing_promised = !promised(Promise::kReproducible, harness.profile());
    if (nothing_promised && !harness.options().measure_unpromised) break;
  }
}

}  // namespace aioss::engine::conformance
