// operator new of the whole test program, so that a test can tell how much memory a reader asked
// for. A file of its own, out of sight of the inliner: seeing malloc() below new, g++ 12 takes the
// free() below delete for a mismatch.
#include <algorithm>
#include <cstdlib>
#include <new>

#include "worker/gguf_builder.h"

namespace aioss::worker::gguf {

std::size_t& largest_allocation() {
  thread_local std::size_t bytes = 0;
  return bytes;
}

}  // namespace aioss::worker::gguf

void* operator new(std::size_t size) {
  std::size_t& largest = aioss::worker::gguf::largest_allocation();
  largest = std::max(largest, size);
  if (void* const memory = std::malloc(std::max<std::size_t>(size, 1))) return memory;
  std::abort();  // where the tests run, there is memory
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return operator new(size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
