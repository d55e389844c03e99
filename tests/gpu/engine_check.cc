// aioss-engine-check: what a device computes, against what the CPU of the same plugin computes from
// the same tokens; what was planned, against what the driver says is in use; speeds. Needs nothing
// of the product but its engine layer, so that it builds on a machine that has only a compiler and
// a GPU (./dev gpu-check). Model and tokens may be made up: then errors of logits are what counts,
// because random weights tie.
//
//   aioss-engine-check PLUGIN MODEL --device NAME [--compare] [--plan] [--bench] [--conformance]
//                      [--prompt N] [--decode N] [--error X] [--cpu-experts N]
//
// Exit codes: 0 all is well, 1 something is not, 2 it was called wrongly, 77 there is no such
// device.
#include <dlfcn.h>
#include <fcntl.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "engine/conformance.h"
#include "engine/device_names.h"
#include "engine/engine.h"
#include "os/clock.h"

namespace {

using namespace aioss;

constexpr int kFailed = 1, kUsage = 2, kSkipped = 77;
const os::SystemClock kClock;

struct Wishes {
  std::string plugin, model, device;
  bool compare = false, plan = false, bench = false, conformance = false;
  std::uint32_t prompt_tokens = 48, decoded_tokens = 8, cpu_experts = 0;
  double error_max = 0.05;  // of logits: root of the mean square, against their own spread
};

std::optional<Wishes> parse(int count, char** words) {
  Wishes out;
  if (count < 3) return std::nullopt;
  out.plugin = words[1];
  out.model = words[2];
  for (int i = 3; i < count; ++i) {
    const std::string_view word = words[i];
    const char* const value = i + 1 < count ? words[i + 1] : nullptr;
    if (word == "--compare") {
      out.compare = true;
    } else if (word == "--plan") {
      out.plan = true;
    } else if (word == "--bench") {
      out.bench = true;
    } else if (word == "--conformance") {
      out.conformance = true;
    } else if (value == nullptr) {
      return std::nullopt;
    } else if (word == "--device") {
      out.device = words[++i];
    } else if (word == "--prompt") {
      out.prompt_tokens = static_cast<std::uint32_t>(std::atoi(words[++i]));
    } else if (word == "--decode") {
      out.decoded_tokens = static_cast<std::uint32_t>(std::atoi(words[++i]));
    } else if (word == "--cpu-experts") {
      out.cpu_experts = static_cast<std::uint32_t>(std::atoi(words[++i]));
    } else if (word == "--error") {
      out.error_max = std::atof(words[++i]);
    } else {
      return std::nullopt;
    }
  }
  if (out.device.empty() || out.prompt_tokens == 0) return std::nullopt;
  return out;
}

void fail(const Error& error) {
  std::fprintf(stderr, "aioss-engine-check: %s\n", error.message.c_str());
}

struct Places {
  std::vector<std::uint32_t> devices;  // none: the CPU
  std::uint32_t cpu_experts = 0;       // of so many layers the experts are with the CPU
};

class Loaded final {
 public:
  static Result<std::unique_ptr<Loaded>> open(const aioss_engine& engine, int fd,
                                              const Places& places, bool dry,
                                              aioss_profile profile = AIOSS_PROFILE_FAST) {
    aioss_model_options options = {};
    options.struct_size = sizeof options;
    options.profile = static_cast<std::uint32_t>(profile);
    options.fds = &fd;
    options.fd_count = 1;
    options.flags = dry ? AIOSS_MODEL_DRY_RUN : 0;
    options.devices = places.devices.data();
    options.device_count = static_cast<std::uint32_t>(places.devices.size());
    options.gpu_layers = -1;
    options.cpu_expert_layers = places.cpu_experts;
    auto out = std::make_unique<Loaded>();
    AIOSS_TRY(out->model, engine::Model::open(engine, options));
    return out;
  }

