#include "worker/abort_board.h"

#include <gtest/gtest.h>

namespace aioss::worker {
namespace {

TEST(AbortBoard, ARequestThatComesBackIsNotStoppedByItsOldCancel) {
  AbortBoard board;
  board.cancel(7);
  board.begin_prefill(7);
  EXPECT_EQ(AbortBoard::should_abort(&board), 1);
  board.end_prefill();
  EXPECT_EQ(AbortBoard::should_abort(&board), 0);
  board.begin(8);
  board.begin_prefill(7);
  EXPECT_EQ(AbortBoard::should_abort(&board), 1) << "another one has come";
  board.begin(7);
  EXPECT_EQ(AbortBoard::should_abort(&board), 0);
  board.cancel(7);
  EXPECT_EQ(AbortBoard::should_abort(&board), 1) << "it can be cancelled again";
}

}  // namespace
}  // namespace aioss::worker
