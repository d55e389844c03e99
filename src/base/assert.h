// ASSERT is for bugs: always on, in release too. It prints the expression and place, runs the hook
// (if one is set) and aborts. Never use it on anything a client, a file or the operating system
// controls.
#pragma once

namespace aioss {

// Called once before an abort, e.g. to flush a log. Set by main() only. Must not allocate.
using AssertHook = void (*)(const char* expression, const char* file, int line);
void set_assert_hook(AssertHook hook);

[[noreturn]] void assert_failed(const char* expression, const char* file, int line);

}  // namespace aioss

#define ASSERT(expression)                                     \
  do {                                                         \
    if (!(expression)) [[unlikely]]                            \
      ::aioss::assert_failed(#expression, __FILE__, __LINE__); \
  } while (false)
