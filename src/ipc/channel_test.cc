#include "ipc/channel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "os/process.h"

namespace aioss::ipc {
namespace {

using std::chrono::milliseconds;

struct Pair {
  Pair() {
    auto sockets = os::socket_pair();
    EXPECT_TRUE(sockets);
    left = std::make_unique<Channel>(std::move(sockets->first));
    right = std::make_unique<Channel>(std::move(sockets->second));
  }
  std::unique_ptr<Channel> left, right;
};

Bytes pattern(std::size_t size, unsigned seed) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 31 + seed);
  return bytes;
}

TEST(Channel, FramesOfEverySizeArriveWholeAndInOrder) {
  Pair pair;
  const std::vector<std::size_t> sizes = {
      0, 1, 3, 4, 5, 65531, 65532, 65536, 65537, 70000, 300000, 1000000, kFrameBytesMax, 2};
  std::thread sender([&] {
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      EXPECT_TRUE(pair.left->send(pattern(sizes[i], static_cast<unsigned>(i))));
    }
  });
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const Result<Bytes> frame = pair.right->receive();
    ASSERT_TRUE(frame) << i;
    EXPECT_EQ(*frame, pattern(sizes[i], static_cast<unsigned>(i))) << i;
  }
  sender.join();
}

TEST(Channel, FramesSentTogetherArriveOneByOne) {
  Pair pair;
  std::vector<Bytes> frames;
  for (unsigned i = 0; i < 3000; ++i) frames.push_back(pattern(i % 97, i));
  std::thread sender([&] { EXPECT_TRUE(pair.left->send_all(frames)); });
  for (const Bytes& frame : frames) {
    const Result<Bytes> got = pair.right->receive(milliseconds(10000));
    ASSERT_TRUE(got);
    EXPECT_EQ(*got, frame);
  }
  sender.join();
}

TEST(Channel, BytesThatComeOneAtATimeMakeAFrame) {
  auto sockets = os::socket_pair();
  ASSERT_TRUE(sockets);
  Channel right(std::move(sockets->second));
  const Bytes wire = {3, 0, 0, 0, 'a', 'b', 'c', 1, 0, 0, 0, 'd'};
  std::thread sender([&] {
    for (const std::uint8_t byte : wire) {
      EXPECT_EQ(::send(sockets->first.get(), &byte, 1, 0), 1);
      std::this_thread::sleep_for(milliseconds(1));
    }
  });
  EXPECT_EQ(as_text(*right.receive()), "abc");
  EXPECT_EQ(as_text(*right.receive()), "d");
  sender.join();
}

TEST(Channel, ALengthOverTheBoundIsCorrupt) {
  auto sockets = os::socket_pair();
  ASSERT_TRUE(sockets);
  Channel right(std::move(sockets->second));
  const std::uint8_t header[] = {1, 0, 0, 1};  // 16 MiB and one byte
  ASSERT_EQ(::send(sockets->first.get(), header, 4, 0), 4);
  const Result<Bytes> frame = right.receive();
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code, Code::kCorrupt);
}

// A frame of the bound passes, one more byte does not, and none of it is read or kept.
TEST(Channel, AnEndMayTakeLessThanTheOther) {
  auto sockets = os::socket_pair();
  ASSERT_TRUE(sockets);
  Channel left(std::move(sockets->first));
  Channel right(std::move(sockets->second), 1000);
  ASSERT_TRUE(left.send(pattern(1000, 1)));
  ASSERT_TRUE(left.send(pattern(1001, 2)));
  EXPECT_EQ(*right.receive(), pattern(1000, 1));
  const Result<Bytes> frame = right.receive();
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code, Code::kCorrupt);
  EXPECT_EQ(frame.error().message, "a frame claims 1001 bytes; at most 1000 are allowed");
}

TEST(Channel, SilenceIsATimeout) {
  Pair pair;
  const Result<Bytes> frame = pair.right->receive(milliseconds(10));
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code, Code::kTimeout);
}

TEST(Channel, APeerThatLeavesIsSeenByBothDirections) {
  Pair pair;
  pair.left.reset();
  const Result<Bytes> frame = pair.right->receive();
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code, Code::kWorkerDied);
  const Status sent = pair.right->send(pattern(10, 1));  // and no SIGPIPE
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Code::kWorkerDied);
}

TEST(Channel, APeerThatLeavesInsideAFrameIsSeen) {
  auto sockets = os::socket_pair();
  ASSERT_TRUE(sockets);
  Channel right(std::move(sockets->second));
  const std::uint8_t start[] = {10, 0, 0, 0, 'x'};
  ASSERT_EQ(::send(sockets->first.get(), start, 5, 0), 5);
  sockets->first.reset();
  const Result<Bytes> frame = right.receive();
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().code, Code::kWorkerDied);
}

TEST(Channel, ShutDownWakesAReaderAndAWriter) {
  Pair pair;
  std::thread reader([&] {
    const Result<Bytes> frame = pair.left->receive();
    EXPECT_FALSE(frame);
  });
  std::thread writer([&] {  // more than the socket holds, and nobody reads
    const Bytes frame = pattern(1 << 20, 7);
    while (pair.left->send(frame)) {
    }
  });
  std::this_thread::sleep_for(milliseconds(20));
  pair.left->shut_down();
  reader.join();
  writer.join();
}

}  // namespace
}  // namespace aioss::ipc
