// How fast a core verifies records of 1 KiB, beside plain SHA3-256 of as many bytes in blocks of
// 1 KiB, which is what `openssl speed -evp sha3-256 -bytes 1024` measures. No test: run it by name
// with --gtest_also_run_disabled_tests on a quiet machine.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>

#include "crypto/hash.h"
#include "ledger/test_support.h"
#include "os/clock.h"

namespace aioss::ledger {
namespace {

constexpr std::size_t kBodyBytes = 1'024;
constexpr std::size_t kRecords = 64 << 10;
constexpr int kRounds = 9;

void fill(Ledger& ledger) {
  codec::Map body;
  const Bytes text(kBodyBytes - 64, 'x');  // the common keys are the rest
  body.set(16, codec::Value::bytes(text));
  for (std::size_t i = 0; i < kRecords; ++i) {
    const bool last_of_batch = i % 1'000 == 999 || i + 1 == kRecords;
    if (last_of_batch) {
      ASSERT_TRUE(ledger.append_and_wait(RecordType::kInferPart, body).has_value());
    } else {
      ledger.append(RecordType::kInferPart, body,
                    [](const Result<Committed>& result) { ASSERT_TRUE(result.has_value()); });
    }
  }
}

template <typename Work>
double seconds(const Work& work) {
  const os::SystemClock clock;
  const std::int64_t start = clock.monotonic_ns();
  work();
  return static_cast<double>(clock.monotonic_ns() - start) / 1e9;
}

TEST(Speed, DISABLED_VerifyBesidePlainHashing) {
  test::MemoryFileSystem fs;
  const test::FixedClock clock;
  test::CountingRandom random;
  InitOptions options;
  options.directory = test::kDirectory;
  const auto identity = init(fs, clock, random, options);
  ASSERT_TRUE(identity.has_value());
  auto ledger = Ledger::open(fs, clock, random, test::open_options());
  ASSERT_TRUE(ledger.has_value());
  fill(**ledger);
  ASSERT_TRUE((*ledger)->close().has_value());

  crypto::Hasher hasher(crypto::HashAlgorithm::kSha3_256);
  const Bytes block(kBodyBytes, 'x');
  const double megabytes = kRecords * kBodyBytes / 1e6;
  for (int round = 0; round < kRounds; ++round) {  // side by side: the machine's speed changes
    const double verifying = seconds([&] {
      const VerifyReport report = test::verify_ledger(fs, identity->verifier_key);
      EXPECT_EQ(report.verdict, Verdict::kOk) << report.finding;
    });
    const double hashing = seconds([&] {
      for (std::size_t i = 0; i < kRecords; ++i) hasher.update(block).finish();
    });
    std::printf("verify %.0f MB/s, SHA3-256 %.0f MB/s, ratio %.2f\n", megabytes / verifying,
                megabytes / hashing, hashing / verifying);
  }
}

}  // namespace
}  // namespace aioss::ledger
