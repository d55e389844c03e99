// A real worker process over a socketpair, confined as in the product, with the fake engine.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "ipc/messages.h"
#include "os/clock.h"
#include "worker/gguf_builder.h"
#include "worker/worker.h"
#include "worker/worker_fixture.h"

namespace aioss::worker {
namespace {

using std::chrono::milliseconds;

TEST(WorkerProcess, LoadsAdaptersInsideItsSandbox) {
  RunningWorker worker(kSmallScript);
  (void)worker.start();
  const ipc::AdapterReport loaded = worker.load_adapter("aioss-fake-lora 1\nsay Arr.\n");
  EXPECT_TRUE(loaded.loaded) << loaded.error->message;
  const ipc::AdapterReport wrong = worker.load_adapter("nonsense");
  EXPECT_FALSE(wrong.loaded);
  ASSERT_TRUE(wrong.error);
  EXPECT_EQ(wrong.error->code, Code::kModelCorrupt);
  ipc::Submit submit = request(1);
  submit.prompt = std::vector<ipc::ChatMessage>{{"user", "hello", ""}};
  submit.adapters = {{loaded.adapter, 1.0F}};
  worker.send(submit);
  (void)worker.expect<ipc::Accepted>();
  std::string text;
  for (auto event = worker.next(); event; event = worker.next()) {
    if (std::holds_alternative<ipc::Finished>(*event)) break;
    if (const auto* delta = std::get_if<ipc::Delta>(&*event)) text += delta->text;
  }
  EXPECT_EQ(text, "Arr. Good day.");
  worker.send(ipc::UnloadAdapter{loaded.adapter});
  EXPECT_FALSE(worker.expect<ipc::AdapterReport>().loaded);
  submit.id = 2;
  worker.send(submit);
  EXPECT_EQ(worker.expect<ipc::Rejected>().error.code, Code::kNotFound);
  worker.send(ipc::Shutdown{});
  EXPECT_EQ(worker.end(), "exit 0");
}

TEST(WorkerProcess, ServesARequestFromHelloToTheEnd) {
  RunningWorker worker(kSmallScript);
  const auto hello = worker.expect<ipc::Hello>();
  EXPECT_EQ(hello.protocol_version, ipc::kProtocolVersion);
  EXPECT_EQ(hello.engine_abi_version, AIOSS_ENGINE_ABI_VERSION);
  EXPECT_NE(hello.confinement.find("seccomp"), std::string::npos) << hello.confinement;
  ipc::Configure configure;
  configure.engine = "fake";
  configure.profile = ipc::Profile::kReproducible;
  configure.streams = 3;
  worker.send(configure);
  const auto ready = worker.expect<ipc::Ready>();
  EXPECT_GT(worker.progress, 5);
  EXPECT_EQ(ready.engine.name, "fake");
  EXPECT_EQ(ready.streams, 3U);
  EXPECT_EQ(ready.cells_per_stream, 512U);
  EXPECT_GE(ready.threads, 1U);
  EXPECT_EQ(ready.profile, ipc::Profile::kReproducible);
  EXPECT_TRUE(ready.has_chat_template);

  worker.send_text(7, "hello");
  const auto accepted = worker.expect<ipc::Accepted>();
  EXPECT_EQ(accepted.id, 7U);
  EXPECT_EQ(accepted.prompt_tokens, 9U);
  std::string text;
  for (;;) {
    const auto message = worker.next();
    ASSERT_TRUE(message);
    if (const auto* delta = std::get_if<ipc::Delta>(&*message)) {
      text += delta->text;
      continue;
    }
    const auto& finished = std::get<ipc::Finished>(*message);
    EXPECT_EQ(finished.reason, ipc::FinishReason::kStop);
    EXPECT_EQ(finished.completion_tokens, 9U);
    break;
  }
  EXPECT_EQ(text, "Good day.");
  worker.send(ipc::Ping{42});
  EXPECT_EQ(worker.expect<ipc::Pong>().nonce, 42U);
  worker.send(ipc::Shutdown{});
  EXPECT_EQ(worker.end(), "exit 0");
}

TEST(WorkerProcess, EverythingForbiddenIsRefused) {
  RunningWorker worker(kSmallScript);
  (void)worker.start();
  worker.send(ipc::Probe{});
  const auto report = worker.expect<ipc::ProbeReport>();
  EXPECT_GE(report.items.size(), 5U);
  for (const auto& item : report.items) {
    EXPECT_TRUE(item.refused) << item.attempt << ": " << item.detail;
  }
  worker.send_text(1, "and it still works");
  EXPECT_EQ(worker.expect<ipc::Accepted>().id, 1U);
}

TEST(WorkerProcess, EndsWhenTheGatewayIsGone) {
  RunningWorker idle(kSmallScript);
  (void)idle.start();
  idle.hang_up();
  EXPECT_EQ(idle.end(), "exit 0");

  RunningWorker busy("aioss-fake 1\ndelay_us_per_call 2000\n");
  (void)busy.start();
  busy.send_text(1, "[[long 5000]]");
  (void)busy.expect<ipc::Accepted>();
  (void)busy.expect<ipc::Delta>();
  busy.hang_up();
  EXPECT_EQ(busy.end(), "exit 0");

  RunningWorker unconfigured(kSmallScript);
  (void)unconfigured.expect<ipc::Hello>();
  unconfigured.hang_up();
  EXPECT_EQ(unconfigured.end(), "exit 0");
}

// Minutes are milliseconds here: the call that stalls takes longer than any may.
TEST(WorkerProcess, SaysWhetherItsEngineHangs) {
  RunningWorker worker(kScript, false, {}, 100'000);
  (void)worker.start();
  std::uint64_t nonce = 0;
  const auto comes_to = [&](bool hangs) {
    for (int i = 0; i < 1000; ++i) {
      worker.send(ipc::Ping{++nonce});
      if (worker.expect<ipc::Pong>().engine_hangs == hangs) return true;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  };
  std::this_thread::sleep_for(milliseconds(50));  // more than an hour
  EXPECT_TRUE(comes_to(false)) << "it waits for work";
  worker.send_text(1, "[[stall 600000]] " + std::string(900, 'x'));
  EXPECT_EQ(worker.expect<ipc::Accepted>().id, 1U);
  EXPECT_TRUE(comes_to(true));
  worker.send(ipc::Cancel{1});
  EXPECT_EQ(worker.expect<ipc::Finished>().id, 1U);
  EXPECT_TRUE(comes_to(false)) << "it came back";
}

TEST(WorkerProcess, CancelStopsAPrefillThatStalls) {
  RunningWorker worker(kScript);
  (void)worker.start();
  // The second chunk of this prompt takes ten minutes, unless the abort flag works.
  worker.send_text(1, "[[stall 600000]] " + std::string(900, 'x'));
  EXPECT_EQ(worker.expect<ipc::Accepted>().id, 1U);
  std::this_thread::sleep_for(milliseconds(50));  // into the stall; without it the test is weaker
  worker.send(ipc::Cancel{1});
  const auto finished = worker.expect<ipc::Finished>();
  EXPECT_EQ(finished.id, 1U);
  EXPECT_EQ(finished.reason, ipc::FinishReason::kCancelled);
  worker.send_text(2, "and the stream is free");
  EXPECT_EQ(worker.expect<ipc::Accepted>().id, 2U);
  (void)worker.expect<ipc::Delta>();
}

TEST(WorkerProcess, LoadFailuresSayWhy) {
  const std::vector<std::pair<std::string, Code>> cases = {
      {"aioss-fake 1\nfail_load corrupt\n", Code::kModelCorrupt},
      {"aioss-fake 1\nfail_load memory\n", Code::kNoMemory},
      {"no script at all", Code::kModelCorrupt},
  };
  for (const auto& [script, code] : cases) {
    RunningWorker worker(script);
    (void)worker.expect<ipc::Hello>();
    ipc::Configure configure;
    configure.engine = "fake";
    worker.send(configure);
    EXPECT_EQ(worker.expect<ipc::LoadFailed>().error.code, code) << script;
    EXPECT_EQ(worker.end(), "exit 78");
  }
}

TEST(WorkerProcess, OurReaderRefusesTheFileBeforeAnEngineSeesIt) {
  // The fake engine would take this file.
  RunningWorker worker(kSmallScript);
  (void)worker.expect<ipc::Hello>();
  ipc::Configure configure;
  configure.engine = "strict";
  worker.send(configure);
  const auto failed = worker.expect<ipc::LoadFailed>();
  EXPECT_EQ(failed.error.code, Code::kModelCorrupt);
  EXPECT_NE(failed.error.message.find("not a GGUF file"), std::string::npos);
}

// Of a whole answer that repeats itself.
std::uint64_t drafted_tokens(ipc::Profile profile, bool speculation) {
  RunningWorker worker("aioss-fake 1\ncontext 2048\ndelay_us_per_call 2000\n");
  ipc::Configure configure;
  configure.profile = profile;
  configure.speculation = speculation;
  configure.streams = 1;
  (void)worker.start(configure);
  worker.send_text(1, "[[long 300]]");
  std::uint64_t drafted = 0;
  for (bool ended = false;;) {
    const Result<Bytes> frame = worker.channel->receive(kPatience);
    if (!frame) break;
    const Result<ipc::FromWorker> message = ipc::decode_from_worker(*frame);
    if (!message) break;
    ended = ended || std::holds_alternative<ipc::Finished>(*message);
    const auto* stats = std::get_if<ipc::Stats>(&*message);
    if (stats == nullptr) continue;
    drafted = stats->drafted_tokens;
    if (ended && stats->running == 0) return drafted;
  }
  ADD_FAILURE() << "the worker did not say how it went";
  return drafted;
}

TEST(WorkerProcess, DraftsOnlyWhereProfileAndSettingAllowIt) {
  EXPECT_GT(drafted_tokens(ipc::Profile::kFast, true), 0U);
  EXPECT_EQ(drafted_tokens(ipc::Profile::kFast, false), 0U);
  EXPECT_EQ(drafted_tokens(ipc::Profile::kReproducible, true), 0U);
}

TEST(WorkerProcess, AnUnknownKvTypeIsRefusedByName) {
  RunningWorker worker(kSmallScript);
  (void)worker.expect<ipc::Hello>();
  ipc::Configure configure;
  configure.engine = "fake";
  configure.kv_type = "q1_0";
  worker.send(configure);
  const auto failed = worker.expect<ipc::LoadFailed>();
  EXPECT_EQ(failed.error.code, Code::kInvalidArgument);
  EXPECT_NE(failed.error.message.find("no kv_type 'q1_0'"), std::string::npos);
}

TEST(WorkerProcess, AnUnknownEngineOrProtocolIsRefused) {
  RunningWorker unknown(kSmallScript);
  (void)unknown.expect<ipc::Hello>();
  ipc::Configure configure;
  configure.engine = "steam";
  unknown.send(configure);
  EXPECT_EQ(unknown.expect<ipc::LoadFailed>().error.code, Code::kUnsupported);

  RunningWorker future(kSmallScript);
  (void)future.expect<ipc::Hello>();
  configure.engine = "fake";
  configure.protocol_version = 99;
  future.send(configure);
  EXPECT_EQ(future.expect<ipc::LoadFailed>().error.code, Code::kUnsupported);
  EXPECT_EQ(future.end(), "exit 76");
}

TEST(WorkerProcess, GarbageEndsTheWorker) {
  RunningWorker worker(kSmallScript);
  (void)worker.start();
  EXPECT_TRUE(worker.channel->send(as_bytes("this is not CBOR")));
  EXPECT_EQ(worker.end(), "exit 76");
}

TEST(WorkerProcess, AnEngineThatFailsIsToldAndEndsTheProcess) {
  RunningWorker worker(kSmallScript);
  (void)worker.start();
  worker.send_text(1, "[[fail 2]]");
  std::optional<ipc::Finished> finished;
  while (const auto message = worker.next()) {
    if (const auto* m = std::get_if<ipc::Finished>(&*message)) finished = *m;
  }
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->error->code, Code::kEngineFailed);
  EXPECT_EQ(worker.end(), "exit 79");
}

TEST(WorkerProcess, ACrashIsSeenAsTheEndOfTheStream) {
  RunningWorker worker(kSmallScript);
  (void)worker.start();
  worker.send_text(1, "[[crash 2]]");
  while (worker.next()) {
  }
  EXPECT_EQ(worker.end(), "signal 6");
}

TEST(WorkerProcess, RefusalsReachTheGateway) {
  RunningWorker worker("aioss-fake 1\ncontext 100\ntemplate no\n");
  (void)worker.start();
  worker.send_text(1, "x");
  auto rejected = worker.expect<ipc::Rejected>();
  EXPECT_EQ(rejected.id, 1U);
  EXPECT_EQ(rejected.error.code, Code::kUnsupported);
  ipc::Submit submit = request(2);
  submit.prompt = std::string(500, 'x');
  worker.send(submit);
  rejected = worker.expect<ipc::Rejected>();
  EXPECT_EQ(rejected.error.code, Code::kContextExceeded);
  EXPECT_NE(rejected.error.message.find("501"), std::string::npos);
  submit = request(3);
  submit.prompt = std::vector<Token>{'a', 'b'};
  submit.tokens_max = 1;
  worker.send(submit);
  EXPECT_EQ(worker.expect<ipc::Accepted>().prompt_tokens, 2U);
}

TEST(WorkerProcess, APromptThatCannotFitIsRefusedBeforeItIsTokenized) {
  // Tokenizing it would take more stack than there is.
  RunningWorker worker("aioss-fake 1\ncontext 100\nstack_bytes_per_byte 1000000\n");
  (void)worker.start();
  ipc::Submit submit = request(1);
  submit.prompt = std::string(5000, 'x');
  worker.send(submit);
  auto rejected = worker.expect<ipc::Rejected>();
  EXPECT_EQ(rejected.error.code, Code::kContextExceeded);
  EXPECT_EQ(rejected.error.field, "prompt");
  EXPECT_EQ(rejected.error.message,
            "the prompt has at least 385 tokens and the context holds 100; shorten the prompt");
  worker.send_text(2, std::string(5000, 'x'));
  rejected = worker.expect<ipc::Rejected>();
  EXPECT_EQ(rejected.id, 2U);
  EXPECT_EQ(rejected.error.code, Code::kContextExceeded);
  EXPECT_EQ(rejected.error.field, "messages");
}

TEST(WorkerProcess, ATokenizerMayRecurseOverTheWholePrompt) {
  // 30 MB: a thread has 8 MiB by default.
  RunningWorker worker("aioss-fake 1\ncontext 4096\nstack_bytes_per_byte 1000\n");
  (void)worker.start();
  ipc::Submit submit = request(1);
  submit.prompt = std::string(30'000, 'x');
  worker.send(submit);
  const auto rejected = worker.expect<ipc::Rejected>();
  EXPECT_EQ(rejected.error.code, Code::kContextExceeded);
  EXPECT_NE(rejected.error.message.find("30001"), std::string::npos);  // it was tokenized
  worker.send_text(2, "and the next one");
  EXPECT_EQ(worker.expect<ipc::Accepted>().id, 2U);
}

// Each call of this engine takes two seconds. How long after an answer of the worker's own the
// engine's next one comes tells whether the first had waited for it.
TEST(WorkerProcess, AcceptedAndRejectedDoNotWaitForTheNextCall) {
  constexpr std::int64_t kHeldBackNs = 500'000'000;
  const os::SystemClock clock;
  RunningWorker worker("aioss-fake 1\ndelay_us_per_call 2000000\nreply Good day.\n");
  (void)worker.start();
  worker.send_text(1, "hello");
  EXPECT_EQ(worker.expect<ipc::Accepted>().id, 1U);
  std::int64_t told_ns = clock.monotonic_ns();
  ipc::Submit bad = request(2);
  bad.prompt = std::vector<Token>{9999};  // a number of no token
  worker.send(bad);                       // during the first call
  EXPECT_EQ(worker.expect<ipc::Delta>().id, 1U);
  EXPECT_GT(clock.monotonic_ns() - told_ns, kHeldBackNs) << "Accepted waited";
  EXPECT_EQ(worker.expect<ipc::Rejected>().id, 2U);
  told_ns = clock.monotonic_ns();
  EXPECT_EQ(worker.expect<ipc::Delta>().id, 1U);
  EXPECT_GT(clock.monotonic_ns() - told_ns, kHeldBackNs) << "Rejected waited";
}

TEST(WorkerProcess, AFirstTokenDoesNotWaitForTheCopyOfItsState) {
  RunningWorker worker(kScript, true);
  ipc::Configure configure;
  configure.engine = "never_saves";
  (void)worker.start(configure);
  worker.send_text(1, std::string(200, 'x'));
  EXPECT_EQ(worker.expect<ipc::Accepted>().id, 1U);
  EXPECT_EQ(worker.expect<ipc::Delta>().id, 1U);
  worker.kill(SIGKILL);
}

// The engine, in a call of two minutes, takes nothing from its queue.
TEST(WorkerProcess, PingsAreAnsweredWhateverIsInTheQueues) {
  RunningWorker worker("aioss-fake 1\ndelay_us_per_call 120000000\n");
  ipc::Configure configure;
  configure.engine = "fake";
  configure.streams = 1;
  configure.queue_requests_max = 1;
  (void)worker.start(configure);
  worker.send_text(1, "x");
  EXPECT_EQ(worker.expect<ipc::Accepted>().id, 1U);
  constexpr ipc::RequestId kLast = 4;  // of those that the worker takes: twice what it can run
  for (ipc::RequestId id = 2; id < 200; ++id) {
    worker.send_text(id, "x");
    worker.send(ipc::Ping{id});
    if (id > kLast) {
      EXPECT_EQ(worker.expect<ipc::Rejected>().error.code, Code::kBusy);
    }
    EXPECT_EQ(worker.expect<ipc::Pong>().nonce, id);
  }
  for (std::uint64_t nonce = 0; nonce < 200; ++nonce) {
    for (ipc::RequestId id = 2; id < 2 * kLast; ++id) worker.send(ipc::Cancel{id});
    worker.send(ipc::Ping{nonce});
    auto message = worker.next();
    // Before the Pong, those that the text thread had not passed on.
    while (message && std::holds_alternative<ipc::Rejected>(*message)) message = worker.next();
    ASSERT_TRUE(message && std::holds_alternative<ipc::Pong>(*message));
    EXPECT_EQ(std::get<ipc::Pong>(*message).nonce, nonce);
  }
}

// ---- inspect

std::pair<nlohmann::json, std::string> inspect(const os::Fd& file) {
  int pipes[2];
  EXPECT_EQ(::pipe(pipes), 0);
  const pid_t pid = in_child([&] { return run_inspect(file.get(), pipes[1]); });
  ::close(pipes[1]);
  std::string out;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(pipes[0], buffer, sizeof buffer)) > 0;) {
    out.append(buffer, static_cast<std::size_t>(n));
  }
  ::close(pipes[0]);
  const std::string how = ending(pid);
  EXPECT_FALSE(out.empty()) << how;
  return {nlohmann::json::parse(out, nullptr, false), how};
}

TEST(Inspect, SaysWhatTheFileSays) {
  const auto [report, how] = inspect(gguf::small_model().file());
  EXPECT_EQ(how, "exit 0");
  EXPECT_EQ(report["architecture"], "llama");
  EXPECT_EQ(report["name"], "Tiny");
  EXPECT_EQ(report["parameters"], 768);
  EXPECT_EQ(report["context_length"], 2048);
  EXPECT_EQ(report["heads_kv"], 2);
  EXPECT_EQ(report["vocabulary_size"], 3);
  EXPECT_EQ(report["alignment"], 64);
  EXPECT_EQ(report["chat_template"], "{{ messages }}");
  EXPECT_EQ(report["chat_template_sha3"].get<std::string>().size(), 64U);
  EXPECT_EQ(report["quantization"].size(), 3U);
  EXPECT_EQ(report["quantization"][2]["type"], "Q4_K");
  EXPECT_EQ(report["quantization"][2]["bits_per_weight"], 4.5);
}

TEST(Inspect, SaysWhatIsWrong) {
  const auto [report, how] = inspect(memory_file("not a model"));
  EXPECT_EQ(how, "exit 5");
  EXPECT_EQ(report["error"]["code"], "model_corrupt");
}

TEST(Inspect, SurvivesNamesThatAreNoText) {
  gguf::Builder b;
  b.start(0, 2).entry("general.architecture", "\xFF\xFE").entry("general.name", "a\nb\x01");
  const auto [report, how] = inspect(b.file());
  EXPECT_EQ(how, "exit 0");
  EXPECT_EQ(report["tensors"], 0);
}

}  // namespace
}  // namespace aioss::worker
