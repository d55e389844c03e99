#include "runtime/models/load_failures.h"

#include <gtest/gtest.h>

#include "base/clock.h"

namespace aioss::runtime {
namespace {

os::FileInfo part(std::uint64_t size) {
  os::FileInfo info;
  info.size = size;
  return info;
}

TEST(LoadFailures, EachWaitsTwiceAsLongUpToFiveMinutes) {
  LoadFailures failures;
  EXPECT_FALSE(failures.must_wait(0)) << "nothing has failed";
  std::int64_t now = 7 * kNsPerSecond;
  for (const std::int64_t wait : {1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300}) {
    failures.note({Code::kIo, "no"}, {}, now);
    EXPECT_TRUE(failures.must_wait(now + wait * kNsPerSecond - 1)) << wait;
    EXPECT_FALSE(failures.must_wait(now + wait * kNsPerSecond)) << wait;
    now += wait * kNsPerSecond;
  }
  for (int i = 0; i < 100; ++i) failures.note({Code::kIo, "no"}, {}, now);
  EXPECT_FALSE(failures.must_wait(now + kRetryMaxNs));
  failures.forget();
  EXPECT_FALSE(failures.must_wait(now));
  failures.note({Code::kIo, "no"}, {}, now);
  EXPECT_FALSE(failures.must_wait(now + kNsPerSecond)) << "it begins anew";
}

TEST(LoadFailures, RefusalHasTheReasonAndTheTime) {
  LoadFailures failures;
  for (int i = 0; i < 3; ++i) failures.note({Code::kNoMemory, "too large"}, {}, 0);
  const Error refused = failures.refusal(kNsPerSecond / 2);
  EXPECT_EQ(refused.code, Code::kNoMemory);
  EXPECT_EQ(refused.message, "too large");
  ASSERT_TRUE(refused.wait);
  EXPECT_EQ(refused.wait->state, "failed");
  EXPECT_EQ(refused.wait->estimate_seconds, 4U) << "three and a half, rounded up";
  EXPECT_EQ(failures.refusal(100 * kNsPerSecond).wait->estimate_seconds, 0U);
}

TEST(LoadFailures, KnowsItsFile) {
  LoadFailures failures;
  failures.note({Code::kModelCorrupt, "no"}, {part(1), part(2)}, 0);
  EXPECT_TRUE(failures.are_of({part(1), part(2)}));
  EXPECT_FALSE(failures.are_of({part(1), part(3)}));
  EXPECT_FALSE(failures.are_of({part(1)}));
  EXPECT_FALSE(failures.are_of({}));
  EXPECT_TRUE(failures.is_lasting());
  failures.note({Code::kNoMemory, "no"}, {part(1), part(2)}, 0);
  EXPECT_FALSE(failures.is_lasting()) << "what was short may be there now";
}

}  // namespace
}  // namespace aioss::runtime
