// Test-only: a scheduler over the fake engine, a clock that counts graphs, and a sink that checks
// the order of events as they come.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "crypto/hash.h"
#include "engines/fake/fake_engine.h"
#include "ipc/messages.h"
#include "os/file.h"
#include "os/shared_memory.h"
#include "worker/scheduler.h"

namespace aioss::worker {

inline constexpr std::uint64_t kPrefixMemory = 8 << 20;  // of a scheduler's prefixes

// One decode call as the engine saw it: tokens of each sequence, in batch order.
struct SeenCall {
  struct Part {
    std::int32_t sequence = 0;
    std::int32_t from = 0, count = 0;
  };
  std::vector<Part> parts;
  std::uint32_t outputs = 0;
  std::vector<aioss_adapter_use> adapters = {};
};

// The fake engine, with every batch written down. One test at a time.
inline std::vector<SeenCall>* g_seen_calls = nullptr;

inline aioss_status seeing_decode(aioss_session* session, const aioss_batch* batch,
                                  aioss_error* error) {
  const aioss_status status = engines::fake::entry()->decode(session, batch, error);
  if (g_seen_calls == nullptr || status != AIOSS_OK) return status;
  SeenCall call;
  for (std::uint32_t i = 0; i < batch->token_count; ++i) {
    if (call.parts.empty() || call.parts.back().sequence != batch->sequences[i]) {
      call.parts.push_back({batch->sequences[i], batch->positions[i], 0});
    }
    ++call.parts.back().count;
    call.outputs += batch->outputs[i];
  }
  for (std::uint32_t i = 0; i < batch->adapter_count; ++i) {
    call.adapters.push_back(batch->adapters[i]);
  }
  g_seen_calls->push_back(call);
  return status;
}

// As a sliding window that has forgotten what a cut would need. One test at a time.
inline bool g_refuse_cuts = false;

inline aioss_status refusing_remove(aioss_session* session, std::int32_t sequence,
                                    std::int32_t from, std::int32_t to, aioss_error* error) {
  if (g_refuse_cuts && from > 0) return AIOSS_E_UNSUPPORTED;
  return engines::fake::entry()->sequence_remove(session, sequence, from, to, error);
}

// States that were saved or copied, since the start of this process.
inline std::uint32_t g_state_copies = 0;

inline aioss_status seeing_save(aioss_session* session, std::int32_t sequence, std::uint8_t* data,
                                std::size_t* size, aioss_error* error) {
  ++g_state_copies;
  return engines::fake::entry()->sequence_save(session, sequence, data, size, error);
}

inline aioss_status seeing_copy(aioss_session* session, std::int32_t source, std::int32_t target,
                                aioss_error* error) {
  ++g_state_copies;
  return engines::fake::entry()->sequence_copy(session, source, target, error);
}

inline const aioss_engine& seeing_engine() {
  static const aioss_engine engine = [] {
    aioss_engine copy = *engines::fake::entry();
    copy.decode = seeing_decode;
    copy.sequence_remove = refusing_remove;
    copy.sequence_save = seeing_save;
    copy.sequence_copy = seeing_copy;
    return copy;
  }();
  return engine;
}

// Time passes with graphs and tokens alone, so that runs repeat exactly.
class GraphClock final : public Clock {
 public:
  std::int64_t wall_ns() const override { return 0; }
  std::int64_t monotonic_ns() const override {
    if (session == nullptr) return 1;
    const aioss_counters counters = session->counters();
    return 1 + idle_ns + static_cast<std::int64_t>(counters.graphs) * graph_ns +
           static_cast<std::int64_t>(counters.tokens) * token_ns;
  }
  const engine::Session* session = nullptr;
  std::int64_t graph_ns = 10'000'000;
  std::int64_t token_ns = 1'000'000;
  std::int64_t idle_ns = 0;  // that passed without a graph
};

struct Answer {
  std::string text;
  std::vector<Token> tokens;
  std::vector<ipc::TokenLogprob> logprobs;
  std::optional<ipc::Finished> finished;
  std::vector<std::string> parts;
};

class Recorder final : public EventSink {
 public:
  void emit(ipc::FromWorker event) override {
    frames.push_back(ipc::encode(event));
    std::visit([this](const auto& m) { take(m); }, event);
  }

  void flush() override {
    if (at_flush) at_flush();
  }

  const Answer& answer(ipc::RequestId id, std::uint32_t choice = 0) {
    return answers[{id, choice}];
  }