  std::unique_ptr<engine::Model> model;
};

aioss_session_options session_options(std::uint32_t sequences, std::uint32_t cells,
                                      std::uint32_t batch) {
  aioss_session_options options = {};
  options.struct_size = sizeof options;
  options.sequences_max = sequences;
  options.cells_per_sequence = cells;
  options.batch_tokens_max = std::max(batch, sequences);
  options.outputs_max = sequences;
  options.threads = options.threads_batch = 4;
  return options;
}

// The same numbers everywhere.
std::vector<std::int32_t> tokens_of(std::uint32_t count, std::uint32_t vocabulary) {
  std::vector<std::int32_t> out;
  std::uint64_t state = 88172645463325252U;
  for (std::uint32_t i = 0; i < count; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    out.push_back(static_cast<std::int32_t>(state % vocabulary));
  }
  return out;
}

// Token i of each sequence in `sequences` at position + i; the last of each is to have logits.
Status feed(engine::Session& session, const std::vector<std::int32_t>& tokens,
            std::uint32_t position, std::uint32_t sequences) {
  std::vector<std::int32_t> all, positions, owners;
  std::vector<std::uint8_t> outputs;
  for (std::uint32_t s = 0; s < sequences; ++s) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      all.push_back(tokens[i]);
      positions.push_back(static_cast<std::int32_t>(position + i));
      owners.push_back(static_cast<std::int32_t>(s));
      outputs.push_back(i + 1 == tokens.size() ? 1 : 0);
    }
  }
  aioss_batch batch = {};
  batch.struct_size = sizeof batch;
  batch.token_count = static_cast<std::uint32_t>(all.size());
  batch.tokens = all.data();
  batch.positions = positions.data();
  batch.sequences = owners.data();
  batch.outputs = outputs.data();
  return session.decode(batch);
}

std::int32_t likeliest(const std::vector<float>& row) {
  return static_cast<std::int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

using Rows = std::vector<std::vector<float>>;

// The rows after the prompt and after each of `path`; without a path greedily, and `chosen` is it.
Result<Rows> rows_of(engine::Model& model, const Wishes& wishes,
                     const std::vector<std::int32_t>* path, std::vector<std::int32_t>& chosen) {
  const std::uint32_t vocabulary = model.facts().vocabulary_size;
  const std::uint32_t cells = wishes.prompt_tokens + wishes.decoded_tokens + 1;
  AIOSS_TRY(const auto session,
            engine::Session::create(model, session_options(1, cells, wishes.prompt_tokens)));
  Rows rows;
  std::vector<std::int32_t> next = tokens_of(wishes.prompt_tokens, vocabulary);
  std::uint32_t position = 0;
  for (std::uint32_t i = 0; i <= wishes.decoded_tokens; ++i) {
    AIOSS_CHECK(feed(*session, next, position, 1));
    position += static_cast<std::uint32_t>(next.size());
    const auto row = session->logits(0);
    if (row.size() != vocabulary) return Error{Code::kEngineFailed, "no logits"};
    rows.emplace_back(row.begin(), row.end());
    chosen.push_back(likeliest(rows.back()));
    next = {path != nullptr ? (*path)[i] : chosen.back()};
  }
  return rows;
}

// Root of the mean square of the difference, as a share of the spread of `good`.
double error_of(const std::vector<float>& good, const std::vector<float>& other) {
  double mean = 0, spread = 0, error = 0;
  for (const float value : good)
    mean += static_cast<double>(value) / static_cast<double>(good.size());
  for (std::size_t i = 0; i < good.size(); ++i) {
    const double a = static_cast<double>(good[i]), b = static_cast<double>(other[i]);
    if (!std::isfinite(b)) return INFINITY;
    spread += (a - mean) * (a - mean);
    error += (a - b) * (a - b);
  }
  return std::sqrt(error / std::max(spread, 1e-30));
}

struct Difference {
  double worst = 0;
  std::size_t same = 0, rows = 0;  // likeliest tokens
};

// Of what these places make in this profile of the same tokens.
Result<Difference> difference(const aioss_engine& engine, int fd, const Places& places,
                              aioss_profile profile, const Wishes& wishes, const Rows& good,
                              const std::vector<std::int32_t>& path) {
  AIOSS_TRY(const auto loaded, Loaded::open(engine, fd, places, false, profile));
  std::vector<std::int32_t> chosen;
  AIOSS_TRY(const Rows rows, rows_of(*loaded->model, wishes, &path, chosen));
  Difference out;
  out.rows = rows.size();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    out.worst = std::max(out.worst, error_of(good[i], rows[i]));
    out.same += chosen[i] == path[i] ? 1 : 0;
  }
  return out;
}

