#include "os/bandwidth.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "base/clock.h"
#include "os/memory.h"
#include "os/thread.h"

namespace aioss::os {
namespace {

constexpr std::uint64_t kBufferBytes = std::uint64_t{256} << 20;  // over the caches of a socket
constexpr std::uint64_t kBufferBytesMin = std::uint64_t{32} << 20;
constexpr unsigned kRoundsMin = 2;  // the first makes the pages known to each thread's core
constexpr std::size_t kStackBytes = std::size_t{256} << 10;

// Four vectors of sums side by side, however this is compiled: the additions are never what is
// waited for.
std::uint64_t sum_of(std::span<const std::uint64_t> words) {
  using Vector [[gnu::vector_size(16)]] = std::uint64_t;
  constexpr std::size_t kVectors = 4;
  Vector a{}, b{}, c{}, d{};
  const auto* const from = reinterpret_cast<const Vector*>(words.data());
  const std::size_t count = words.size() * sizeof(std::uint64_t) / sizeof(Vector);
  for (std::size_t i = 0; i + kVectors <= count; i += kVectors) {
    a += from[i];
    b += from[i + 1];
    c += from[i + 2];
    d += from[i + 3];
  }
  const Vector sum = a + b + c + d;
  return sum[0] + sum[1];
}

class Mapping final {
 public:
  explicit Mapping(std::size_t bytes) : bytes_(bytes) {
    void* const address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (address == MAP_FAILED) return;
    words_ = {static_cast<std::uint64_t*>(address), bytes / sizeof(std::uint64_t)};
    std::fill(words_.begin(), words_.end(), 1);  // pages of zeros may all be one
  }
  ~Mapping() {
    if (!words_.empty()) ::munmap(words_.data(), bytes_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  std::span<const std::uint64_t> words() const { return words_; }

 private:
  std::size_t bytes_;
  std::span<std::uint64_t> words_;
};

// A quarter of what is free at most: this is a question, not a load.
std::uint64_t buffer_bytes() {
  const auto memory = memory_state();
  if (!memory) return kBufferBytes;
  return std::clamp<std::uint64_t>(memory->usable() / 4, kBufferBytesMin, kBufferBytes);
}

struct Rounds {  // what the threads share
  Rounds(unsigned threads, std::span<const std::uint64_t> buffer)
      : words(buffer), count(threads), begin(threads + 1), end(threads + 1) {}
  std::span<const std::uint64_t> words;
  unsigned count;
  std::barrier<> begin, end;  // of a round; the one who measures takes part
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> sum{0};  // so that the reading is of use to somebody
};

void read_rounds(Rounds& rounds, unsigned index) {
  const std::size_t share = rounds.words.size() / rounds.count;
  for (;;) {
    rounds.begin.arrive_and_wait();
    if (rounds.over.load()) return;
    rounds.sum += sum_of(rounds.words.subspan(index * share, share));
    rounds.end.arrive_and_wait();
  }
}

}  // namespace

Result<ReadBandwidth> measure_read_bandwidth(unsigned threads, std::chrono::milliseconds time,
                                             const Clock& clock) {
  const std::uint64_t bytes = buffer_bytes();
  const Mapping buffer(bytes);
  if (buffer.words().empty()) return Error{Code::kNoMemory, "no memory to measure with"};
  threads = std::max(threads, 1U);
  Rounds rounds(threads, buffer.words());
  std::vector<Thread> readers;
  for (unsigned i = 0; i < threads; ++i) {
    auto reader = Thread::start(kStackBytes, [&rounds, i] { read_rounds(rounds, i); });
    if (!reader) {  // those that run are let go: each barrier counts with the missing ones
      rounds.over.store(true);
      for (unsigned missing = i; missing < threads; ++missing) rounds.begin.arrive_and_drop();
      rounds.begin.arrive_and_wait();
      return std::move(reader).error();
    }
    readers.push_back(std::move(*reader));
  }
  ReadBandwidth result{0, bytes, threads, 0};
  const std::int64_t start = clock.monotonic_ns();
  const std::int64_t most = std::chrono::nanoseconds(time).count();
  while (result.rounds < kRoundsMin || clock.monotonic_ns() - start < most) {
    const std::int64_t before = clock.monotonic_ns();
    rounds.begin.arrive_and_wait();
    rounds.end.arrive_and_wait();
    const std::int64_t took = std::max<std::int64_t>(clock.monotonic_ns() - before, 1);
    result.bytes_per_second =
        std::max(result.bytes_per_second,
                 static_cast<double>(bytes) * kNsPerSecond / static_cast<double>(took));
    ++result.rounds;
  }
  rounds.over.store(true);
  rounds.begin.arrive_and_wait();
  return result;
}

}  // namespace aioss::os
