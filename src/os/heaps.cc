#include "os/heaps.h"

#include <cstdlib>  // says which C library it is
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace aioss::os {

void share_few_heaps() {
#ifdef __GLIBC__
  constexpr int kHeaps = 2;
  mallopt(M_ARENA_MAX, kHeaps);
#endif
}

void give_back_free_memory() {
#ifdef __GLIBC__
  (void)malloc_trim(0);  // of all arenas, whichever threads had them
#endif
}

std::uint64_t heap_bytes() {
#ifdef __GLIBC__
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#else
  return 0;
#endif
}

}  // namespace aioss::os
