// sim [--seed N] [--runs K] [--twice] [--trace]: the deterministic simulator; docs/simulator.md.
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "base/log.h"
#include "os/environment.h"
#include "tests/sim/simulation.h"

namespace aioss::sim {
namespace {

constexpr std::uint64_t kQuickRuns = 1'000;
constexpr std::uint64_t kLongRuns = 20'000;

struct Arguments {
  std::uint64_t seed = 1, runs = 0;
  bool twice = false, trace = false;
};

std::optional<std::uint64_t> number(const char* text) {
  std::uint64_t value = 0;
  const char* const end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, value);
  return error == std::errc() && rest == end ? std::optional(value) : std::nullopt;
}

std::optional<Arguments> parse(int count, char** words) {
  Arguments arguments;
  bool one = false;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    const bool has_value = word == "--seed" || word == "--runs";
    if (word == "--twice") arguments.twice = true;
    if (word == "--trace") arguments.trace = true;
    if (!has_value && word != "--twice" && word != "--trace") return std::nullopt;
    if (!has_value) continue;
    const auto value = i + 1 < count ? number(words[++i]) : std::nullopt;
    if (!value) return std::nullopt;
    one = one || word == "--seed";
    (word == "--seed" ? arguments.seed : arguments.runs) = *value;
  }
  if (arguments.runs == 0) {
    const bool is_long = os::environment("AIOSS_LONG") == "1";
    arguments.runs = one ? 1 : is_long ? kLongRuns : kQuickRuns;
  }
  return arguments;
}

// For a run that ends in an ASSERT: what is under way, for whoever wants to see it again.
char g_seed_line[64];
void say_seed(int signal) {
  const ssize_t ignored = ::write(1, g_seed_line, std::strlen(g_seed_line));
  (void)ignored;
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

int report(std::uint64_t seed, const Outcome& outcome, const std::string& broken) {
  std::printf("\nFAILED at step %llu: %s\nreplay: sim --seed %llu --trace\n",
              static_cast<unsigned long long>(outcome.steps), broken.c_str(),
              static_cast<unsigned long long>(seed));
  return 1;
}

int run(const Arguments& arguments) {
  Outcome sum;
  for (std::uint64_t seed = arguments.seed; seed < arguments.seed + arguments.runs; ++seed) {
    std::snprintf(g_seed_line, sizeof g_seed_line, "\ncrashed; replay: sim --seed %llu --trace\n",
                  static_cast<unsigned long long>(seed));
    const Outcome outcome = simulate(seed, arguments.trace);
    if (outcome.violation) return report(seed, outcome, *outcome.violation);
    if (arguments.twice) {
      const Outcome again = simulate(seed, false);
      if (again.digest != outcome.digest || again.ledger_root != outcome.ledger_root) {
        return report(seed, outcome, "the same seed gives another trace, or another ledger");
      }
    }
    if (arguments.runs == 1) {
      std::printf("digest %016llx\n", static_cast<unsigned long long>(outcome.digest));
    }
    sum.steps += outcome.steps;
    sum.requests += outcome.requests;
    sum.done += outcome.done;
    sum.failed += outcome.failed;
    sum.virtual_ns += outcome.virtual_ns;
    sum.digest = sum.digest * 31 + outcome.digest;
  }
  std::printf("%llu runs, %llu steps, %u requests: %u answered, %u told why not; digest %016llx\n",
              static_cast<unsigned long long>(arguments.runs),
              static_cast<unsigned long long>(sum.steps), sum.requests, sum.done, sum.failed,
              static_cast<unsigned long long>(sum.digest));
  return 0;
}

}  // namespace
}  // namespace aioss::sim

int main(int count, char** words) {
  using namespace aioss;
  const auto arguments = sim::parse(count, words);
  if (!arguments) {
    std::fprintf(stderr, "usage: sim [--seed N] [--runs K] [--twice] [--trace]\n");
    return 2;
  }
  log::Options options;
  options.level = log::Level::kOff;
  log::configure(options);
  for (const int signal : {SIGABRT, SIGSEGV}) std::signal(signal, &sim::say_seed);
  return sim::run(*arguments);
}
