// The table of invariances: the same tokens, computed in other company and other pieces, bit for
// bit.
#include <algorithm>
#include <random>
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
  // Instead of the variant, where sequences change between the steps.
  Result<Run> (*run)(Harness& harness, std::uint32_t length, std::uint32_t seed) = nullptr;
  std::uint32_t seed = 0;
  bool in_one_graph = true;         // of calls with several sequences
  bool may_be_unsupported = false;  // needs sequence_copy, which an engine may not have
};

// Sequences with the ids 0, 1, …, so that they may share a graph, which decode together.
class Company final {
 public:
  Company(Harness& harness, Session& session) : harness_(harness), session_(session) {}

  std::size_t size() const { return members_.size(); }
  // The next id holds `length` tokens of prompt `which` by now.
  void add(std::uint32_t which, std::uint32_t length) { members_.push_back({which, length}); }

  Status arrive(std::uint32_t which, std::uint32_t length) {
    AIOSS_CHECK(harness_.prefill(session_, which, static_cast<std::int32_t>(size()), 0, length));
    add(which, length);
    ++came_;
    return ok();
  }
  Status leave() {
    members_.pop_back();
    ++went_;
    return session_.remove(static_cast<std::int32_t>(size()), 0, -1);
  }
  // Somebody goes and another comes at once, with the same id.
  Status replace(std::size_t id, std::uint32_t which, std::uint32_t length) {
    const auto sequence = static_cast<std::int32_t>(id);
    AIOSS_CHECK(session_.remove(sequence, 0, -1));
    AIOSS_CHECK(harness_.prefill(session_, which, sequence, 0, length));
    members_[id] = {which, length};
    ++went_;
    ++came_;
    return ok();
  }

  // The next token of everybody, in one call; the logits of `subject` are kept.
  Status step(std::size_t subject, Run& run) {
    BatchBuilder batch;
    for (std::size_t id = 0; id < size(); ++id) {
      Member& member = members_[id];
      batch.add(harness_.token(member.which, member.length),
                static_cast<std::int32_t>(member.length), static_cast<std::int32_t>(id), true);
      ++member.length;
    }
    const aioss_counters before = session_.counters();
    AIOSS_CHECK(session_.decode(batch.view()));
    const aioss_counters after = session_.counters();
    run.decode_calls += after.decode_calls - before.decode_calls;
    run.graphs += after.graphs - before.graphs;
    run.rows.push_back(row_of(session_, static_cast<std::uint32_t>(subject)));
    return ok();
  }

  std::uint32_t came() const { return came_; }
  std::uint32_t went() const { return went_; }

 private:
  struct Member {
    std::uint32_t which;
    std::uint32_t length;
  };
  Harness& harness_;
  Session& session_;
  std::vector<Member> members_;
  std::uint32_t came_ = 0;
  std::uint32_t went_ = 0;
};

// Prompts of neighbours, apart from those of the harness's own runs.
constexpr std::uint32_t kCompanyPrompts = 200;
constexpr std::uint32_t kNeighbourTokensMax = 40;

// The subject goes on as a copy, beside the sequence that it was copied from. That one goes on with
// another text, which must not reach the copy.
Result<Run> run_copied(Harness& harness, std::uint32_t length, std::uint32_t) {
  AIOSS_TRY(const auto session, harness.session(harness.session_options()));
  AIOSS_CHECK(harness.prefill(*session, 0, 1, 0, length));
  AIOSS_CHECK(session->copy(1, 0));
  Company company(harness, *session);
  company.add(0, length);
  company.add(kCompanyPrompts, length);
  Run run;
  for (std::uint32_t i = 0; i < harness.options().decoded_tokens; ++i) {
    AIOSS_CHECK(company.step(0, run));
  }
  return run;
}

// Half-way the subject moves to a lower id, as the scheduler moves it to close a hole, and goes on
// in company.
Result<Run> run_moved(Harness& harness, std::uint32_t length, std::uint32_t) {
  constexpr std::int32_t kFrom = 5;
  constexpr std::size_t kTo = 2;
  AIOSS_TRY(const auto session, harness.session(harness.session_options()));
  Company company(harness, *session);
  for (std::uint32_t n = 0; n < kTo; ++n) AIOSS_CHECK(company.arrive(kCompanyPrompts + n, 9 + n));
  AIOSS_CHECK(harness.prefill(*session, 0, kFrom, 0, length));
  Run run;
  const std::uint32_t half = harness.options().decoded_tokens / 2;
  for (std::uint32_t i = 0; i < half; ++i) {
    AIOSS_TRY(Rows rows, harness.step(*session, 0, kFrom, length + i));
    run.rows.push_back(std::move(rows.front()));
  }
  AIOSS_CHECK(session->copy(kFrom, static_cast<std::int32_t>(kTo)));
  AIOSS_CHECK(session->remove(kFrom, 0, -1));
  company.add(0, length + half);
  for (std::uint32_t i = half; i < harness.options().decoded_tokens; ++i) {
    AIOSS_CHECK(company.step(kTo, run));
  }
  return run;
}

