#include "cli/plan_report.h"

#include "base/strings.h"
#include "cli/term.h"

namespace aioss::cli {
namespace {

std::string session_text(std::uint32_t streams, std::uint32_t cells, const std::string& kv_type) {
  return "--parallel " + std::to_string(streams) + " --ctx " + std::to_string(cells) +
         " --kv-type " + kv_type;
}

class NeedsTable final {
 public:
  explicit NeedsTable(const std::string& device)
      : table_({{"ON " + safe_text(device, false)},
                {"BYTES", Table::Align::kRight},
                {"", Table::Align::kRight},
                {"WHAT"}}) {}
  void operator()(const char* kind, std::uint64_t bytes, const char* what) {
    table_.add({kind, std::to_string(bytes), human_bytes(bytes), what});
  }
  std::string render(std::size_t columns, bool color) const {
    return table_.render(columns, color);
  }

 private:
  Table table_;
};

// Nothing if all of it is with the CPU.
std::string layers_text(const runtime::ModelPlan& plan) {
  if (plan.layers_on == "cpu") return "";
  const auto& layers = plan.layers;
  std::string out = "layers on " + safe_text(plan.layers_on, false) + ": " +
                    (layers.on_devices ? std::to_string(*layers.on_devices) : "all");
  if (layers.experts_on_cpu > 0) {
    out += "; experts of the first " + std::to_string(layers.experts_on_cpu) + " with the CPU";
  }
  return out + "\n\n";
}

std::string device_table(const ipc::DeviceNeeds& needs, std::size_t columns, bool color) {
  NeedsTable row(needs.name);
  row("weights", needs.weights, "of the layers there");
  row("KV", needs.kv, "of all sequences, of these layers");
  row("compute", needs.compute, "buffers of the largest graph");
  row("together", needs.total(), "without what the driver takes for itself");
  return row.render(columns, color);
}

std::string host_table(const runtime::ModelPlan& plan, std::size_t columns, bool color) {
  const memory::Needs& needs = plan.needs;
  NeedsTable row(plan.device);
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
  return row.render(columns, color);
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
  out += layers_text(plan);
  for (const ipc::DeviceNeeds& needs : plan.on_devices) {
    out += device_table(needs, columns, color) + "\n";
  }
  out += host_table(plan, columns, color) + "\n" + memory_text(answer.memory);
  const std::uint64_t usable = answer.memory.usable();
  const std::uint64_t committed = plan.needs.committed();
  if (answer.fits) {
    return out + paint("it fits", Color::kGreen, color) + ", " + human_bytes(usable - committed) +
           " are left" + (plan.on_devices.empty() ? "" : " on " + plan.device) + "\n";
  }
  out += paint("it does not fit", Color::kRed, color) + ": " + human_bytes(committed - usable) +
         " are missing\n";
  if (answer.options.empty()) return out + "no smaller context, KV type or quantization fits\n";
  return out + "\n" + options_table(answer, columns, color);
}

}  // namespace aioss::cli