Result<bool> compare(const aioss_engine& engine, int fd, const Places& places,
                     const Wishes& wishes) {
  std::vector<std::int32_t> path;
  Rows good;
  {
    AIOSS_TRY(const auto cpu, Loaded::open(engine, fd, {}, false));
    AIOSS_TRY(good, rows_of(*cpu->model, wishes, nullptr, path));
  }
  // How far apart the CPU's own two ways to compute are says what rounding does to this model.
  AIOSS_TRY(const Difference own,
            difference(engine, fd, {}, AIOSS_PROFILE_REPRODUCIBLE, wishes, good, path));
  AIOSS_TRY(const Difference gpu,
            difference(engine, fd, places, AIOSS_PROFILE_FAST, wishes, good, path));
  constexpr double kTimes = 3;
  const double most = std::max(wishes.error_max, kTimes * own.worst);
  const bool passed = gpu.worst <= most;
  std::printf(
      "own       the CPU's two profiles: greedy tokens alike %zu of %zu, largest error %.5f\n",
      own.same, own.rows, own.worst);
  std::printf(
      "compare   %s: greedy tokens alike %zu of %zu, largest error of logits %.5f (at most "
      "%.5f)\n",
      passed ? "pass" : "FAIL", gpu.same, gpu.rows, gpu.worst, most);
  return passed;
}

std::uint64_t free_of(const aioss_engine& engine, std::uint32_t device) {
  aioss_device facts = {};
  facts.struct_size = sizeof facts;
  aioss_error error = {};
  return engine.device(device, &facts, &error) == AIOSS_OK ? facts.bytes_free : 0;
}

// Drivers round up and keep pools: a tenth and 64 MiB is what a plan may be off.
Result<bool> check_plan(const aioss_engine& engine, int fd, const Places& places) {
  const aioss_session_options options = session_options(8, 2048, 512);
  aioss_plan plan = {};
  {
    AIOSS_TRY(const auto dry, Loaded::open(engine, fd, places, true));
    AIOSS_TRY(plan, dry->model->plan(options));
  }
  std::vector<std::uint64_t> before;
  for (const std::uint32_t device : places.devices) before.push_back(free_of(engine, device));
  AIOSS_TRY(const auto gpu, Loaded::open(engine, fd, places, false));
  AIOSS_TRY(const auto session, engine::Session::create(*gpu->model, options));
  AIOSS_CHECK(feed(*session, {1}, 0, 8));
  bool passed = !places.devices.empty() && plan.device_count == places.devices.size();
  if (!passed) {
    std::printf("plan      FAIL: of %zu devices it plans %u\n", places.devices.size(),
                plan.device_count);
  }
  for (std::size_t i = 0; i < places.devices.size() && i < plan.device_count; ++i) {
    const aioss_plan_device& on = plan.devices[i];
    const std::uint64_t planned = on.weight_bytes + on.kv_bytes + on.compute_bytes;
    const std::uint64_t now = free_of(engine, places.devices[i]);
    const std::uint64_t used = before[i] - std::min(before[i], now);
    const std::uint64_t slack = planned / 10 + (std::uint64_t{64} << 20);
    const bool good = planned > 0 && used <= planned + slack;
    passed = passed && good;
    std::printf(
        "plan      %s: device %u planned %llu (weights %llu, KV %llu, compute %llu), in use "
        "%llu bytes\n",
        good ? "pass" : "FAIL", places.devices[i], static_cast<unsigned long long>(planned),
        static_cast<unsigned long long>(on.weight_bytes),
        static_cast<unsigned long long>(on.kv_bytes),
        static_cast<unsigned long long>(on.compute_bytes), static_cast<unsigned long long>(used));
  }
  return passed;
}

double seconds_since(std::int64_t start_ns) {
  return static_cast<double>(kClock.monotonic_ns() - start_ns) / kNsPerSecond;
}

