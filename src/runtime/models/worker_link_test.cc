// One link and one worker, without a gateway: health without waiting for real seconds, and the
// order of things at the end.
#include "runtime/models/worker_link.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "crypto/random.h"
#include "ledger/writing/ledger.h"
#include "os/clock.h"
#include "os/file.h"
#include "runtime/calls/answer.h"

namespace aioss::runtime {
namespace {

using std::chrono::milliseconds;

class LinkTest : public ::testing::Test {
 protected:
  void start(const std::string& rule) { start_model("misbehave " + rule + "\n"); }
  void start_model(const std::string& model) {
    auto started = try_to_start(model);
    ASSERT_TRUE(started) << started.error().message;
    link_ = std::move(*started);
    ASSERT_TRUE(ready_->wait_for(milliseconds(10'000)));
  }
  Result<std::unique_ptr<WorkerLink>> try_to_start(const std::string& model) {
    model_ = ::testing::TempDir() + "aioss-link-" + std::to_string(::getpid());
    std::ofstream(model_) << model;
    file_ = std::move(*files_.open(model_, os::OpenMode::kRead));
    LinkOptions options;
    options.model = "m";
    options.executable = AIOSS_TEST_WORKER;
    options.model_fds = {file_->descriptor()};
    options.configure.engine = "fake";
    options.streams_max = 4;
    options.exit_grace = exit_grace_;
    options.reap_max = reap_max_;
    options.thread_stack_bytes = thread_stack_bytes_;
    return WorkerLink::start(options, [this](LinkEvent event) {
      if (std::holds_alternative<ipc::Ready>(event)) ready_->give(true);
      if (std::holds_alternative<ipc::Parked>(event)) parked_->give(true);
      if (auto* report = std::get_if<ipc::ProbeReport>(&event)) probed_->give(*report);
      if (auto* lost = std::get_if<LinkLost>(&event); lost != nullptr && on_lost_) on_lost_(*lost);
      if (auto* ended = std::get_if<LinkEnded>(&event)) ended_->give(*ended);
    });
  }
  void TearDown() override {
    link_.reset();
    std::filesystem::remove(model_);
  }
  // Checks as if a second had passed each time.
  std::optional<Error> check(int times) {
    for (int i = 0; i < times; ++i) {
      if (auto sick = link_->check_health()) return sick;
    }
    return std::nullopt;
  }
  bool wait_for_pong() {
    for (int i = 0; i < 10'000 && link_->ping_outstanding(); ++i) {
      std::this_thread::sleep_for(milliseconds(1));
    }
    return !link_->ping_outstanding();
  }

  milliseconds exit_grace_{2000}, reap_max_{30'000};
  std::size_t thread_stack_bytes_ = os::Thread::kSystemsStack;
  std::string model_;
  os::RealFileSystem files_;
  std::unique_ptr<os::File> file_;
  std::shared_ptr<Answer<bool>> ready_ = std::make_shared<Answer<bool>>();
  std::shared_ptr<Answer<bool>> parked_ = std::make_shared<Answer<bool>>();
  std::shared_ptr<Answer<ipc::ProbeReport>> probed_ = std::make_shared<Answer<ipc::ProbeReport>>();
  std::function<void(const LinkLost&)> on_lost_;  // on the link's thread
  std::shared_ptr<Answer<LinkEnded>> ended_ = std::make_shared<Answer<LinkEnded>>();
  std::unique_ptr<WorkerLink> link_;
};

TEST_F(LinkTest, WorkerThatAnswersPingsIsHealthy) {
  start("none");
  for (int i = 0; i < 100; ++i) {
    ASSERT_FALSE(check(1)) << i;
    ASSERT_TRUE(wait_for_pong()) << i;
  }
}

TEST_F(LinkTest, SilentWorkerIsFound) {
  start("no_pong");
  const auto sick = check(100);
  ASSERT_TRUE(sick);
  EXPECT_NE(sick->message.find("has not answered"), std::string::npos);
  link_->kill(*sick);
  const auto ended = ended_->wait_for(milliseconds(10'000));
  ASSERT_TRUE(ended && *ended);
  EXPECT_EQ((*ended)->error.message, sick->message);
  EXPECT_EQ((*ended)->status, "signal 9 (Killed)");
}

TEST_F(LinkTest, AnEngineThatHangsBehindThreadsThatAnswerIsFound) {
  start("engine_hangs");
  std::optional<Error> sick;
  int checks = 0;
  while (!sick && checks < 100) {
    sick = check(1);
    ASSERT_TRUE(sick || wait_for_pong());
    ++checks;
  }
  ASSERT_TRUE(sick);
  EXPECT_GT(checks, 30) << "it may come back in a moment";
  EXPECT_NE(sick->message.find("has not come back from a call"), std::string::npos);
}

TEST_F(LinkTest, WrongPongEndsIt) {
  start("wrong_pong");
  (void)check(1);
  const auto ended = ended_->wait_for(milliseconds(10'000));
  ASSERT_TRUE(ended && *ended);
  EXPECT_NE((*ended)->error.message.find("broke the protocol"), std::string::npos);
}

TEST_F(LinkTest, AParkedWorkerIsHealthyAndWakes) {
  start_model("aioss-fake 1\ncontext 512\n");
  (void)check(1);  // a ping that crosses
  link_->park();
  ASSERT_TRUE(parked_->wait_for(milliseconds(10'000)));
  ASSERT_TRUE(wait_for_pong());
  ASSERT_FALSE(check(1));
  ASSERT_TRUE(wait_for_pong());
  ready_ = std::make_shared<Answer<bool>>();
  ipc::Configure session;
  session.engine = "fake";
  session.streams = 2;
  (void)check(1);
  link_->wake(session);
  ASSERT_TRUE(ready_->wait_for(milliseconds(10'000)));
  ASSERT_TRUE(wait_for_pong());
  link_->stop({Code::kShuttingDown, "enough"});
  const auto ended = ended_->wait_for(milliseconds(10'000));
  ASSERT_TRUE(ended && *ended);
  EXPECT_EQ((*ended)->status, "exit code 0");
}

// Nobody hears of it; what is asked of the worker is over once it is done, refused, or given up.
TEST_F(LinkTest, WhatIsComputedAheadIsForgottenAtItsEnd) {
  start_model("aioss-fake 1\ncontext 512\ndelay_us_per_call 2000\n");
  const auto comes_to_be_forgotten = [&](ipc::RequestId id) {
    for (int i = 0; i < 10'000 && link_->has(id); ++i) {
      std::this_thread::sleep_for(milliseconds(1));
    }
    return !link_->has(id);
  };
  ipc::Submit ahead;
  ahead.prefix_only = true;
  ahead.id = 1;
  ahead.prompt = std::string(200, 'a');
  ahead.resume.push_back({{97, 98}, false});
  ASSERT_TRUE(link_->submit_ahead(ahead));
  EXPECT_EQ(link_->outstanding(), 1U);
  EXPECT_TRUE(comes_to_be_forgotten(1)) << "done";
  ahead.id = 2;
  ahead.prompt = std::string(600, 'a');
  ASSERT_TRUE(link_->submit_ahead(ahead));
  EXPECT_TRUE(comes_to_be_forgotten(2)) << "refused: more than the context";
  ahead.id = 3;
  ahead.prompt = std::string(300, 'b');
  ASSERT_TRUE(link_->submit_ahead(ahead));
  link_->cancel(3);
  EXPECT_TRUE(comes_to_be_forgotten(3)) << "given up";
  ASSERT_FALSE(check(1)) << "it is healthy";
  link_->kill({Code::kWorkerDied, "by the test"});
  ASSERT_TRUE(ended_->wait_for(milliseconds(10'000)));
  EXPECT_FALSE(link_->submit_ahead(ahead));
}

TEST_F(LinkTest, WhoParksWithoutBeingToldBreaksTheProtocol) {
  start("parked_unasked");
  const auto ended = ended_->wait_for(milliseconds(10'000));
  ASSERT_TRUE(ended && *ended);
  EXPECT_NE((*ended)->error.message.find("before or after its time"), std::string::npos);
}

TEST_F(LinkTest, WhoIsParkedSaysNothingOfItself) {
  for (const char* const rule : {"parked_twice", "stats_parked", "wakes_up"}) {
    ready_ = std::make_shared<Answer<bool>>();
    ended_ = std::make_shared<Answer<LinkEnded>>();
    start(rule);
    link_->park();
    const auto ended = ended_->wait_for(milliseconds(10'000));
    ASSERT_TRUE(ended && *ended) << rule;
    EXPECT_NE((*ended)->error.message.find("broke the protocol"), std::string::npos) << rule;
  }
}

TEST_F(LinkTest, NeitherOurOutputNorTheFlagsOfOurFilesAreTheWorkers) {
  start_model("aioss-fake 1\n");
  link_->probe();
  const auto probed = probed_->wait_for(milliseconds(10'000));
  ASSERT_TRUE(probed && *probed);
  std::set<std::string> refused;
  for (const auto& item : (*probed)->items) {
    EXPECT_TRUE(item.refused) << item.attempt << ": " << item.detail;
    if (item.refused) refused.insert(item.attempt);
  }
  EXPECT_TRUE(refused.contains("write to the standard output of who started it"));
  EXPECT_TRUE(refused.contains("fcntl F_SETFL"));
}

TEST_F(LinkTest, WithoutThreadsThereIsNoWorker) {
  thread_stack_bytes_ = std::size_t{1} << 56;  // more than any address space
  const auto started = try_to_start("misbehave none\n");
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::kBusy);
  EXPECT_NE(started.error().message.find("cannot talk to a worker process"), std::string::npos);
  EXPECT_FALSE(ended_->wait_for(milliseconds(0))) << "an end of what was never told to be there";
}

// ---- the end ------------------------------------------------------------------------------------

// Calls back, on the link's thread, at the moment a request ends.
class EndWatcher final : public StreamHost {
 public:
  explicit EndWatcher(std::function<void()> at_end) : at_end_(std::move(at_end)) {}
  void stop_worker(ipc::RequestId) override {}
  void drained(const StreamState&) override {}
  void waited(std::int64_t) override {}
  void refused(const StreamState&, Code) override {}
  void ended(const StreamState&, StreamOutcome) override { at_end_(); }

 private:
  const std::function<void()> at_end_;
};

// A ledger that was closed answers at once, on the caller's thread: a request that is aborted ends
// in that very call.
class LinkEndTest : public LinkTest {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "aioss-link-ledger-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    ledger::InitOptions init;
    init.directory = directory_ + "/ledger";
    init.origin = "test.example/link";
    init.trial = true;
    ASSERT_TRUE(ledger::init(files_, clock_, random_, init));
    ledger::OpenOptions open;
    open.directory = init.directory;
    open.reserve_bytes = 0;
    auto opened = ledger::Ledger::open(files_, clock_, random_, open);
    ASSERT_TRUE(opened) << opened.error().message;
    ledger_ = std::move(*opened);
    ledger::CustodyOptions keeping;
    keeping.directory = open.directory;
    auto taken = ledger::Custody::open(files_, clock_, random_, *ledger_, keeping);
    ASSERT_TRUE(taken) << taken.error().message;
    custody_ = std::move(*taken);
    custodian_ = std::make_unique<Custodian>(*custody_, 1);
    ASSERT_TRUE(ledger_->close());
  }
  void TearDown() override {
    LinkTest::TearDown();
    std::filesystem::remove_all(directory_);
  }
  std::shared_ptr<StreamState> make_request(ipc::RequestId id, std::function<void()> at_end) {
    StreamSetup setup;
    setup.call.model = "m";
    setup.call.request.id = id;
    setup.call.request.prompt = std::string("q");
    setup.request_id = "req_" + std::to_string(id);
    auto stream = std::make_shared<StreamState>(setup, *ledger_, *custodian_, clock_,
                                                std::make_shared<EndWatcher>(std::move(at_end)));
    stream->belongs_to(*custody_->obtain({"local", "local"}));
    return stream;
  }

  std::string directory_;
  os::SystemClock clock_;
  crypto::SystemRandom random_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<ledger::Custody> custody_;
  std::unique_ptr<Custodian> custodian_;
};

TEST_F(LinkEndTest, RequestsAreGivenBackAndNewOnesRefusedBeforeTheProcessIsReaped) {
  bool in_process_table = false, admitted = true, ended = false;
  const auto late = make_request(2, [] {});
  const auto request = make_request(1, [&] { ended = true; });
  const auto over = make_request(3, [] {});
  std::vector<std::shared_ptr<StreamState>> survivors;
  on_lost_ = [&](const LinkLost& lost) {
    survivors = lost.survivors;
    in_process_table = ::kill(link_->pid(), 0) == 0;  // until it is reaped, though it is dead
    admitted = link_->admit(late);
  };
  start("hang");
  ASSERT_TRUE(link_->admit(request));
  ASSERT_TRUE(link_->admit(over));
  over->cancel();
  ASSERT_EQ(::kill(link_->pid(), SIGKILL), 0);
  const auto last = ended_->wait_for(milliseconds(10'000));
  ASSERT_TRUE(last && *last);
  EXPECT_FALSE(ended) << "it can go on";
  EXPECT_EQ(survivors, std::vector<std::shared_ptr<StreamState>>{request});
  EXPECT_FALSE((*last)->from_inside);
  EXPECT_TRUE(in_process_table) << "the request waited for the process to be gone";
  EXPECT_FALSE(admitted) << "a request can reach a worker that is dead";
  EXPECT_FALSE(link_->admit(late));
  EXPECT_EQ((*last)->status, "signal 9 (Killed)");
  EXPECT_NE((*last)->error.message.find("signal 9"), std::string::npos);
}

TEST_F(LinkEndTest, ProcessThatDoesNotEndIsGivenUp) {
  exit_grace_ = reap_max_ = milliseconds(0);
  start("leave");
  const auto request = make_request(1, [] {});
  ASSERT_TRUE(link_->admit(request));
  link_->submit(*request);
  const auto last = ended_->wait_for(milliseconds(10'000));
  ASSERT_TRUE(last && *last);
  EXPECT_EQ((*last)->status, "not reaped");
  const std::shared_ptr<os::Child> unreaped = (*last)->unreaped;
  ASSERT_TRUE(unreaped);
  link_->terminate();  // must not reach for what it has given up
  link_.reset();
  EXPECT_TRUE(unreaped->wait_for(milliseconds(10'000))) << "it was not killed";
}

// Its number can be guessed: the request before it had the one before.
TEST_F(LinkEndTest, AnswerToARequestThatHasNotBegunBreaksTheProtocol) {
  const auto request = make_request(2, [] {});
  EXPECT_EQ(request->accepted({2, 3, 0}).error().code, Code::kCorrupt);
  EXPECT_EQ(request->rejected({2, {Code::kBusy, "no"}}).error().code, Code::kCorrupt);
  ipc::Delta delta;
  delta.id = 2;
  EXPECT_EQ(request->delta(delta).error().code, Code::kCorrupt);
  const ipc::Finished finished{2, 0, ipc::FinishReason::kStop, 3, 0, {}, std::nullopt};
  EXPECT_EQ(request->finished(finished).error().code, Code::kCorrupt);
  EXPECT_TRUE(request->wants_to_run()) << "one of them had an effect";
  EXPECT_TRUE(request->begin({1, 64}));
  EXPECT_TRUE(request->accepted({2, 3, 0}));
}

}  // namespace
}  // namespace aioss::runtime
