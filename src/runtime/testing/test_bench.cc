#include "runtime/testing/test_bench.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <utility>

#include "base/strings.h"

namespace aioss::runtime::testing {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kStep{10};
constexpr std::uint64_t kMachineBytes = std::uint64_t{256} << 30;

void note(StreamEvent event, Answered& into) {
  if (auto* started = std::get_if<StreamStarted>(&event)) into.started = *started;
  if (auto* delta = std::get_if<StreamDelta>(&event)) {
    if (into.text.size() <= delta->choice) into.text.resize(delta->choice + 1);
    into.text[delta->choice] += delta->text;
  }
  if (std::holds_alternative<ChoiceEnd>(event)) ++into.choice_ends;
  if (auto* done = std::get_if<StreamDone>(&event)) into.done = *done;
  if (auto* failed = std::get_if<StreamFailed>(&event)) into.failed = *failed;
  into.events.push_back(std::move(event));
}

// 0 if it has ended. The fourth field of stat; the second, a name in parentheses, may hold
// anything.
int parent_of(int pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string stat(4096, '\0');
  file.read(stat.data(), static_cast<std::streamsize>(stat.size()));  // may fail: it ends meanwhile
  stat.resize(static_cast<std::size_t>(file.gcount()));
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos || stat.size() < name_end + 4) return 0;
  return std::atoi(stat.c_str() + name_end + 4);  // ") S 123"
}

}  // namespace

Answered read_all(Stream& stream, int seconds) {
  Answered answered;
  for (int waited = 0; !answered.ended() && waited < seconds * 10;) {
    if (auto event = stream.next_for(milliseconds(100))) {
      note(std::move(*event), answered);
    } else {
      ++waited;
    }
  }
  EXPECT_TRUE(answered.ended()) << "the stream did not end";
  EXPECT_FALSE(stream.try_next()) << "something came after the end";
  return answered;
}

bool read_some_text(Stream& stream, Answered& into) {
  for (int waited = 0; waited < 200;) {
    auto event = stream.next_for(milliseconds(100));
    if (!event) {
      ++waited;
      continue;
    }
    note(std::move(*event), into);
    if (into.ended()) return false;
    if (!into.text.empty() && !into.text.front().empty()) return true;
  }
  return false;
}

bool comes_true(const std::function<bool()>& condition, int seconds) {
  for (int i = 0; i < 100 * seconds; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(kStep);
  }
  return condition();
}

TestBench::TestBench() {
  std::string pattern = ::testing::TempDir() + "aioss-runtime-XXXXXX";
  directory_ = ::mkdtemp(pattern.data());
  std::filesystem::create_directories(directory_ + "/models");
  std::filesystem::create_directories(directory_ + "/state");
  const auto identity =
      ledger::init(disk_, clock_, random_, {directory_ + "/ledger", "test.example/runtime", true});
  EXPECT_TRUE(identity) << (identity ? "" : identity.error().message);
  verifier_key_ = identity->verifier_key;
  options.models_dir = directory_ + "/models";
  options.state_dir = directory_ + "/state";
  options.fake_models = true;
  options.worker_executable = AIOSS_TEST_WORKER;
  options.parallel = 2;
  options.planner = planner_;
  options.memory.state = []() -> Result<os::MemoryState> {
    return os::MemoryState{kMachineBytes, kMachineBytes, std::nullopt, std::nullopt};
  };
  options.memory.pressure = [] { return os::Pressure{}; };
}

