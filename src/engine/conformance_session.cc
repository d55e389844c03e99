// What a session must do besides arithmetic: fill up, stop when asked, cut, copy, save, load, and
// take no more memory than was planned.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <string>
#include <utility>

#include "engine/conformance_harness.h"
#include "os/heaps.h"
#include "os/memory.h"

namespace aioss::engine::conformance {
namespace {

constexpr std::uint32_t kShort = 100;  // a prompt with a tail that is not on the grid
constexpr std::uint32_t kOnGrid = 64;  // its last grid point
// One that ends a few tokens behind it, which an engine may compute in two parts.
constexpr std::uint32_t kFewBehind = 75;
constexpr std::uint64_t kMiB = 1u << 20;
// Allocator and thread stacks beside what an engine plans for a session.
constexpr std::uint64_t kUnplannedBytesMax = 48 * kMiB;
// Of a session that was closed, where one was before.
constexpr std::uint64_t kLeftBytesMax = 4 * kMiB;

// Bit-equal where the profile promises it; close where it does not.
void judge(Harness& harness, Recorder& recorder, const char* name, const Result<Rows>& expected,
           const Result<Rows>& actual) {
  if (!expected) return recorder.failed(name, expected.error());
  if (!actual) return recorder.failed(name, actual.error());
  const Comparison result = compare(*expected, *actual);
  const bool strict = harness.profile() != AIOSS_PROFILE_FAST;
  recorder.expect(name, strict ? result.equal : result.close, result.detail);
}

struct Interruption {
  std::atomic<int> questions{0};
  int answer_yes_after = 0;  // < 0: never
};

int interrupt(void* user) {
  auto* interruption = static_cast<Interruption*>(user);
  const int n = ++interruption->questions;
  return interruption->answer_yes_after >= 0 && n > interruption->answer_yes_after ? 1 : 0;
}

std::string mib(std::uint64_t bytes) {
  char text[32] = {};
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / kMiB);
  return text;
}

// A prefill that is given up after so many tenths of the questions that it asks: what was done of
// it must not count, and the session goes on.
void abort_after(Harness& harness, Recorder& recorder, const std::string& name,
                 std::uint32_t tokens, int tenths) {
  Interruption interruption;
  interruption.answer_yes_after = -1;
  aioss_session_options options = harness.session_options();
  options.abort = interrupt;
  options.abort_user = &interruption;
  const auto session = harness.session(options);
  if (!session) return recorder.failed("session." + name, session.error());
  Session& s = **session;
  Status status = harness.prefill(s, 0, 0, 0, tokens);
  const int asked = interruption.questions;
  const Result<Rows> expected = harness.step(s, 0, 0, tokens);
  if (!status || !expected) return recorder.expect("session." + name, false, "cannot prefill");
  recorder.expect("session." + name + "_is_asked", asked > 0, std::to_string(asked) + " questions");
  status = s.remove(0, 0, -1);

  const aioss_counters before = s.counters();
  interruption.answer_yes_after = interruption.questions + asked * tenths / 10;
  status = harness.prefill(s, 0, 0, 0, tokens);
  const aioss_counters after = s.counters();
  recorder.expect("session." + name, !status && status.error().code == Code::kCancelled,
                  status ? "the call was not aborted" : status.error().message);
  recorder.expect("session." + name + "_does_not_count",
                  after.decode_calls == before.decode_calls && after.tokens == before.tokens,
                  std::to_string(after.tokens - before.tokens) + " tokens counted");
  interruption.answer_yes_after = -1;
  status = s.remove(0, 0, -1);
  if (status) status = harness.prefill(s, 0, 0, 0, tokens);
  const std::string goes_on = "session.goes_on_after_" + name;
  if (!status) return recorder.failed(goes_on, status.error());
  judge(harness, recorder, goes_on.c_str(), expected, harness.step(s, 0, 0, tokens));
}

}  // namespace

void check_full(Harness& harness, Recorder& recorder) {
  constexpr std::uint32_t kCells = 64;
  aioss_session_options options = harness.session_options();
  options.sequences_max = 2;
  options.cells_per_sequence = kCells;
  const auto session = harness.session(options);
  if (!session) return recorder.failed("session.full", session.error());
  Session& s = **session;
  Status filled = harness.prefill(s, 0, 0, 0, kCells - 1);
  if (filled) filled = harness.prefill(s, 0, 0, kCells - 1, kCells);
  if (!filled) return recorder.failed("session.full", filled.error());
  BatchBuilder one;
  one.add(harness.token(0, kCells), static_cast<std::int32_t>(kCells), 0, true);
  const Status over = s.decode(one.view());
  recorder.expect("session.full", !over && over.error().code == Code::kContextExceeded,
                  over ? "a token beyond the last cell was taken" : over.error().message);
  const Result<Rows> neighbour = harness.step(s, 1, 1, 0);
  recorder.expect("session.full_leaves_neighbours", neighbour.has_value(), "");
  const Status removed = s.remove(0, 0, -1);
  const Result<Rows> again = harness.step(s, 0, 0, 0);
  recorder.expect("session.goes_on_after_full", removed.has_value() && again.has_value(),
                  again ? "" : again.error().message);
}

