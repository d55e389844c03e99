#include "engine/sequence_lengths.h"

#include <gtest/gtest.h>

namespace aioss::engine {
namespace {

SequenceLengths three() {
  SequenceLengths lengths(3);
  lengths[1] = 10;
  return lengths;
}

TEST(SequenceLengths, KnowWhichSequencesThereAre) {
  const SequenceLengths lengths = three();
  aioss_error error = {};
  EXPECT_EQ(lengths.check(0, &error), AIOSS_OK);
  EXPECT_EQ(lengths.check(2, &error), AIOSS_OK);
  for (const std::int32_t sequence : {-1, 3, INT32_MAX, INT32_MIN}) {
    EXPECT_EQ(lengths.check(sequence, &error), AIOSS_E_INVALID) << sequence;
  }
  EXPECT_STREQ(error.message, "there is no sequence -2147483648; there are 3");
}

TEST(SequenceLengths, TellWhatMayBeCut) {
  const SequenceLengths lengths = three();
  struct Case {
    std::int32_t sequence, from, to;
    aioss_status status;
    bool is_empty;
  };
  const Case cases[] = {{1, 0, -1, AIOSS_OK, false},
                        {1, 4, 10, AIOSS_OK, false},
                        {1, 9, 99, AIOSS_OK, false},
                        {1, 10, -1, AIOSS_OK, true},
                        {1, 4, 4, AIOSS_OK, true},
                        {0, 0, -1, AIOSS_OK, true},
                        {1, 0, 9, AIOSS_E_UNSUPPORTED, false},
                        {1, 5, 4, AIOSS_E_INVALID, false},
                        {1, -1, -1, AIOSS_E_INVALID, false},
                        {3, 0, -1, AIOSS_E_INVALID, false}};
  for (const Case& one : cases) {
    bool is_empty = false;
    EXPECT_EQ(lengths.check_cut(one.sequence, one.from, one.to, is_empty, nullptr), one.status)
        << one.sequence << " " << one.from << " " << one.to;
    if (one.status == AIOSS_OK) {
      EXPECT_EQ(is_empty, one.is_empty) << one.from << " " << one.to;
    }
  }
}

TEST(SequenceLengths, CopyIntoEmptyOnesOnly) {
  const SequenceLengths lengths = three();
  EXPECT_EQ(lengths.check_copy(1, 0, nullptr), AIOSS_OK);
  EXPECT_EQ(lengths.check_copy(0, 1, nullptr), AIOSS_E_INVALID);
  EXPECT_EQ(lengths.check_copy(0, 0, nullptr), AIOSS_E_INVALID);
  EXPECT_EQ(lengths.check_copy(1, 3, nullptr), AIOSS_E_INVALID);
  EXPECT_EQ(lengths.check_copy(-1, 0, nullptr), AIOSS_E_INVALID);
}

}  // namespace
}  // namespace aioss::engine