// Between two steps: the last leaves, one comes, or one of the first `replaceable` is replaced.
Status change(Company& company, std::size_t subject, std::size_t replaceable, std::mt19937& dice,
              std::uint32_t& prompts) {
  const std::uint32_t which = kCompanyPrompts + prompts++;
  const auto length = static_cast<std::uint32_t>(1 + dice() % kNeighbourTokensMax);
  switch (dice() % 3) {
    case 0:
      if (company.size() > subject + 1) return company.leave();
      return company.arrive(which, length);
    case 1:
      if (company.size() < kSequences) return company.arrive(which, length);
      return company.leave();
    default:
      return company.replace(dice() % replaceable, which, length);
  }
}

// Neighbours with lower and with higher ids come and go while the subject decodes. The first is
// longer than the subject for the first half, so that the graph's view of the cache narrows.
Result<Run> run_come_and_go(Harness& harness, std::uint32_t length, std::uint32_t seed) {
  constexpr std::size_t kSubject = 2;
  AIOSS_TRY(const auto session, harness.session(harness.session_options()));
  std::mt19937 dice(seed);
  std::uint32_t prompts = 0;
  Company company(harness, *session);
  AIOSS_CHECK(company.arrive(kCompanyPrompts + prompts++, 9));
  AIOSS_CHECK(company.arrive(kCompanyPrompts + prompts++, length + kNeighbourTokensMax));
  AIOSS_CHECK(company.arrive(0, length));
  const std::uint32_t from_the_start = company.came();
  Run run;
  const std::uint32_t steps = harness.options().decoded_tokens;
  for (std::uint32_t i = 0; i < steps; ++i) {
    AIOSS_CHECK(company.step(kSubject, run));
    const bool long_one_stays = i < steps / 2;
    const std::size_t replaceable = long_one_stays ? 1 : kSubject;
    if (i == steps / 2) AIOSS_CHECK(company.replace(1, kCompanyPrompts + prompts++, 5));
    for (auto changes = 1 + dice() % 2; changes > 0; --changes) {
      AIOSS_CHECK(change(company, kSubject, replaceable, dice, prompts));
    }
  }
  run.company = std::to_string(company.came() - from_the_start) + " came, " +
                std::to_string(company.went()) + " went";
  return run;
}

// The end of the subject's prompt, in one call with a neighbour's decode step.
Result<Run> run_tail_beside(Harness& harness, std::uint32_t length, std::uint32_t) {
  constexpr std::uint32_t kNeighbour = 9;  // tokens
  AIOSS_TRY(const auto session, harness.session(harness.session_options()));
  const std::uint32_t on_grid = (length - 1) / harness.grid() * harness.grid();
  AIOSS_CHECK(harness.prefill(*session, kCompanyPrompts, 0, 0, kNeighbour));
  AIOSS_CHECK(harness.prefill(*session, 0, 1, 0, on_grid));
  BatchBuilder batch;
  batch.add(harness.token(kCompanyPrompts, kNeighbour), static_cast<std::int32_t>(kNeighbour), 0,
            true);
  for (std::uint32_t i = on_grid; i < length; ++i) {
    batch.add(harness.token(0, i), static_cast<std::int32_t>(i), 1, i + 1 == length);
  }
  AIOSS_CHECK(session->decode(batch.view()));
  Run run;
  for (std::uint32_t i = 0; i < harness.options().decoded_tokens; ++i) {
    AIOSS_TRY(Rows rows, harness.step(*session, 0, 1, length + i));
    run.rows.push_back(std::move(rows.front()));
  }
  return run;
}

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
  rows.push_back({.name = "copied", .variant = {}, .run = run_copied, .may_be_unsupported = true});
  rows.push_back({.name = "moved", .variant = {}, .run = run_moved, .may_be_unsupported = true});
  for (const std::uint32_t seed : options.company_seeds) {
    rows.push_back({.name = "come_and_go_" + std::to_string(seed),
                    .variant = {},
                    .run = run_come_and_go,
                    .seed = seed});
  }
  rows.push_back(
      {.name = "tail_beside", .variant = {}, .run = run_tail_beside, .in_one_graph = false});
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
                      " decode calls" + (run.company.empty() ? "" : ", " + run.company));
}

bool shares_graphs(const Row& row) {
  return row.in_one_graph && (row.variant.neighbours != 0 || row.run != nullptr);
}

Result<Run> compute(Harness& harness, const Row& row, std::uint32_t length) {
  return row.run != nullptr ? row.run(harness, length, row.seed) : harness.run(row.variant, length);
}

void check_length(Harness& harness, std::uint32_t length, Recorder& recorder) {
  const std::string at = ".at_" + std::to_string(length);
  const Result<Run> base = harness.run({}, length);
  if (!base) return recorder.failed("same_bits.base" + at, base.error());
  check_graphs("graphs.alone" + at, *base, recorder);
  for (const Row& row : rows_of(harness.options(), harness.profile())) {
    const std::string name = "same_bits." + row.name + at;
    const Result<Run> run = compute(harness, row, length);
    if (!run && row.may_be_unsupported && run.error().code == Code::kUnsupported) {
      recorder.add(name, Verdict::kSkipped, run.error().message);
      continue;
    }
    if (!run) {
      recorder.failed(name, run.error());
      continue;
    }
    if (shares_graphs(row)) check_graphs("graphs." + row.name + at, *run, recorder);
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