void check_abort(Harness& harness, Recorder& recorder) {
  abort_after(harness, recorder, "abort", kShort, 0);
  abort_after(harness, recorder, "late_abort", kFewBehind, 9);
}

void check_remove(Harness& harness, Recorder& recorder) {
  const auto session = harness.session(harness.session_options());
  if (!session) return recorder.failed("session.remove", session.error());
  Session& s = **session;
  Status status = harness.prefill(s, 0, 0, 0, kShort);
  const Result<Rows> expected = harness.step(s, 0, 0, kShort);
  // One decoded token back.
  if (status) status = s.remove(0, static_cast<std::int32_t>(kShort), -1);
  if (!status) return recorder.failed("session.remove_one", status.error());
  judge(harness, recorder, "session.remove_one", expected, harness.step(s, 0, 0, kShort));
  // To the last grid point, then the tail once more.
  status = s.remove(0, static_cast<std::int32_t>(kOnGrid), -1);
  if (status) status = harness.prefill(s, 0, 0, kOnGrid, kShort);
  if (!status) return recorder.failed("session.remove_to_grid", status.error());
  judge(harness, recorder, "session.remove_to_grid", expected, harness.step(s, 0, 0, kShort));
  // Positions go on from the cut, and from nowhere else.
  status = s.remove(0, static_cast<std::int32_t>(kOnGrid), -1);
  const Result<Rows> gap = harness.step(s, 0, 0, kShort);
  recorder.expect("session.remove_moves_the_end", status.has_value() && !gap.has_value(),
                  gap ? "a position behind the cut was taken" : gap.error().message);
}

void check_copy(Harness& harness, Recorder& recorder) {
  const auto session = harness.session(harness.session_options());
  if (!session) return recorder.failed("session.copy", session.error());
  Session& s = **session;
  Status status = harness.prefill(s, 0, 0, 0, kShort);
  if (status) status = s.copy(0, 3);
  if (!status) {
    const bool unsupported = status.error().code == Code::kUnsupported;
    return recorder.add("session.copy", unsupported ? Verdict::kSkipped : Verdict::kFail,
                        status.error().message);
  }
  const Status occupied = s.copy(0, 3);
  recorder.expect("session.copy_needs_an_empty_target", !occupied.has_value(), "");
  // The copy's state must be real before anything is decoded.
  const Result<Bytes> state = s.save(3);
  const Result<Rows> expected = harness.step(s, 0, 0, kShort);
  judge(harness, recorder, "session.copy", expected, harness.step(s, 0, 3, kShort));
  status = state ? s.load(5, *state) : Status(state.error());
  if (!status) return recorder.failed("session.save_of_a_copy", status.error());
  judge(harness, recorder, "session.save_of_a_copy", expected, harness.step(s, 0, 5, kShort));
}

void check_state(Harness& harness, Recorder& recorder) {
  const auto session = harness.session(harness.session_options());
  if (!session) return recorder.failed("session.state", session.error());
  Session& s = **session;
  const Status prefilled = harness.prefill(s, 0, 0, 0, kShort);
  if (!prefilled) return recorder.failed("session.save", prefilled.error());
  const Result<Bytes> state = s.save(0);
  if (!state) return recorder.failed("session.save", state.error());
  recorder.expect("session.save", !state->empty(), mib(state->size()));
  const Result<Rows> expected = harness.step(s, 0, 0, kShort);

  Status status = s.load(4, *state);
  if (!status) return recorder.failed("session.load", status.error());
  judge(harness, recorder, "session.load", expected, harness.step(s, 0, 4, kShort));
  // Over something else, which must be gone.
  status = harness.prefill(s, 1, 6, 0, 30);
  if (status) status = s.load(6, *state);
  if (!status) return recorder.failed("session.load_over", status.error());
  judge(harness, recorder, "session.load_over", expected, harness.step(s, 0, 6, kShort));
  // Into another session of the same model and options.
  const auto other = harness.session(harness.session_options());
  status = other ? (*other)->load(0, *state) : Status(other.error());
  if (!status) return recorder.failed("session.load_elsewhere", status.error());
  judge(harness, recorder, "session.load_elsewhere", expected, harness.step(**other, 0, 0, kShort));

  Bytes damaged = *state;
  damaged[damaged.size() / 2] ^= 0x10;
  recorder.expect("session.load_damaged", !s.load(7, damaged).has_value(), "one bit was flipped");
  damaged = *state;
  damaged.resize(damaged.size() / 2);
  recorder.expect("session.load_truncated", !s.load(7, damaged).has_value(), "half of it");
  recorder.expect("session.load_empty", !s.load(7, {}).has_value(), "");
  const Result<Rows> after = harness.step(s, 0, 7, 0);
  recorder.expect("session.goes_on_after_bad_loads", after.has_value(),
                  after ? "" : after.error().message);
}

