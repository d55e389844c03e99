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

#include "ledger/test_support.h"
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
  options.allow_unsafe_file_system = true;
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
  spawning.arguments = {"test_ledger", "--gtest_filter=Crash.DISABLED_Child",
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

TEST(Crash, NoAcknowledgedRecordIsLost) {
  const int rounds = test::long_form() ? 1'000 : 12;
  const std::string directory = ::testing::TempDir() + "aioss_crash_test";
  std::filesystem::remove_all(directory);
  os::RealFileSystem fs;
  os::SystemClock clock;
  crypto::SystemRandom random;
  InitOptions making;
  making.directory = directory;
  making.allow_unsafe_file_system = true;
  const auto identity = init(fs, clock, random, making);
  ASSERT_TRUE(identity.has_value()) << identity.error().message;
  std::vector<std::uint64_t> acknowledged;
  for (int round = 0; round < rounds; ++round) {
    const auto more = run_and_kill(directory, round * 7 % 40);
    acknowledged.insert(acknowledged.end(), more.begin(), more.end());
  }
  // Not one start may have hidden the loss by giving an index twice.
  auto ledger = Ledger::open(fs, clock, random, crash_options(directory));
  ASSERT_TRUE(ledger.has_value()) << ledger.error().message;
  ASSERT_TRUE((*ledger)->close().has_value());
  std::sort(acknowledged.begin(), acknowledged.end());
  EXPECT_EQ(std::adjacent_find(acknowledged.begin(), acknowledged.end()), acknowledged.end());
  std::size_t found = 0;
  std::uint64_t requests = 0, ends = 0;
  ASSERT_TRUE(read_records(fs, directory, 0, [&](const Record& record) {
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
  verifying.directory = directory;
  verifying.verifier_key = identity->verifier_key;
  const VerifyReport report = verify(fs, verifying);
  EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
  RecordProperty("kills", rounds);
  RecordProperty("acknowledged", static_cast<int>(acknowledged.size()));
  std::printf("%d kills, %zu acknowledged records, none lost\n", rounds, acknowledged.size());
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace aioss::ledger
