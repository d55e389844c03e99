#include "engines/ik/openmp_shim.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstdint>
#include <memory>
#include <vector>

namespace {

constexpr unsigned kThreadsMax = 512;  // AIOSS_THREADS_MAX
// Looks at a word before its thread goes to sleep; some 20 µs. Operations of a small model take as
// long, so that within a graph nobody sleeps while all cores are ours.
constexpr int kSpins = 1000;
constexpr std::size_t kCacheLine = 64;
constexpr unsigned kSizeBits = 10;
constexpr std::uint32_t kSizeMask = (1U << kSizeBits) - 1;
static_assert(kThreadsMax <= kSizeMask);

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// A number that threads wait on. Not std::atomic's wait: it yields before it sleeps, which on a
// busy machine costs a turn of the scheduler at every barrier.
class Word {
 public:
  explicit Word(std::uint32_t value) : value_(value) {}
  std::uint32_t get() const { return value_.load(std::memory_order_acquire); }

  // What is there sleeps already, or sees the new value before it would.
  void set(std::uint32_t value) {
    value_.store(value);
    if (sleepers_.load() != 0) futex(FUTEX_WAKE_PRIVATE, INT_MAX);
  }

  // Until it is no longer `old`.
  void wait_while(std::uint32_t old) {
    for (int i = 0; i < kSpins; ++i) {
      if (get() != old) return;
      relax();
    }
    ++sleepers_;
    while (value_.load() == old) futex(FUTEX_WAIT_PRIVATE, old);
    --sleepers_;
  }

 private:
  void futex(int operation, std::uint32_t value) {
    syscall(SYS_futex, &value_, operation, value, nullptr, nullptr, 0);
  }

  std::atomic<std::uint32_t> value_;
  std::atomic<std::uint32_t> sleepers_{0};
};
static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));  // the kernel reads it

class Team;
struct Member {
  Team* team;
  unsigned number;
  std::uint32_t seen;  // the region when it was created
  pthread_t thread;
};

thread_local Team* current = nullptr;  // of the region that this thread is in
thread_local unsigned number_here = 0;

class Team {
 public:
  Team() = default;
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  void run(void (*body)(void*), void* data, unsigned threads);
  void barrier();
  unsigned size() const { return size_; }

 private:
  static void* member_main(void* argument);
  void grow(unsigned threads);
  void begin(unsigned size);
  void serve(unsigned number, std::uint32_t seen);

  std::vector<std::unique_ptr<Member>> members_;  // all but the first, whose thread runs regions
  void (*body_)(void*) = nullptr;
  void* data_ = nullptr;
  unsigned size_ = 1;  // threads of the region
  // The region's number and, in the low bits, its size (0: no more regions come): one word, so that
  // a member that comes late never takes one region's number with another's size.
  alignas(kCacheLine) Word region_{1};
  alignas(kCacheLine) std::atomic<std::uint32_t> arrived_{0};
  alignas(kCacheLine) Word passed_{0};
};

void Team::grow(unsigned threads) {
  while (members_.size() + 1 < threads) {
    auto member = std::make_unique<Member>(
        Member{this, static_cast<unsigned>(members_.size()) + 1, region_.get(), pthread_t{}});
    if (pthread_create(&member->thread, nullptr, member_main, member.get()) != 0) return;
    members_.push_back(std::move(member));
  }
}

void* Team::member_main(void* argument) {
  const auto* member = static_cast<Member*>(argument);
  member->team->serve(member->number, member->seen);
  return nullptr;
}

// `seen` is the region before the one that the thread was created for.
void Team::serve(unsigned number, std::uint32_t seen) {
  current = this;
  number_here = number;
  while (true) {
    region_.wait_while(seen);
    seen = region_.get();
    const std::uint32_t size = seen & kSizeMask;
    if (size == 0) return;
    if (number >= size) continue;
    body_(data_);
    barrier();
  }
}

// The members with a part in the last region have arrived at its last barrier and read nothing of
// this any more; the others look at `region_` alone.
void Team::run(void (*body)(void*), void* data, unsigned threads) {
  grow(threads);
  body_ = body;
  data_ = data;
  size_ = std::min(threads, static_cast<unsigned>(members_.size()) + 1);
  begin(size_);
  current = this;
  number_here = 0;
  body(data);
  barrier();
  current = nullptr;
}

void Team::begin(unsigned size) {
  const std::uint32_t number = (region_.get() >> kSizeBits) + 1;
  region_.set(number << kSizeBits | size);
}

// Once the last one has arrived, the first may begin another region: nothing of `this` that it
// changes is read after arriving.
void Team::barrier() {
  const unsigned size = size_;
  if (size == 1) return;
  const std::uint32_t passed = passed_.get();
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < size) {
    passed_.wait_while(passed);
    return;
  }
  arrived_.store(0, std::memory_order_relaxed);
  passed_.set(passed + 1);
}

Team::~Team() {
  begin(0);
  for (const auto& member : members_) pthread_join(member->thread, nullptr);
}

}  // namespace

extern "C" {

void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned /*flags*/) {
  thread_local Team team;
  team.run(body, data, std::clamp(threads, 1U, kThreadsMax));
}

void GOMP_barrier(void) {
  if (current != nullptr) current->barrier();
}

bool GOMP_single_start(void) {
  return number_here == 0;
}

int omp_get_num_threads(void) {
  return current == nullptr ? 1 : static_cast<int>(current->size());
}

int omp_get_thread_num(void) {
  return static_cast<int>(number_here);
}
}
