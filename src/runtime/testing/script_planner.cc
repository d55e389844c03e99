#include "runtime/testing/script_planner.h"

#include <unistd.h>

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "base/strings.h"

namespace aioss::runtime::testing {
namespace {

Result<ModelPlan> read_plan(const OpenModel& files, const PlanWanted& wanted) {
  std::array<std::uint8_t, 4096> text{};
  // As a child would, past whatever the test's file system holds up.
  const ssize_t got = ::pread(files.files.front()->descriptor(), text.data(), text.size(), 0);
  if (got < 0) return Error{Code::kIo, "the script cannot be read"};
  const auto size = static_cast<std::size_t>(got);
  ModelPlan plan;
  plan.exact = true;
  plan.needs.weights = files.bytes();
  plan.layers_on = wanted.device;
  const std::string of_engine = "# plan of " + wanted.engine + " ";
  constexpr std::string_view kBytes = "weight_bytes ", kKv = "# plan kv ";
  for (const std::string_view line : split(as_text(ByteView(text.data(), size)), '\n')) {
    if (line == "# plan fails") return Error{Code::kModelCorrupt, "the dry run has failed"};
    if (line.starts_with(kBytes)) {
      plan.needs.weights = parse_u64(line.substr(kBytes.size())).value_or(0);
    }
    if (line.starts_with(of_engine)) {
      plan.needs.weights = parse_u64(line.substr(of_engine.size())).value_or(0);
    }
    if (line.starts_with(kKv)) plan.needs.kv = parse_u64(line.substr(kKv.size())).value_or(0);
  }
  return plan;
}

}  // namespace

void ScriptPlanner::plan(std::shared_ptr<const OpenModel> files, PlanWanted wanted, Done done) {
  Asked asked{read_plan(*files, wanted), std::move(done)};
  {
    std::lock_guard lock(mutex_);
    ++plans_;
    if (held_) {
      asked_.push_back(std::move(asked));
      return;
    }
  }
  asked.done(std::move(asked.plan));
}

void ScriptPlanner::hold() {
  std::lock_guard lock(mutex_);
  held_ = true;
}

void ScriptPlanner::release() {
  std::vector<Asked> asked;
  {
    std::lock_guard lock(mutex_);
    held_ = false;
    asked.swap(asked_);
  }
  for (Asked& one : asked) one.done(std::move(one.plan));
}

unsigned ScriptPlanner::plans() const {
  std::lock_guard lock(mutex_);
  return plans_;
}

}  // namespace aioss::runtime::testing