TestBench::~TestBench() {
  disk_.release();
  files_.release();
  gateway_.reset();
  custody_.reset();
  ledger_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string TestBench::model_path(const std::string& name) const {
  return directory_ + "/models/" + name;
}

void TestBench::add_model(const std::string& name, const std::string& script) {
  std::ofstream(model_path(name + ".fake")) << "aioss-fake 1\n" << script;
}

void TestBench::add_bad_model(const std::string& name, const std::string& rule) {
  std::ofstream(model_path(name + ".fake")) << "misbehave " << rule << "\n";
}

void TestBench::start() {
  ledger::OpenOptions open;
  open.directory = directory_ + "/ledger";
  open.reserve_bytes = reserve_bytes;
  auto opened = ledger::Ledger::open(disk_, clock_, random_, open);
  ASSERT_TRUE(opened) << opened.error().message;
  ledger_ = std::move(*opened);
  ledger::CustodyOptions keeping;
  keeping.directory = open.directory;
  auto taken = ledger::Custody::open(disk_, clock_, random_, *ledger_, keeping);
  ASSERT_TRUE(taken) << taken.error().message;
  custody_ = std::move(*taken);
  auto created = Gateway::create(options, files_, clock_, random_, *ledger_, *custody_, metrics_);
  ASSERT_TRUE(created) << created.error().message;
  gateway_ = std::move(*created);
}

GenerateCall TestBench::call(const std::string& model, const std::string& prompt) const {
  GenerateCall call;
  call.model = model;
  call.endpoint = "/v1/chat/completions";
  call.principal.source = "local";
  call.request.prompt = std::vector<ipc::ChatMessage>{{"user", prompt, ""}};
  call.request.sampling.temperature = 0;
  return call;
}

std::shared_ptr<Stream> TestBench::submit(const std::string& model, const std::string& prompt) {
  auto stream = gateway_->submit(call(model, prompt));
  EXPECT_TRUE(stream) << (stream ? "" : stream.error().message);
  return stream ? *stream : nullptr;
}

Answered TestBench::ask(const std::string& model, const std::string& prompt) {
  const auto stream = submit(model, prompt);
  return stream ? read_all(*stream) : Answered{};
}

ModelEntry TestBench::entry(const std::string& model) {
  for (ModelEntry& entry : gateway_->models()) {
    if (entry.name == model) return std::move(entry);
  }
  return {};
}

bool TestBench::wait_for_state(const std::string& model, const std::string& state) {
  return comes_true([&] { return entry(model).state == state; });
}

bool TestBench::comes_to_be_idle(const std::string& model) {
  return comes_true([&] { return entry(model).residence.idle_unix_s.has_value(); });
}

std::vector<int> TestBench::worker_pids() const {
  // Not from /proc/self/task/*/children, which skips entries while another child ends.
  std::vector<int> pids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const int pid = std::atoi(entry.path().filename().c_str());
    if (pid > 0 && parent_of(pid) == ::getpid()) pids.push_back(pid);
  }
  return pids;
}

bool TestBench::wait_for_no_workers() const {
  for (int i = 0; i < 2000; ++i) {
    if (worker_pids().empty()) return true;
    std::this_thread::sleep_for(kStep);
  }
  return false;
}

int TestBench::kill_workers() const {
  int killed = 0;
  for (const int pid : worker_pids()) killed += ::kill(pid, SIGKILL) == 0 ? 1 : 0;
  return killed;
}

void TestBench::finish() {
  gateway_->shut_down(milliseconds(0));
  gateway_.reset();
  custody_.reset();
  (void)ledger_->close();
  ledger_.reset();
}

void TestBench::expect_good_ledger() {
  finish();
  const ledger::VerifyReport report = verify();
  EXPECT_EQ(report.verdict, ledger::Verdict::kOk) << report.finding;
  EXPECT_EQ(report.dangling_requests, 0U);
  EXPECT_EQ(count(ledger::RecordType::kEngineStart), count(ledger::RecordType::kEngineStop));
}

ledger::VerifyReport TestBench::verify() {
  return ledger::verify(files_, {directory_ + "/ledger", verifier_key_, nullptr});
}

std::vector<ledger::Record> TestBench::records() {
  std::vector<ledger::Record> all;
  const Status read =
      ledger::read_records(files_, directory_ + "/ledger", 0, [&](const ledger::Record& record) {
        all.push_back(record);
        return true;
      });
  EXPECT_TRUE(read) << (read ? "" : read.error().message);
  return all;
}

std::size_t TestBench::count(ledger::RecordType type) {
  std::size_t count = 0;
  for (const ledger::Record& record : records()) count += record.type == type ? 1 : 0;
  return count;
}

std::vector<std::string> TestBench::texts(ledger::RecordType type, std::uint64_t key) {
  std::vector<std::string> all;
  for (const ledger::Record& record : records()) {
    if (record.type == type) all.push_back(*record.body.get_text(key, "text"));
  }
  return all;
}

std::vector<std::string> TestBench::unload_reasons() {
  std::vector<std::string> reasons =
      texts(ledger::RecordType::kModelUnload, ledger::key::model_unload::kReason);
  std::sort(reasons.begin(), reasons.end());
  return reasons;
}

void TestBench::expect_good_ledger_and_loads() {
  expect_good_ledger();
  EXPECT_EQ(count(ledger::RecordType::kModelLoad), count(ledger::RecordType::kModelUnload));
}

}  // namespace aioss::runtime::testing