// A model that is parked closes its session and makes another one when it is wanted: nothing of the
// first may be left in the model, neither in its answers nor in the process's memory.
void check_reopen(Harness& harness, Recorder& recorder) {
  const auto answer = [&harness](aioss_session_options options) -> Result<Rows> {
    AIOSS_TRY(const auto session, harness.session(options));
    AIOSS_CHECK(harness.prefill(*session, 0, 0, 0, kShort));
    return harness.step(*session, 0, 0, kShort);
  };
  const aioss_session_options options = harness.session_options();
  aioss_session_options other = options;
  other.sequences_max = 2;
  other.cells_per_sequence = 2 * kShort;
  const Result<Rows> expected = answer(options);
  os::give_back_free_memory();
  const Result<os::ProcessMemory> before = os::process_memory();
  if (const Result<Rows> between = answer(other); !between) {
    return recorder.failed("session.another_geometry", between.error());
  }
  judge(harness, recorder, "session.reopened", expected, answer(options));
  os::give_back_free_memory();
  const Result<os::ProcessMemory> after = os::process_memory();
  if (!before || !after) {
    return recorder.add("session.leaves_nothing", Verdict::kSkipped,
                        "this process may not read its own memory use");
  }
  const std::uint64_t left = after->anonymous - std::min(before->anonymous, after->anonymous);
  recorder.expect("session.leaves_nothing", left <= kLeftBytesMax, mib(left) + " are left");
}

namespace {

// Of a kind: of the host's memory, and of the devices that the model's layers are on.
std::uint64_t everywhere(const aioss_plan& plan, std::uint64_t of_host,
                         std::uint64_t aioss_plan_device::* of_device) {
  std::uint64_t bytes = of_host;
  for (std::uint32_t i = 0; i < std::min<std::uint32_t>(plan.device_count, AIOSS_DEVICES_MAX); ++i)
    bytes += plan.devices[i].*of_device;
  return bytes;
}

// What a plan may leave out, for no token touches it: rows of the table of embeddings. It may be
// kept in twice as many bits as the rest; of a model with two such tables it is half at most.
double share_of_embeddings(const aioss_model_facts& facts) {
  constexpr double kMost = 0.5;
  const double table = static_cast<double>(facts.vocabulary_size) * facts.embedding_size;
  const auto parameters = static_cast<double>(facts.parameter_count);
  return parameters > 0 ? std::min(kMost, 2 * table / parameters) : kMost;
}

void check_planned_weights(const aioss_plan& plan, const aioss_model_facts& facts,
                           Recorder& recorder) {
  constexpr double kTolerance = 0.2;
  const auto planned =
      static_cast<double>(everywhere(plan, plan.weight_bytes, &aioss_plan_device::weight_bytes));
  const auto resident = static_cast<double>(facts.weight_bytes);
  const double least = resident * (1 - kTolerance - share_of_embeddings(facts));
  const double most = resident * (1 + kTolerance);
  recorder.expect("plan.weights", planned >= least - kMiB && planned <= most + kMiB,
                  "planned " + mib(static_cast<std::uint64_t>(planned)) + ", resident " +
                      mib(facts.weight_bytes));
}

}  // namespace

void check_plan(Harness& harness, Recorder& recorder) {
  const aioss_engine& engine = harness.model().engine();
  aioss_model_options model = {};
  model.struct_size = sizeof model;
  model.profile = static_cast<std::uint32_t>(harness.profile());
  model.fds = harness.options().fds.data();
  model.fd_count = static_cast<std::uint32_t>(harness.options().fds.size());
  model.devices = harness.options().devices.data();
  model.device_count = static_cast<std::uint32_t>(harness.options().devices.size());
  model.gpu_layers = -1;
  aioss_session_options options = harness.session_options();
  const Result<aioss_plan> first = plan(engine, model, options);
  if (!first) return recorder.failed("plan", first.error());
  check_planned_weights(*first, harness.model().facts(), recorder);

  const Result<os::ProcessMemory> before = os::process_memory();
  const auto session = harness.session(options);
  const Result<os::ProcessMemory> after = os::process_memory();
  if (!session) return recorder.failed("plan.session", session.error());
  const std::uint64_t planned = first->kv_bytes + first->compute_bytes + first->output_bytes;
  if (before && after) {
    const std::uint64_t real = after->resident - std::min(before->resident, after->resident);
    recorder.expect("plan.session", real <= planned + planned / 10 + kUnplannedBytesMax,
                    "planned " + mib(planned) + ", took " + mib(real));
  } else {
    recorder.add("plan.session", Verdict::kSkipped, "this process may not read its own memory use");
  }
  options.cells_per_sequence *= 2;
  const Result<aioss_plan> second = plan(engine, model, options);
  if (!second) return recorder.failed("plan.scales", second.error());
  const std::uint64_t once = everywhere(*first, first->kv_bytes, &aioss_plan_device::kv_bytes);
  const std::uint64_t twice = everywhere(*second, second->kv_bytes, &aioss_plan_device::kv_bytes);
  recorder.expect("plan.scales", twice > once,
                  mib(once) + " and, with twice the cells, " + mib(twice));
}

}  // namespace aioss::engine::conformance
