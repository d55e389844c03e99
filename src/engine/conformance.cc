#include "engine/conformance.h"

#include <algorithm>
#include <utility>

#include "engine/conformance_harness.h"

namespace aioss::engine {
namespace {

using conformance::Harness;
using conformance::Recorder;

std::vector<aioss_profile> promised_profiles(const aioss_engine& engine) {
  std::vector<aioss_profile> out;
  for (const aioss_profile profile :
       {AIOSS_PROFILE_FAST, AIOSS_PROFILE_REPRODUCIBLE, AIOSS_PROFILE_EVIDENCE}) {
    if ((engine.profiles() & (1u << static_cast<unsigned>(profile))) != 0) out.push_back(profile);
  }
  return out;
}

void check_profile(const aioss_engine& engine, const ConformanceOptions& options,
                   aioss_profile profile, Recorder& recorder) {
  if (const Status status = validate(engine, profile); !status) {
    return recorder.failed("abi.table", status.error());
  }
  aioss_model_options model_options = {};
  model_options.struct_size = sizeof model_options;
  model_options.profile = static_cast<std::uint32_t>(profile);
  model_options.fds = options.fds.data();
  model_options.fd_count = static_cast<std::uint32_t>(options.fds.size());
  model_options.devices = options.devices.data();
  model_options.device_count = static_cast<std::uint32_t>(options.devices.size());
  model_options.gpu_layers = -1;
  const Result<std::unique_ptr<Model>> model = Model::open(engine, model_options);
  if (!model) return recorder.failed("model.open", model.error());
  Harness harness(**model, options, profile);
  check_struct_sizes(harness, recorder);
  check_arguments(harness, recorder);
  check_full(harness, recorder);
  check_abort(harness, recorder);
  check_remove(harness, recorder);
  check_copy(harness, recorder);
  check_state(harness, recorder);
  check_reopen(harness, recorder);
  check_plan(harness, recorder);
  check_invariance(harness, recorder);
  check_mixed_calls(harness, recorder);
  check_adapters(harness, recorder);
}

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kPass:
      return "pass";
    case Verdict::kFail:
      return "FAIL";
    case Verdict::kNotPromised:
      return "not promised";
    case Verdict::kSkipped:
      return "skipped";
  }
  return "unknown";
}

bool ConformanceReport::passed() const {
  return std::none_of(checks.begin(), checks.end(),
                      [](const auto& check) { return check.verdict == Verdict::kFail; });
}

std::string ConformanceReport::text() const {
  std::string out;
  for (const ConformanceCheck& check : checks) {
    std::string line(verdict_name(check.verdict));
    line.resize(std::max<std::size_t>(line.size(), 13), ' ');
    line += check.profile.empty() ? "" : check.profile + ": ";
    line += check.name;
    if (!check.detail.empty()) line += "  (" + check.detail + ")";
    out += line + "\n";
  }
  return out;
}

ConformanceReport run_conformance(const aioss_engine& engine, const ConformanceOptions& options) {
  ConformanceReport report;
  report.identity = identity(engine);
  Recorder general(report, options, "");
  if (options.prompt_lengths.empty() || options.decoded_tokens == 0 || options.fds.empty()) {
    general.add("options", Verdict::kFail, "needs a model, a prompt length, tokens to decode");
    return report;
  }
  check_identity(engine, general);
  check_bad_models(engine, general);
  const std::vector<aioss_profile> profiles =
      options.profiles.empty() ? promised_profiles(engine) : options.profiles;
  for (const aioss_profile profile : profiles) {
    Recorder recorder(report, options, std::string(profile_name(profile)));
    check_profile(engine, options, profile, recorder);
  }
  return report;
}

}  // namespace aioss::engine
