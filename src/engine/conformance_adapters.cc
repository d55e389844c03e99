// What an engine promises of adapters: who uses one changes nothing for who does not, and is
// himself computed as if he were alone.
#include <fcntl.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "engine/conformance_harness.h"
#include "os/file.h"

namespace aioss::engine::conformance {
namespace {

using Uses = std::vector<aioss_adapter_use>;

constexpr std::uint32_t kLength = 155;  // with a tail that is not on the grid
constexpr std::uint32_t kOtherPrompts = 300;

// One sequence that goes on under the same adapters all the time.
struct Stream {
  std::uint32_t which = 0;
  std::int32_t sequence = 0;
  Uses uses = {};
  std::uint32_t length = 0;
};

Status decode(Session& session, const BatchBuilder& builder, const Uses& uses) {
  aioss_batch batch = builder.view();
  batch.adapters = uses.data();
  batch.adapter_count = static_cast<std::uint32_t>(uses.size());
  return session.decode(batch);
}

Status prefill(Harness& harness, Session& session, Stream& stream) {
  constexpr std::uint32_t kGrid = 64;
  while (stream.length < kLength) {
    const std::uint32_t rest = kLength - stream.length;
    const std::uint32_t count = rest > kGrid ? rest / kGrid * kGrid : rest;
    BatchBuilder batch;
    for (std::uint32_t i = stream.length; i < stream.length + count; ++i) {
      batch.add(harness.token(stream.which, i), static_cast<std::int32_t>(i), stream.sequence,
                i + 1 == kLength);
    }
    AIOSS_CHECK(decode(session, batch, stream.uses));
    stream.length += count;
  }
  return ok();
}

// One call for all of them, which use the same adapters. The logits of the first.
Result<std::vector<float>> step(Harness& harness, Session& session, std::span<Stream> streams) {
  BatchBuilder batch;
  for (Stream& stream : streams) {
    batch.add(harness.token(stream.which, stream.length), static_cast<std::int32_t>(stream.length),
              stream.sequence, true);
    ++stream.length;
  }
  AIOSS_CHECK(decode(session, batch, streams.front().uses));
  return row_of(session, 0);
}

// The subject's logits; between its steps the others go on by themselves, in one call, and begin
// anew half-way.
Result<Rows> run(Harness& harness, Uses uses, std::vector<Stream> others = {}) {
  AIOSS_TRY(const auto session, harness.session(harness.session_options()));
  Stream subject{.which = 0, .sequence = 0, .uses = std::move(uses)};
  for (Stream& other : others) AIOSS_CHECK(prefill(harness, *session, other));
  AIOSS_CHECK(prefill(harness, *session, subject));
  Rows rows;
  for (std::uint32_t i = 0; i < harness.options().decoded_tokens; ++i) {
    if (!others.empty()) {
      const auto other = step(harness, *session, others);
      if (!other) return other.error();
    }
    if (!others.empty() && i == harness.options().decoded_tokens / 2) {
      Stream& other = others.front();
      AIOSS_CHECK(session->remove(other.sequence, 0, -1));
      other.length = 0;
      AIOSS_CHECK(prefill(harness, *session, other));
    }
    AIOSS_TRY(std::vector<float> row, step(harness, *session, std::span(&subject, 1)));
    rows.push_back(std::move(row));
  }
  return rows;
}

// The subject in the same calls as others that use the same.
Result<Rows> run_together(Harness& harness, const Uses& uses) {
  AIOSS_TRY(const auto session, harness.session(harness.session_options()));
  std::vector<Stream> streams;
  for (std::int32_t i = 0; i < 3; ++i) {
    streams.push_back({i == 0 ? 0 : kOtherPrompts + static_cast<std::uint32_t>(i), i, uses});
    AIOSS_CHECK(prefill(harness, *session, streams.back()));
  }
  Rows rows;
  for (std::uint32_t i = 0; i < harness.options().decoded_tokens; ++i) {
    AIOSS_TRY(std::vector<float> row, step(harness, *session, streams));
    rows.push_back(std::move(row));
  }
  return rows;
}

// Bits where the profile promises them.
void expect_same(Harness& harness, Recorder& recorder, const char* name,
                 const Result<Rows>& expected, const Result<Rows>& actual) {
  if (!expected) return recorder.failed(name, expected.error());
  if (!actual) return recorder.failed(name, actual.error());
  const Comparison result = compare(*expected, *actual);
  const bool promised = harness.profile() != AIOSS_PROFILE_FAST;
  recorder.add(name,
               !promised      ? Verdict::kNotPromised
               : result.equal ? Verdict::kPass
                              : Verdict::kFail,
               result.detail);
}

void check_bad_uses(Harness& harness, Recorder& recorder, Adapter& adapter) {
  const auto session = harness.session(harness.session_options());
  if (!session) return recorder.failed("adapters.bad_use", session.error());
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const aioss_adapter_use good = {adapter.handle(), 1.0F, 0};
  const std::pair<const char*, Uses> bad[] = {
      {"too_many", Uses(AIOSS_ADAPTERS_MAX + 1, good)},
      {"twice", {good, good}},
      {"none", {{nullptr, 1.0F, 0}}},
      {"no_number", {{adapter.handle(), nan, 0}}},
      {"too_much", {{adapter.handle(), 2 * AIOSS_ADAPTER_SCALE_MAX, 0}}}};
  BatchBuilder batch;
  batch.add(harness.token(0, 0), 0, 0, true);
  for (const auto& [name, uses] : bad) {
    const Status refused = decode(**session, batch, uses);
    recorder.expect(std::string("adapters.bad_use.") + name,
                    !refused && refused.error().code == Code::kInvalidArgument,
                    refused ? "was taken" : refused.error().message);
  }
  const Status after = decode(**session, batch, {good});
  recorder.expect("adapters.goes_on_after_bad_uses", after.has_value(),
                  after ? "" : after.error().message);
}

void check_bad_files(Harness& harness, Recorder& recorder) {
  const os::Fd nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
  for (const auto& [name, fd] :
       {std::pair{"nothing", nothing.get()}, std::pair{"model", harness.options().fds.front()},
        std::pair{"closed", -1}}) {
    const auto opened = Adapter::open(harness.model(), fd);
    recorder.expect(std::string("adapters.bad_file.") + name, !opened,
                    opened ? "was taken" : opened.error().message);
  }
}

void check_facts(const Adapter& adapter, Recorder& recorder) {
  const aioss_adapter_facts facts = adapter.facts();
  recorder.expect("adapters.facts",
                  facts.bytes > 0 && facts.rank > 0 && facts.pair_count > 0 &&
                      facts.architecture != nullptr && facts.name != nullptr,
                  std::to_string(facts.bytes) + " bytes, rank " + std::to_string(facts.rank));
}

}  // namespace

void check_adapters(Harness& harness, Recorder& recorder) {
  const int fd = harness.options().adapter_fd;
  if (fd < 0 || !has_adapters(harness.model().engine())) {
    const char* why = fd < 0 ? "no adapter was given" : "the engine knows none";
    return recorder.add("adapters", Verdict::kSkipped, why);
  }
  const Result<Rows> base = run(harness, {});
  check_bad_files(harness, recorder);
  auto adapter = Adapter::open(harness.model(), fd);
  if (!adapter) return recorder.failed("adapters.open", adapter.error());
  check_facts(**adapter, recorder);
  check_bad_uses(harness, recorder, **adapter);
  const Uses whole = {{(*adapter)->handle(), 1.0F, 0}};
  const Uses none = {{(*adapter)->handle(), 0.0F, 0}};
  const auto others = [](const Uses& uses) {
    return std::vector<Stream>{{kOtherPrompts, 1, uses}, {kOtherPrompts + 1, 2, uses}};
  };
  expect_same(harness, recorder, "adapters.base_while_loaded", base, run(harness, {}));
  expect_same(harness, recorder, "adapters.base_beside", base, run(harness, {}, others(whole)));
  expect_same(harness, recorder, "adapters.scale_0", base, run(harness, none));
  const Result<Rows> changed = run(harness, whole);
  if (!changed) return recorder.failed("adapters.changes", changed.error());
  if (base) {
    const Comparison same = compare(*base, *changed);
    recorder.expect("adapters.changes", !same.equal, same.detail);
  }
  expect_same(harness, recorder, "adapters.beside_base", changed, run(harness, whole, others({})));
  expect_same(harness, recorder, "adapters.together", changed, run_together(harness, whole));
  adapter->reset();
  expect_same(harness, recorder, "adapters.base_afterwards", base, run(harness, {}));
}

}  // namespace aioss::engine::conformance
