#include "os/bandwidth.h"

#include <gtest/gtest.h>

#include "os/clock.h"

namespace aioss::os {
namespace {

TEST(ReadBandwidth, ReadsTheWholeBufferWithEachNumberOfThreads) {
  const SystemClock clock;
  for (const unsigned threads : {0U, 1U, 3U}) {
    const auto measured = measure_read_bandwidth(threads, std::chrono::milliseconds(1), clock);
    ASSERT_TRUE(measured);
    EXPECT_EQ(measured->threads, threads == 0 ? 1U : threads);
    EXPECT_GE(measured->rounds, 2U);
    EXPECT_GE(measured->buffer_bytes, std::uint64_t{32} << 20);
    // No machine reads slower than a floppy disk, or faster than ten thousand channels.
    EXPECT_GT(measured->bytes_per_second, 1e5);
    EXPECT_LT(measured->bytes_per_second, 1e15);
  }
}

class SteppedClock final : public Clock {
 public:
  std::int64_t wall_ns() const override { return 0; }
  std::int64_t monotonic_ns() const override { return now_ += 1'000'000'000; }

 private:
  mutable std::int64_t now_ = 0;
};

// Each round takes a second by this clock: the figure is the buffer's bytes.
TEST(ReadBandwidth, IsBytesByTime) {
  const SteppedClock clock;
  const auto measured = measure_read_bandwidth(2, std::chrono::milliseconds(1), clock);
  ASSERT_TRUE(measured);
  EXPECT_DOUBLE_EQ(measured->bytes_per_second, static_cast<double>(measured->buffer_bytes));
  EXPECT_EQ(measured->rounds, 2U);
}

}  // namespace
}  // namespace aioss::os
