#include "cli/tune_report.h"

#include <array>
#include <cstdio>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "cli/term.h"
#include "runtime/planning/tuning_plan.h"

namespace aioss::cli {
namespace {

double tokens_per_second(std::uint64_t ns_per_token) {
  return kNsPerSecond / static_cast<double>(ns_per_token);
}

std::string places(const char* format, double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

// "98.1 tok/s ×1.05": of the candidate, and against the default in the same rounds.
std::string figures(const runtime::TuneRegime& regime) {
  if (!regime.is_measured()) return "";
  return places("%.1f", tokens_per_second(regime.ns_per_token)) + " ×" +
         places("%.2f", regime.speedup());
}

codec::OrderedJson candidate_json(const runtime::TuneCandidate& candidate) {
  codec::OrderedJson out;
  out["engine"] = candidate.engine;
  out["threads"] = candidate.knobs.threads;
  out["threads_batch"] = candidate.knobs.threads_batch;
  out["micro_batch_tokens"] = candidate.knobs.micro_batch_tokens_max;
  out["flash_attention"] = std::string(ipc::name(candidate.knobs.flash_attention));
  return out;
}

codec::OrderedJson measurement_json(const runtime::TuneMeasurement& one) {
  codec::OrderedJson out = candidate_json(one.candidate);
  out["state"] = std::string(runtime::name(one.state));
  out["reason"] = safe_text(one.reason, false);
  for (std::size_t i = 0; i < one.regimes.size(); ++i) {
    const std::string regime(ipc::name(static_cast<ipc::Regime>(i)));
    out[regime] = nullptr;
    if (!one.regimes[i].is_measured()) continue;
    out[regime] = {{"tokens_per_second", tokens_per_second(one.regimes[i].ns_per_token)},
                   {"of_default", one.regimes[i].speedup()}};
  }
  return out;
}

}  // namespace

std::string tune_line(const runtime::TuneMeasurement& measurement) {
  return runtime::text(measurement);
}

std::string tune_text(const runtime::Tuning& tuning, std::size_t columns, bool color) {
  const runtime::TuningResult& result = tuning.result;
  using Align = Table::Align;
  const bool many = result.streams > 1;
  std::vector<Table::Column> columns_shown{{"CANDIDATE"}, {"DECODE 1", Align::kRight}};
  if (many) columns_shown.push_back({"DECODE " + std::to_string(result.streams), Align::kRight});
  columns_shown.push_back({"PREFILL", Align::kRight});
  columns_shown.push_back({"STATE"});
  Table table(std::move(columns_shown));
  for (std::size_t i = 0; i < result.measurements.size(); ++i) {
    const runtime::TuneMeasurement& one = result.measurements[i];
    std::string state = i == result.choice.index ? "chosen" : std::string(runtime::name(one.state));
    if (!one.reason.empty()) state += ": " + one.reason;
    std::vector<std::string> row{runtime::text(one.candidate) + (i == 0 ? " (default)" : ""),
                                 figures(one.regimes[0])};
    if (many) row.push_back(figures(one.regimes[1]));
    row.push_back(figures(one.regimes[2]));
    row.push_back(std::move(state));
    table.add(std::move(row));
  }
  return safe_text(tuning.model, false) + ", measured " + utc_time(tuning.wall_ns / kNsPerSecond) +
         "; tokens a second, × the default's\n\n" + table.render(columns, color) + "\n" +
         paint("chosen", Color::kGreen, color) + ": " + runtime::text(result.chosen()) + ", " +
         safe_text(result.choice.why, false) + "\n" +
         (result.in_time ? "" : "there was no time for all of them; see --budget\n");
}

codec::OrderedJson tune_json(const runtime::Tuning& tuning) {
  codec::OrderedJson out;
  out["model"] = safe_text(tuning.model, false);
  out["measured_unix_ns"] = tuning.wall_ns;
  out["streams"] = tuning.result.streams;
  out["in_time"] = tuning.result.in_time;
  out["chosen"] = candidate_json(tuning.result.chosen());
  out["why"] = safe_text(tuning.result.choice.why, false);
  out["candidates"] = codec::OrderedJson::array();
  for (const runtime::TuneMeasurement& one : tuning.result.measurements) {
    out["candidates"].push_back(measurement_json(one));
  }
  return out;
}

}  // namespace aioss::cli
