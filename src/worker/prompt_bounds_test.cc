#include "worker/prompt_bounds.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace aioss::worker {
namespace {

TEST(PromptBounds, WhatCannotFitIsRefusedWithBothNumbers) {
  const PromptBounds bounds(100, 13);
  EXPECT_TRUE(bounds.check(std::string(99 * 13, 'x'), "prompt"));
  const Status refused = bounds.check(std::string(99 * 13 + 1, 'x'), "messages");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kContextExceeded);
  EXPECT_EQ(refused.error().field, "messages");
  EXPECT_EQ(refused.error().message,
            "the prompt has at least 100 tokens and the context holds 100; shorten the prompt");
  EXPECT_TRUE(bounds.check("", "prompt"));
}

TEST(PromptBounds, TheStackHoldsWhateverFits) {
  const PromptBounds ordinary(4096, 16);
  EXPECT_GE(ordinary.stack_bytes(), 4096U * 16 * kStackBytesPerByte);
  EXPECT_TRUE(ordinary.check(std::string(4095 * 16, 'x'), "prompt"));
  EXPECT_EQ(PromptBounds(1, 1).stack_bytes(), kTextStackBytesMin);
  // Products of 32 and 64 bits do not overflow.
  constexpr auto kMost = std::numeric_limits<std::uint32_t>::max();
  EXPECT_EQ(PromptBounds(kMost, std::numeric_limits<std::size_t>::max()).stack_bytes(),
            kTextStackBytesMax);
  EXPECT_EQ(PromptBounds(kMost, 1).stack_bytes(), kTextStackBytesMax);
}

TEST(PromptBounds, WhatTheStackDoesNotHoldIsRefused) {
  PromptBounds bounds(1 << 20, 64);
  EXPECT_EQ(bounds.stack_bytes(), kTextStackBytesMax);
  bounds.set_stack_bytes(kTextStackBytesMin);  // there was no memory for more
  const std::size_t most = (std::size_t{15} << 20) / kStackBytesPerByte;
  EXPECT_TRUE(bounds.check(std::string(most, 'x'), "prompt"));
  const Status refused = bounds.check(std::string(most + 1, 'x'), "prompt");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kTooLarge);
  EXPECT_EQ(refused.error().field, "prompt");
  EXPECT_NE(refused.error().message.find(std::to_string(most + 1)), std::string::npos);
  EXPECT_NE(refused.error().message.find(std::to_string(most)), std::string::npos);

  std::string lines;
  while (lines.size() < 10 * most) lines += "    a line of words;\n";
  EXPECT_TRUE(bounds.check(lines, "prompt"));
}

TEST(PromptBounds, UnbrokenIsWhatNoPatternIsKnownToEnd) {
  EXPECT_EQ(unbroken_bytes(""), 0U);
  EXPECT_EQ(unbroken_bytes("one two three"), 13U);
  EXPECT_EQ(unbroken_bytes("one\ntwo\nthree"), 5U);
  EXPECT_EQ(unbroken_bytes("one\r\n  two"), 7U);  // what a break is made of belongs to what it ends
  EXPECT_EQ(unbroken_bytes("\n\n\n\n\n"), 5U);
  EXPECT_EQ(unbroken_bytes("!\n/\n/\n/\n"), 8U);
  EXPECT_EQ(unbroken_bytes("a\n\xC3\xA9\n\xD0\x96\n\xE4\xBD\xA0"), 3U);  // whatever the script
  EXPECT_EQ(unbroken_bytes("a\n\xE3\x80\x80\nb"), 6U);  // but Unicode's blanks are blanks
  EXPECT_EQ(unbroken_bytes(" \n \n \n"), 6U);
}

}  // namespace
}  // namespace aioss::worker
