// What ik_llama.cpp does past its callbacks, replaced at link time (--wrap, CMakeLists.txt):
// banners on standard output, which belongs to the host, and a debugger that it starts when it
// aborts, in a process that may start none. The names are the linker's.
#include <sys/types.h>

#include <cerrno>

extern "C" {
int __wrap_printf(const char* format, ...);
int __wrap_puts(const char* text);
int __wrap_putchar(int character);
pid_t __wrap_fork(void);

int __wrap_printf(const char* /*format*/, ...) {
  return 0;
}

int __wrap_puts(const char* /*text*/) {
  return 0;
}

int __wrap_putchar(int character) {
  return character;
}

pid_t __wrap_fork(void) {
  errno = EPERM;
  return -1;
}
}
