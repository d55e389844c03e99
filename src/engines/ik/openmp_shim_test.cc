#include "engines/ik/openmp_shim.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

namespace aioss::engines::ik {
namespace {

// What a compute graph does: several rounds; in each, all threads write their share, and after the
// barrier read the others'.
struct Graph {
  static constexpr int kRounds = 20;
  std::atomic<int> threads{0};
  std::atomic<int> singles{0};
  std::array<std::atomic<int>, 8> share{};
  std::atomic<int> wrong{0};

  static void body(void* data) {
    auto& self = *static_cast<Graph*>(data);
    if (GOMP_single_start()) {
      ++self.singles;
      self.threads = omp_get_num_threads();
    }
    GOMP_barrier();
    const int count = self.threads;
    const auto mine = static_cast<std::size_t>(omp_get_thread_num());
    for (int round = 1; round <= kRounds; ++round) {
      self.share[mine] = round;
      GOMP_barrier();
      for (int i = 0; i < count; ++i) {
        if (self.share[static_cast<std::size_t>(i)] != round) ++self.wrong;
      }
      GOMP_barrier();
    }
  }
};

void run(unsigned threads) {
  Graph graph;
  GOMP_parallel(Graph::body, &graph, threads, 0);
  ASSERT_EQ(graph.threads, static_cast<int>(threads));
  ASSERT_EQ(graph.singles, 1);
  ASSERT_EQ(graph.wrong, 0);
  for (unsigned i = 0; i < 8; ++i) ASSERT_EQ(graph.share[i], i < threads ? Graph::kRounds : 0);
}

TEST(OpenMpShim, EveryRegionHasTheThreadsThatItAsksFor) {
  // Larger, smaller, and larger again: members without a part in a region keep out of it.
  for (int i = 0; i < 20; ++i) {
    for (const unsigned threads : {2U, 4U, 1U, 3U, 8U, 2U}) run(threads);
  }
}

TEST(OpenMpShim, ThreadsHaveTeamsOfTheirOwn) {
  std::vector<std::thread> hosts;
  for (int i = 0; i < 3; ++i) {
    hosts.emplace_back([] {
      for (int j = 0; j < 10; ++j) run(3);
    });
  }
  for (std::thread& host : hosts) host.join();
}

TEST(OpenMpShim, OutsideOfARegionThereIsOneThread) {
  EXPECT_EQ(omp_get_num_threads(), 1);
  EXPECT_EQ(omp_get_thread_num(), 0);
  EXPECT_TRUE(GOMP_single_start());
  GOMP_barrier();
}

TEST(OpenMpShim, NoThreadsIsOne) {
  Graph graph;
  GOMP_parallel(Graph::body, &graph, 0, 0);
  EXPECT_EQ(graph.threads, 1);
}

}  // namespace
}  // namespace aioss::engines::ik
