#include "cli/run_options.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace aioss::cli {
namespace {

constexpr std::uint64_t kMaxTokensMost = 1'048'576;  // the largest context (config.cc, "ctx")
constexpr double kTemperatureMost = 2;
constexpr std::uint64_t kTopKMost = 1'000'000;  // larger than any vocabulary
constexpr std::size_t kStopsMax = 16;           // as many as the API takes
constexpr std::size_t kStopBytesMax = 256;

// A path, and no name of the catalogue, which has no slash and no extension.
bool looks_like_file(const std::string& model) {
  return model.find('/') != std::string::npos || model.ends_with(".gguf") ||
         model.ends_with(".fake");
}

Status parse_sampling(const Invocation& invocation, RunOptions& options) {
  ipc::Sampling& sampling = options.request.sampling;
  AIOSS_TRY(const auto temperature, invocation.decimal("--temperature", 0, kTemperatureMost));
  AIOSS_TRY(const auto top_p, invocation.decimal("--top-p", 0, 1));
  AIOSS_TRY(const auto top_k, invocation.number("--top-k", 0, kTopKMost));
  // Records hold 64 bits; 63 of them are what every JSON reader with whole numbers takes.
  constexpr std::uint64_t kSeedMost = std::numeric_limits<std::int64_t>::max();
  AIOSS_TRY(const auto seed, invocation.number("--seed", 0, kSeedMost));
  if (temperature) sampling.temperature = static_cast<float>(*temperature);
  if (top_p) sampling.top_p = static_cast<float>(*top_p);
  if (top_k) sampling.top_k = static_cast<std::uint32_t>(*top_k);
  if (seed) sampling.seed = *seed;
  options.seed_given = seed.has_value();
  return ok();
}

// NAME, NAME=SCALE, or either with a path.
Result<RunOptions::Adapter> parse_adapter(const std::string& text) {
  RunOptions::Adapter out;
  const std::size_t equals = text.rfind('=');
  out.name = text.substr(0, equals);
  if (equals != std::string::npos) {
    const std::string number = text.substr(equals + 1);
    char* end = nullptr;
    out.scale = std::strtof(number.c_str(), &end);
    const bool whole = !number.empty() && *end == '\0' && std::isfinite(out.scale);
    if (!whole && looks_like_file(text)) {  // its name has a '='
      return RunOptions::Adapter{.name = text, .scale = 1.0F, .is_file = true};
    }
    if (!whole || std::fabs(out.scale) > ipc::kAdapterScaleMax) {
      return Error(Code::kUsage,
                   "--lora takes NAME or NAME=SCALE, and SCALE is a number from -100 "
                   "to 100");
    }
  }
  if (out.name.empty()) return Error(Code::kUsage, "--lora takes NAME or NAME=SCALE");
  out.is_file = looks_like_file(out.name);
  return out;
}

Status parse_adapters(const Invocation& invocation, RunOptions& options) {
  const std::vector<std::string> given = invocation.texts("--lora");
  if (given.size() > ipc::kAdaptersMax) {
    return Error(Code::kUsage,
                 "--lora may be given at most " + std::to_string(ipc::kAdaptersMax) + " times");
  }
  for (const std::string& text : given) {
    AIOSS_TRY(RunOptions::Adapter adapter, parse_adapter(text));
    options.adapters.push_back(std::move(adapter));
  }
  return ok();
}

}  // namespace

Result<RunOptions> parse_run_options(const Invocation& invocation) {
  RunOptions options;
  options.model = invocation.operand(0);
  if (options.model.empty()) {
    return Error(Code::kUsage, "MODEL is empty; 'aioss models' lists names");
  }
  options.is_file = looks_like_file(options.model);
  if (invocation.operands.size() > 1) options.prompt = invocation.operand(1);
  if (options.prompt && options.prompt->empty()) return Error(Code::kUsage, "the prompt is empty");
  options.system = invocation.text("--system").value_or("");
  AIOSS_CHECK(parse_sampling(invocation, options));
  AIOSS_CHECK(parse_adapters(invocation, options));
  AIOSS_TRY(const auto max_tokens, invocation.number("--max-tokens", 1, kMaxTokensMost));
  options.request.tokens_max = static_cast<std::uint32_t>(max_tokens.value_or(0));
  options.request.stop = invocation.texts("--stop");
  if (options.request.stop.size() > kStopsMax) {
    return Error(Code::kUsage, "--stop may be given at most 16 times");
  }
  for (const std::string& stop : options.request.stop) {
    if (stop.empty() || stop.size() > kStopBytesMax) {
      return Error(Code::kUsage, "--stop takes a text of 1 to 256 bytes");
    }
  }
  options.raw = invocation.has("--raw");
  options.json = invocation.has("--json");
  options.stats = invocation.has("--stats");
  options.fake_models = invocation.has("--fake-models");
  if (options.raw && !options.system.empty()) {
    return Error(Code::kUsage,
                 "--system needs the chat template that --raw leaves out; give one of them");
  }
  return options;
}

}  // namespace aioss::cli
