// A real process, killed while it appends: no record that it acknowledged is lost. The child is
// this program again, told what to do by an environment variable and a pipe.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "ledger/testing/test_support.h"
#include "os/clock.h"
#include "os/environment.h"
#include "os/process.h"

namespace aioss::ledger {
namespace {

constexpr const char* kDirectoryVariable = "AIOSS_TEST_LEDGER";
constexpr int kAcknowledgements = 3;  // descriptor in the child
constexpr int kWriters = 4;

OpenOptions crash_options(const std::string& directory) {
  OpenOptions options;
  options.directory = directory;
  options.segment_bytes_max = 32 << 10;  // often a rotation under the kill
  options.reserve_bytes = 0;
  return options;
}

// The child's life: every index that the ledger acknowledges goes out on the pipe, until the kill.
TEST(Crash, DISABLED_Child) {
  const auto directory = os::environment(kDirectoryVariable);
  ASSERT_TRUE(directory.has_value());
  os::RealFileSystem fs;
  os::SystemClock clock;
  crypto::SystemRandom random;
  auto ledger = Ledger::open(fs, clock, random, crash_options(*directory));
  ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
  std::vector<std::thread> writers;
  for (int i = 0; i < kWriters; ++i) {
    writers.emplace_back([&] {
      for (;;) {
        const auto committed =
            (*ledger)->append_and_wait(RecordType::kInferRequest, test::request_body());
        if (!committed) return;
        const std::uint64_t index = committed->index;
        if (::write(kAcknowledgements, &index, sizeof(index)) != sizeof(index)) return;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
}

std::vector<std::uint64_t> run_and_kill(const std::string& directory, int delay_ms) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  os::Fd reader(ends[0]);
  os::Fd writer(ends[1]);
  os::SpawnOptions spawning;
  spawning.executable = "/proc/self/exe";
  spawning.arguments = {"test_ledger_writing", "--gtest_filter=Crash.DISABLED_Child",
                        "--gtest_also_run_disabled_tests", "--gtest_brief=1"};
  spawning.environment = {std::string(kDirectoryVariable) + '=' + directory};
  spawning.descriptors = {{kAcknowledgements, writer.get()}};
  auto child = os::Child::spawn(spawning);
  EXPECT_TRUE(child.has_value()) << child.error().message;
  writer.reset();
  std::vector<std::uint64_t> acknowledged;
  std::uint64_t index = 0;
  const auto take = [&] {
    if (::read(reader.get(), &index, sizeof(index)) != sizeof(index)) return false;
    acknowledged.push_back(index);
    return true;
  };
  EXPECT_TRUE(take()) << "the child ended before its first record";
  std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms));
  EXPECT_TRUE(child->send_signal(SIGKILL).has_value());
  while (take()) {  // what it had said before it died, to the end of the pipe
  }
  return acknowledged;
}

// Killed so often over one ledger; a start reads all of it, so that it must not grow for ever.
constexpr int kKillsOfOneLedger = 50;

int kills() {
  if (test::long_form()) return 10'000;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return 50;  // the same code; a start takes ten times as long
#else
  return 300;
#endif
}

class CrashTest : public ::testing::Test {
 protected:
  void SetUp() override { directory_ = ::testing::TempDir() + "aioss_crash_test"; }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void make_ledger() {
    std::filesystem::remove_all(directory_);
    InitOptions making;
    making.directory = directory_;
    making.trial = true;
    auto identity = init(fs_, clock_, random_, making);
    ASSERT_TRUE(identity.has_value()) << identity.error().message;
    verifier_key_ = identity->verifier_key;
  }

  // Opened once more and closed, the ledger holds every record that was acknowledged, each once,
  // and an end for every request that was cut off.
  void expect_whole(std::vector<std::uint64_t> acknowledged) {
    auto ledger = Ledger::open(fs_, clock_, random_, crash_options(directory_));
    ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
    ASSERT_TRUE((*ledger)->close().has_value());
    std::sort(acknowledged.begin(), acknowledged.end());
    // Not one start may have hidden the loss by giving an index twice.
    EXPECT_EQ(std::adjacent_find(acknowledged.begin(), acknowledged.end()), acknowledged.end());
    std::size_t found = 0;
    std::uint64_t requests = 0, ends = 0;
    ASSERT_TRUE(read_records(fs_, directory_, 0, [&](const Record& record) {
                  requests += record.type == RecordType::kInferRequest ? 1 : 0;
                  ends += record.type == RecordType::kInferAbort ? 1 : 0;
                  if (found < acknowledged.size() && acknowledged[found] == record.index) {
                    EXPECT_EQ(record.type, RecordType::kInferRequest);
                    ++found;
                  }
                  return true;
                }).has_value());
    EXPECT_EQ(found, acknowledged.size());
    EXPECT_GE(requests, acknowledged.size());
    EXPECT_EQ(ends, requests);  // each got its abort at the next start
    VerifyOptions verifying;
    verifying.directory = directory_;
    verifying.verifier_key = verifier_key_;
    const VerifyReport report = verify(fs_, verifying);
    EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
  }

  os::RealFileSystem fs_;
  os::SystemClock clock_;
  crypto::SystemRandom random_;
  std::string directory_, verifier_key_;
};

TEST_F(CrashTest, NoAcknowledgedRecordIsLost) {
  const int rounds = kills();
  std::size_t in_all = 0;
  for (int round = 0; round < rounds && !HasFatalFailure();) {
    make_ledger();
    std::vector<std::uint64_t> acknowledged;
    for (int i = 0; i < kKillsOfOneLedger && round < rounds; ++i, ++round) {
      const auto more = run_and_kill(directory_, round * 7 % 20);
      acknowledged.insert(acknowledged.end(), more.begin(), more.end());
    }
    in_all += acknowledged.size();
    expect_whole(std::move(acknowledged));
  }
  std::printf("%d kills, %zu acknowledged records, none lost\n", rounds, in_all);
}

}  // namespace
}  // namespace aioss::ledger