// Tokens a second: of a prompt of 512, and of decoding for one and for 32 at once.
Status bench(const aioss_engine& engine, int fd, const Places& places) {
  AIOSS_TRY(const auto gpu, Loaded::open(engine, fd, places, false));
  constexpr std::uint32_t kPrompt = 512, kDecoded = 64;
  const auto prompt = tokens_of(kPrompt, gpu->model->facts().vocabulary_size);
  for (const std::uint32_t sequences : {1U, 32U}) {
    AIOSS_TRY(const auto session,
              engine::Session::create(*gpu->model, session_options(sequences, 1024, kPrompt)));
    double prefill = 0;
    for (int round = 0; round < 3 && sequences == 1; ++round) {  // the first compiles kernels
      const std::int64_t start = kClock.monotonic_ns();
      AIOSS_CHECK(feed(*session, prompt, 0, 1));
      prefill = std::max(prefill, kPrompt / seconds_since(start));
      AIOSS_CHECK(session->remove(0, 0, -1));
    }
    AIOSS_CHECK(feed(*session, {1}, 0, sequences));
    AIOSS_CHECK(feed(*session, {1}, 1, sequences));
    const std::int64_t start = kClock.monotonic_ns();
    for (std::uint32_t i = 0; i < kDecoded; ++i) {
      AIOSS_CHECK(feed(*session, {prompt[i]}, 2 + i, sequences));
    }
    const double decode = kDecoded * sequences / seconds_since(start);
    if (sequences == 1) std::printf("bench     prefill of 512: %.1f tokens/s\n", prefill);
    std::printf("bench     decode, %u at once: %.1f tokens/s\n", sequences, decode);
  }
  return ok();
}

bool conformance(const aioss_engine& engine, int fd, const Places& places) {
  engine::ConformanceOptions options;
  options.fds = {fd};
  options.devices = places.devices;
  options.profiles = {AIOSS_PROFILE_FAST};
  options.prompt_lengths = {30, 155};
  options.chunk_budgets = {64};
  options.company_seeds = {1};
  options.measure_unpromised = false;
  const engine::ConformanceReport report = engine::run_conformance(engine, options);
  std::fputs(report.text().c_str(), stdout);
  std::printf("conformance %s\n", report.passed() ? "pass" : "FAIL");
  return report.passed();
}

int run(const Wishes& wishes) {
  void* const library = ::dlopen(wishes.plugin.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::fprintf(stderr, "aioss-engine-check: %s\n", ::dlerror());
    return kFailed;
  }
  const auto entry =
      reinterpret_cast<aioss_engine_entry_fn>(::dlsym(library, AIOSS_ENGINE_ENTRY_SYMBOL));
  const int fd = ::open(wishes.model.c_str(), O_RDONLY | O_CLOEXEC);
  if (entry == nullptr || fd < 0) {
    std::fprintf(stderr, "aioss-engine-check: no engine, or no model\n");
    return kFailed;
  }
  const aioss_engine& engine = *entry();
  const auto known = engine::named_devices(engine);
  if (!known) return fail(known.error()), kFailed;
  for (const engine::NamedDevice& device : *known) {
    std::printf("device    %s: %s, %llu of %llu bytes free\n", device.name.c_str(),
                device.facts.description, static_cast<unsigned long long>(device.facts.bytes_free),
                static_cast<unsigned long long>(device.facts.bytes_total));
  }
  const auto found = engine::find_devices(*known, wishes.device);
  if (!found) return fail(found.error()), kSkipped;
  Places places{{}, wishes.cpu_experts};
  for (const engine::NamedDevice& device : *found) places.devices.push_back(device.index);

  bool passed = true;
  const auto judge = [&passed](const Result<bool>& result) {
    if (!result) fail(result.error());
    passed = passed && result && *result;
  };
  if (wishes.compare) judge(compare(engine, fd, places, wishes));
  if (wishes.plan) judge(check_plan(engine, fd, places));
  if (wishes.conformance) judge(conformance(engine, fd, places));
  if (wishes.bench) {
    if (const Status done = bench(engine, fd, places); !done) judge(done.error());
  }
  std::fflush(stdout);
  std::_Exit(passed ? 0 : kFailed);  // drivers' handlers are not what is checked here
}

}  // namespace

int main(int count, char** words) {
  const auto wishes = parse(count, words);
  if (!wishes) {
    std::fprintf(
        stderr,
        "usage: aioss-engine-check PLUGIN MODEL --device NAME [--compare] [--plan] "
        "[--bench] [--conformance] [--prompt N] [--decode N] [--error X] [--cpu-experts N]\n");
    return kUsage;
  }
  return run(*wishes);
}