  std::function<void()> at_flush;

  std::map<ipc::RequestId, ipc::Accepted> accepted;
  std::map<ipc::RequestId, Error> rejected;
  std::map<std::pair<ipc::RequestId, std::uint32_t>, Answer> answers;
  std::vector<ipc::Stats> stats;
  std::vector<Bytes> frames;

 private:
  void take(const ipc::Accepted& m) {
    EXPECT_TRUE(accepted.emplace(m.id, m).second) << "accepted twice";
  }
  void take(const ipc::Rejected& m) {
    EXPECT_FALSE(accepted.contains(m.id));
    rejected[m.id] = m.error;
  }
  void take(const ipc::Delta& m) {
    EXPECT_TRUE(accepted.contains(m.id)) << "a token before Accepted";
    Answer& answer = answers[{m.id, m.choice}];
    EXPECT_FALSE(answer.finished) << "a token after the end";
    answer.text += m.text;
    answer.parts.push_back(m.text);
    answer.tokens.insert(answer.tokens.end(), m.tokens.begin(), m.tokens.end());
    answer.logprobs.insert(answer.logprobs.end(), m.logprobs.begin(), m.logprobs.end());
  }
  void take(const ipc::Finished& m) {
    EXPECT_TRUE(accepted.contains(m.id));
    Answer& answer = answers[{m.id, m.choice}];
    EXPECT_FALSE(answer.finished) << "finished twice";
    EXPECT_EQ(m.completion_tokens, answer.tokens.size());
    answer.finished = m;
  }
  void take(const ipc::Stats& m) { stats.push_back(m); }
  template <typename Other>
  void take(const Other&) {
    ADD_FAILURE() << "the scheduler says nothing else";
  }
};

// Numbers from a seed.
class Dice {
 public:
  explicit Dice(std::uint32_t seed) : engine_(seed) {}
  std::uint32_t operator()() { return static_cast<std::uint32_t>(engine_()); }

 private:
  std::mt19937 engine_;
};

inline os::Fd memory_file(std::string_view text) {
  os::Fd fd(::memfd_create("script", MFD_CLOEXEC));
  EXPECT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  return fd;
}

// A default script: replies of several lengths, chosen by a hash of the prompt.
inline constexpr std::string_view kScript =
    "aioss-fake 1\n"
    "context 2048\n"
    "reply Yes.\n"
    "reply The quick brown fox jumps over the lazy dog, twice.\n"
    "reply Grüße aus Zürich: 世界 🙂 and so on and on and on, until it ends here.\n"
    "margin 3\n";

class Rig final {
 public:
  // `prefixes`: shared memory for them; null: none are kept.
  explicit Rig(SchedulerOptions options = {}, std::string_view script = kScript,
               const os::Fd* prefixes = nullptr)
      : file_(memory_file(script)) {
    if (options.cells_per_stream == 0) options.cells_per_stream = 2048;
    const int fd = file_.get();
    aioss_model_options model_options = {};
    model_options.struct_size = sizeof model_options;
    model_options.profile = static_cast<std::uint32_t>(options.profile);
    model_options.fds = &fd;
    model_options.fd_count = 1;
    text_model_ = std::move(*engine::Model::open(*engines::fake::entry(), model_options));
    model_ = std::move(*engine::Model::open(seeing_engine(), model_options));
    aioss_session_options session_options = {};
    session_options.struct_size = sizeof session_options;
    session_options.sequences_max = options.streams;
    session_options.cells_per_sequence = options.cells_per_stream;
    session_options.batch_tokens_max = options.batch_tokens_max;
    session_options.outputs_max = std::max(options.streams, options.draft_tokens_max + 1);
    session_options.flags = AIOSS_SESSION_COUNT_GRAPHS;
    session_options.abort = &AbortBoard::should_abort;
    session_options.abort_user = &board;
    session = std::move(*engine::Session::create(*model_, session_options));
    text = std::move(*engines::fake::open_text(*text_model_));
    vocabulary_ = std::move(*Vocabulary::create(*text, model_->facts().vocabulary_size));
    clock.session = session.get();
    auto cache = prefixes == nullptr
                     ? nullptr
                     : std::make_unique<PrefixCache>(*os::SharedMapping::map(prefixes->get()));
    auto shelf = std::make_unique<AdapterShelf>(
        AdapterSource{model_.get(), adapter_file_.get(), false, options.batch_tokens_max});
    scheduler = std::make_unique<Scheduler>(*session, *vocabulary_, options, clock, board, sink,
                                            std::move(cache), std::move(shelf));
    g_seen_calls = &calls;
  }
  ~Rig() { g_seen_calls = nullptr; }
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;

