#include "tests/sim/expected.h"

#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "base/assert.h"
#include "engines/fake/fake_engine.h"
#include "os/file.h"
#include "tests/sim/plant.h"
#include "worker/scheduler.h"

namespace aioss::sim {
namespace {

class StandingClock final : public Clock {
 public:
  std::int64_t wall_ns() const override { return 0; }
  std::int64_t monotonic_ns() const override { return 1; }
};

class Collector final : public worker::EventSink {
 public:
  explicit Collector(std::size_t count) : choices(count) {}
  void emit(ipc::FromWorker event) override {
    if (std::holds_alternative<ipc::Rejected>(event)) choices.clear();
    if (const auto* delta = std::get_if<ipc::Delta>(&event)) {
      choices.at(delta->choice).text += delta->text;
    }
    if (const auto* finished = std::get_if<ipc::Finished>(&event)) {
      choices.at(finished->choice).tokens = finished->completion_tokens;
      choices.at(finished->choice).reason = finished->reason;
    }
  }
  void flush() override {}
  std::vector<ExpectedChoice> choices;
};

}  // namespace

std::vector<ExpectedChoice> undisturbed(const Scenario& scenario, const ipc::Submit& request) {
  const os::Fd file = model_file(0);
  const int fd = file.get();
  aioss_model_options model_options = {};
  model_options.struct_size = sizeof model_options;
  model_options.profile = static_cast<std::uint32_t>(scenario.profile);
  model_options.fds = &fd;
  model_options.fd_count = 1;
  const auto model = std::move(*engine::Model::open(*engines::fake::entry(), model_options));
  const auto text = std::move(*engines::fake::open_text(*model));
  worker::AbortBoard board;
  worker::SchedulerOptions options;
  options.profile = scenario.profile;
  options.cells_per_stream = scenario.cells;
  aioss_session_options session_options = {};
  session_options.struct_size = sizeof session_options;
  session_options.sequences_max = options.streams;
  session_options.cells_per_sequence = options.cells_per_stream;
  session_options.batch_tokens_max = options.batch_tokens_max;
  const auto session = std::move(*engine::Session::create(*model, session_options));
  const auto vocabulary =
      std::move(*worker::Vocabulary::create(*text, model->facts().vocabulary_size));
  const StandingClock clock;
  Collector collector(request.choices);
  worker::Scheduler scheduler(*session, *vocabulary, options, clock, board, collector);

  worker::PreparedRequest prepared;
  std::vector<engine::ChatMessage> messages;
  for (const auto& message : std::get<std::vector<ipc::ChatMessage>>(request.prompt)) {
    messages.push_back({message.role, message.content, message.name});
  }
  prepared.prompt = std::move(*text->apply_chat_template(messages, 0));
  prepared.submit = request;
  prepared.submit.id = 1;
  scheduler.submit(std::move(prepared));
  while (scheduler.busy() && scheduler.step()) continue;
  return std::move(collector.choices);
}

}  // namespace aioss::sim
