#include "cli/plan_report.h"

#include "base/strings.h"
#include "cli/term.h"

namespace aioss::cli {
namespace {

std::string session_text(std::uint32_t streams, std::uint32_t cells, const std::string& kv_type) {
  return "--parallel " + std::to_string(streams) + " --ctx " + std::to_string(cells) +
         " --kv-type " + kv_type;
}

std::string needs_table(const runtime::ModelPlan& plan, std::size_t columns, bool color) {
  const memory::Needs& needs = plan.needs;
  Table table({{"ON " + plan.device},
               {"BYTES", Table::Align::kRight},
               {"", Table::Align::kRight},
               {"WHAT"}});
  const auto row = [&](const char* kind, std::uint64_t bytes, const char* what) {
    table.add({kind, std::to_string(bytes), human_bytes(bytes), what});
  };
  row("weights", needs.weights, "mapped from the file, and repacked ones");
  row("KV", needs.kv, "of all sequences");
  row("compute", needs.compute, "buffers of the largest graph");
  row("output", needs.output, "rows of logits");
  row("vocabulary", needs.vocabulary, "tables of tokens");
  row("overhead", needs.overhead, "of engine and process, calibrated");
  if (needs.adapters > 0) row("adapters", needs.adapters, "that were named (--lora)");
  row("together", needs.committed(), "as soon as the model is loaded");
  row("prefixes", needs.prefixes, "at most, by and by (prefix_mib)");
  row("spill", needs.spill, "at most, by and by (spill_mib)");
  return table.render(columns, color);
}

std::string memory_text(const os::MemoryState& memory) {
  std::string out =
      "available now  " + human_bytes(memory.available) + " of " + human_bytes(memory.total) + "\n";
  if (!memory.group_limit) return out;
  return out + "control group   " + human_bytes(memory.group_available.value_or(0)) + " of " +
         human_bytes(*memory.group_limit) + "\n";
}

std::string options_table(const runtime::PlanAnswer& answer, std::size_t columns, bool color) {
  Table table({{"WHAT FITS"}, {"TAKES", Table::Align::kRight}, {"OPTIONS"}});
  for (const runtime::PlanOption& option : answer.options) {
    table.add({option.model.empty() ? answer.model : option.model,
               human_bytes(option.needs.committed()),
               session_text(option.streams, option.cells_per_stream, option.kv_type)});
  }
  return table.render(columns, color);
}

}  // namespace

std::string plan_text(const runtime::PlanAnswer& answer, std::size_t columns, bool color) {
  const runtime::ModelPlan& plan = answer.plan;
  std::string out = safe_text(answer.model, false) + ": " + std::to_string(plan.streams) +
                    (plan.streams == 1 ? " sequence of " : " sequences of ") +
                    std::to_string(plan.cells_per_stream) + " tokens, KV in " + answer.kv_type +
                    ", profile " + std::string(ipc::name(answer.profile)) +
                    (plan.exact ? "" : "; an estimate") + "\n\n";
  out += needs_table(plan, columns, color) + "\n" + memory_text(answer.memory);
  const std::uint64_t usable = answer.memory.usable();
  const std::uint64_t committed = plan.needs.committed();
  if (answer.fits) {
    return out + paint("it fits", Color::kGreen, color) + ", " + human_bytes(usable - committed) +
           " are left\n";
  }
  out += paint("it does not fit", Color::kRed, color) + ": " + human_bytes(committed - usable) +
         " are missing\n";
  if (answer.options.empty()) return out + "no smaller context, KV type or quantization fits\n";
  return out + "\n" + options_table(answer, columns, color);
}

}  // namespace aioss::cli
