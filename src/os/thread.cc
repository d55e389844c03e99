#include "os/thread.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/assert.h"
#include "os/file.h"

namespace aioss::os {
namespace {

// Below the caller's frame: for what is called from here, and for handlers of signals.
constexpr std::uintptr_t kStackKeptBytes = std::uintptr_t{256} << 10;

void* run_body(void* argument) noexcept {
  const std::unique_ptr<std::function<void()>> body(static_cast<std::function<void()>*>(argument));
  (*body)();
  return nullptr;
}

}  // namespace

std::size_t thread_count() {
#if defined(__SANITIZE_THREAD__)
  return 1;
#else
  RealFileSystem fs;
  const auto threads = fs.list("/proc/self/task");
  return threads ? threads->size() : 1;
#endif
}

void set_thread_name(std::string_view name) {
  constexpr std::size_t kKernelNameBytes = 15;
  ::pthread_setname_np(::pthread_self(), std::string(name.substr(0, kKernelNameBytes)).c_str());
}

Result<Thread> Thread::start(std::size_t stack_bytes, std::function<void()> body) {
  auto argument = std::make_unique<std::function<void()>>(std::move(body));
  pthread_attr_t attributes;
  ASSERT(::pthread_attr_init(&attributes) == 0);
  int failed = 0;
  if (stack_bytes != kSystemsStack) {
    failed = ::pthread_attr_setstacksize(&attributes, stack_bytes);
  }
  pthread_t handle{};
  if (failed == 0) failed = ::pthread_create(&handle, &attributes, run_body, argument.get());
  ::pthread_attr_destroy(&attributes);
  if (failed != 0) {
    Error error = error_from_errno(failed, "the system does not start another thread");
    error.code = Code::kBusy;
    return error;
  }
  (void)argument.release();  // the thread's now
  return Thread(handle);
}

Thread::Thread(Thread&& other) noexcept
    : handle_(other.handle_), running_(std::exchange(other.running_, false)) {}

Thread& Thread::operator=(Thread&& other) noexcept {
  if (this == &other) return *this;
  join();
  handle_ = other.handle_;
  running_ = std::exchange(other.running_, false);
  return *this;
}

void Thread::join() {
  if (!std::exchange(running_, false)) return;
  ASSERT(::pthread_join(handle_, nullptr) == 0);
}

void release_unused_stack() {
  pthread_attr_t attributes;
  if (::pthread_getattr_np(::pthread_self(), &attributes) != 0) return;
  void* lowest = nullptr;
  std::size_t size = 0;
  const int failed = ::pthread_attr_getstack(&attributes, &lowest, &size);
  ::pthread_attr_destroy(&attributes);
  if (failed != 0) return;
  const auto from = reinterpret_cast<std::uintptr_t>(lowest);
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  if (here < from || here - from <= kStackKeptBytes + page) return;
  const std::uintptr_t bytes = (here - from - kStackKeptBytes) / page * page;
  // Where the kernel will not, the memory stays taken: no harm is done.
  (void)::madvise(lowest, bytes, MADV_DONTNEED);
}

}  // namespace aioss::os