  void submit(ipc::Submit request, std::string_view prompt, bool chat = false) {
    PreparedRequest prepared;
    prepared.prompt = *text->apply_chat_template({{"user", std::string(prompt), ""}}, 0);
    prepared.submit = std::move(request);
    prepared.received_ns = clock.monotonic_ns();
    prepared.chat = chat;
    scheduler->submit(std::move(prepared));
  }
  void submit_tokens(ipc::Submit request, std::vector<Token> tokens) {
    scheduler->submit({std::move(request), std::move(tokens), clock.monotonic_ns()});
  }

  // An adapter with these lines, as the gateway would have it loaded.
  ipc::AdapterReport load_adapter(const std::string& lines) {
    const std::string file = "aioss-fake-lora 1\n" + lines;
    EXPECT_EQ(::ftruncate(adapter_file_.get(), 0), 0);
    EXPECT_EQ(::pwrite(adapter_file_.get(), file.data(), file.size(), 0),
              static_cast<ssize_t>(file.size()));
    return scheduler->load_adapter({crypto::sha256(as_bytes(file)), file.size()});
  }

  const Vocabulary& vocabulary() const { return *vocabulary_; }
  // Until nothing is left; the number of steps.
  int run() {
    int steps = 0;
    while (scheduler->busy()) {
      const Status status = scheduler->step();
      if (!status) {
        ADD_FAILURE() << status.error().message;
        return steps;
      }
      if (++steps > 100000) {
        ADD_FAILURE() << "the scheduler does not come to an end";
        return steps;
      }
    }
    return steps;
  }

 private:
  os::Fd file_;
  os::Fd adapter_file_ = memory_file("");
  std::unique_ptr<engine::Model> text_model_, model_;

 public:
  AbortBoard board;
  GraphClock clock;
  Recorder sink;
  std::vector<SeenCall> calls;
  std::unique_ptr<engine::Session> session;
  std::unique_ptr<engine::TextModel> text;

 private:
  std::unique_ptr<const Vocabulary> vocabulary_;

 public:
  std::unique_ptr<Scheduler> scheduler;
};

inline ipc::Submit request(ipc::RequestId id, float temperature = 0.0F) {
  ipc::Submit submit;
  submit.id = id;
  submit.sampling.temperature = temperature;
  submit.sampling.seed = 1000 + id;
  return submit;
}

inline SchedulerOptions options(std::uint32_t streams, ipc::Profile profile = ipc::Profile::kFast) {
  SchedulerOptions o;
  o.streams = streams;
  o.profile = profile;
  return o;
}

inline SchedulerOptions with_queue(std::uint32_t streams, std::uint32_t queue) {
  SchedulerOptions o = options(streams);
  o.queue_requests_max = queue;
  return o;
}

inline const std::vector<ipc::Profile> kProfiles = {ipc::Profile::kFast,
                                                    ipc::Profile::kReproducible};

inline std::string prompt_of(std::size_t bytes, int variant) {
  std::string prompt = "question " + std::to_string(variant) + " ";
  while (prompt.size() < bytes) prompt += "lorem ipsum ";
  prompt.resize(std::max(bytes, prompt.size()));
  return prompt;
}

// What a request answers when it has the worker to itself.
inline Answer alone(const ipc::Submit& submit, const std::string& prompt, ipc::Profile profile) {
  Rig rig(options(1, profile));
  rig.submit(submit, prompt);
  rig.run();
  return rig.sink.answer(submit.id);
}

inline void expect_same(const Answer& got, const Answer& want, const std::string& what) {
  EXPECT_EQ(got.text, want.text) << what;
  EXPECT_EQ(got.tokens, want.tokens) << what;
  ASSERT_EQ(got.logprobs.size(), want.logprobs.size()) << what;
  for (std::size_t i = 0; i < got.logprobs.size(); ++i) {
    EXPECT_EQ(got.logprobs[i].logprob, want.logprobs[i].logprob) << what;
    EXPECT_EQ(got.logprobs[i].top.size(), want.logprobs[i].top.size()) << what;
  }
  ASSERT_TRUE(got.finished && want.finished) << what;
  EXPECT_EQ(got.finished->reason, want.finished->reason) << what;
}

}  // namespace aioss::worker
