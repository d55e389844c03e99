#include "tests/sim/scenario.h"

#include <algorithm>

#include "tests/sim/dice.h"
#include "tests/sim/world.h"

namespace aioss::sim {
namespace {

// Long enough that a client that does not read runs out of credit (some 160 tokens of a byte).
constexpr std::uint32_t kLongAnswer = 420;

std::string words(Dice& dice, std::uint32_t bytes) {
  std::string text;
  while (text.size() < bytes) {
    text += static_cast<char>('a' + dice.below(26));
    if (dice.percent(18)) text += ' ';
  }
  return text;
}

// The same whoever asks, and longer than a step of the grid.
std::string document(std::uint32_t number) {
  Dice dice(number, 9);
  return words(dice, 150 + 40 * number);
}

std::string prompt_of(Dice& dice, const ClientPlan& plan) {
  std::string prompt;
  if (dice.percent(40)) prompt = document(dice.size(0, 2));  // that others ask about, too
  prompt += words(dice, dice.percent(25) ? dice.size(60, 400) : dice.size(4, 40));
  if (plan.fails) return prompt + "[[fail " + std::to_string(dice.below(12)) + "]]";
  const bool reads_late = plan.reader == Reader::kSlow || plan.reader == Reader::kNever;
  if (reads_late && dice.percent(70)) {
    return prompt + "[[long " + std::to_string(dice.size(150, kLongAnswer)) + "]]";
  }
  switch (dice.below(8)) {
    case 0:
      return prompt + "[[empty]]";
    case 1:
      return prompt + "[[utf8]]";
    case 2:
      return prompt + "[[badutf8]]";
    case 3:
      return prompt + "[[echo]]";
    case 4:
      return prompt + "[[long " + std::to_string(dice.size(40, 200)) + "]]";
    default:
      return prompt + "[[long " + std::to_string(dice.size(4, 60)) + "]]";
  }
}

ipc::Submit request_of(Dice& dice, const ClientPlan& plan) {
  ipc::Submit request;
  request.prompt = std::vector<ipc::ChatMessage>{{"user", prompt_of(dice, plan), ""}};
  if (dice.percent(30)) request.priority = ipc::Priority::kBatch;
  request.sampling.temperature = dice.percent(50) ? 0.0F : 1.2F;
  request.sampling.seed = dice.next() >> 1;
  if (dice.percent(15)) request.sampling.top_k = dice.size(2, 40);
  if (dice.percent(15)) request.sampling.repetition_penalty = 1.1F;
  // Of one that fails, what its choices have by then depends on how they share calls.
  request.choices = dice.percent(12) && !plan.fails ? dice.size(2, 4) : 1;
  request.tokens_max = kLongAnswer;
  if (dice.percent(20)) request.tokens_max = dice.size(1, 50);
  if (dice.percent(12)) request.stop = {"e", "said"};
  if (dice.percent(10)) {
    request.logprobs = true;
    request.top_logprobs = dice.size(0, 3);
  }
  return request;
}

Reader reader_of(Dice& dice, unsigned trouble) {
  const std::uint64_t draw = dice.below(100);
  if (draw >= trouble) return draw % 3 == 0 ? Reader::kCollects : Reader::kFast;
  switch (dice.below(8)) {
    case 0:
    case 1:
    case 2:
      return Reader::kSlow;
    case 3:
      return Reader::kNever;
    case 4:
    case 5:
      return Reader::kVanishes;
    default:
      return Reader::kHalfCloses;
  }
}

// Some come one by one, some as a flood of one tenant.
void draw_clients(Dice& dice, Scenario& scenario) {
  const bool flood = dice.percent(20);
  const std::uint32_t count = flood || dice.percent(10) ? dice.size(20, 45) : dice.size(1, 16);
  const std::uint32_t tenants = dice.size(flood ? 2 : 1, 4);
  const unsigned trouble = dice.percent(25) ? 0 : dice.size(10, 70);
  const bool poison = dice.percent(12);
  const bool failing = dice.percent(15);
  const std::int64_t span = dice.between(1, 4'000) * kMilli;
  for (std::uint32_t i = 0; i < count; ++i) {
    ClientPlan plan;
    plan.number = i;
    const bool of_flood = flood && dice.percent(75);
    const std::uint64_t tenant = of_flood ? 0 : dice.below(tenants);
    plan.tenant = tenant == 3 ? "local" : "tenant-" + std::to_string(tenant);
    plan.user = "user-" + std::to_string(dice.below(3));
    plan.model = model_name(static_cast<std::uint32_t>(dice.below(scenario.models)));
    plan.arrives_ns = of_flood ? span / 8 : dice.between(0, span);
    plan.reader = reader_of(dice, trouble);
    plan.leaves_ns = dice.between(0, dice.percent(50) ? 200 : 3'000) * kMilli;
    plan.bytes_a_second = static_cast<std::uint64_t>(dice.between(1'000, 60'000));
    plan.is_poison = poison && dice.percent(10);
    plan.fails = failing && !plan.is_poison && dice.percent(10);
    plan.request = request_of(dice, plan);
    scenario.clients.push_back(std::move(plan));
  }
}

void draw_troubles(Dice& dice, Scenario& scenario) {
  if (dice.percent(25)) return;
  const std::uint32_t count = dice.size(1, 6);
  static constexpr Trouble kOften[] = {Trouble::kKill,  Trouble::kKill,  Trouble::kKill,
                                       Trouble::kCrash, Trouble::kCrash, Trouble::kStall};
  static constexpr Trouble kRare[] = {Trouble::kHang,     Trouble::kSlowDisk, Trouble::kLowSpace,
                                      Trouble::kNoSpace,  Trouble::kBadLoad,  Trouble::kFileChanged,
                                      Trouble::kWallClock};
  for (std::uint32_t i = 0; i < count; ++i) {
    TroublePlan plan;
    const bool often = dice.percent(70);
    plan.what = often ? kOften[dice.below(std::size(kOften))] : kRare[dice.below(std::size(kRare))];
    plan.at_ns = dice.between(0, 6'000) * kMilli;
    plan.lasts_ns = dice.between(50, 4'000) * kMilli;
    scenario.troubles.push_back(plan);
  }
}

}  // namespace

std::string model_name(std::uint32_t number) {
  return "model-" + std::to_string(number);
}

std::uint64_t model_bytes(std::uint32_t number) {
  return (std::uint64_t{number} + 2) << 30;
}

bool Scenario::has(Trouble what) const {
  return std::any_of(troubles.begin(), troubles.end(),
                     [what](const TroublePlan& plan) { return plan.what == what; });
}

Scenario Scenario::draw(std::uint64_t seed) {
  Dice dice(seed, 2);
  Scenario scenario;
  scenario.seed = seed;
  scenario.profile = dice.percent(50) ? ipc::Profile::kFast : ipc::Profile::kReproducible;
  scenario.sealed = dice.percent(30);
  scenario.streams = dice.size(1, 5);
  scenario.queue_max = dice.percent(30) ? dice.size(1, 6) : dice.size(8, 64);
  scenario.chunk_tokens = dice.percent(50) ? 0 : dice.size(1, 128);
  const std::uint64_t spill[] = {0, 3'000, 20'000, 1U << 20};
  scenario.spill_bytes = spill[dice.below(std::size(spill))];
  const std::uint64_t prefix[] = {0, 64U << 10, 1U << 20};
  scenario.prefix_bytes = prefix[dice.below(std::size(prefix))];
  scenario.overcommit = dice.percent(40);
  scenario.speculation = dice.percent(60);
  scenario.models = dice.percent(25) ? dice.size(2, 3) : 1;
  scenario.workers_max = dice.size(1, scenario.models);
  scenario.call_ns = dice.between(200, 8'000) * kMicro;
  scenario.token_ns = dice.between(20, 800) * kMicro;
  draw_clients(dice, scenario);
  draw_troubles(dice, scenario);
  if (dice.percent(12)) scenario.ending = Ending::kShutDown;
  if (dice.percent(12)) scenario.ending = Ending::kDiskDies;
  scenario.ends_ns = dice.between(5, 5'000) * kMilli;
  // The largest fits alone; not all do together.
  if (scenario.models > 1 && dice.percent(60)) {
    scenario.workers_max = scenario.models;
    scenario.memory_max = model_bytes(scenario.models - 1) + (std::uint64_t{dice.size(0, 3)} << 30);
  }
  return scenario;
}

std::string Scenario::describe() const {
  std::string text = std::string(ipc::name(profile)) + (sealed ? ", sealed, " : ", ");
  text += std::to_string(clients.size()) + " clients, " + std::to_string(streams) + " streams, ";
  text += std::to_string(models) + " models, " + std::to_string(troubles.size()) + " troubles";
  if (ending == Ending::kShutDown) text += ", shut down in the middle";
  if (ending == Ending::kDiskDies) text += ", the disk dies";
  return text;
}

}  // namespace aioss::sim
