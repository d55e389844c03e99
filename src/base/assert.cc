#include "base/assert.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace aioss {
namespace {
std::atomic<AssertHook> g_hook{nullptr};
}  // namespace

void set_assert_hook(AssertHook hook) {
  g_hook.store(hook);
}

void assert_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "aioss: internal error: %s is false at %s:%d\n", expression, file, line);
  std::fflush(stderr);
  if (AssertHook hook = g_hook.exchange(nullptr)) hook(expression, file, line);
  std::abort();
}

}  // namespace aioss
