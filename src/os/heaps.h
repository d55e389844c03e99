// How the allocator of this process spreads over threads.
#pragma once

namespace aioss::os {

// For a process whose threads come and go and are never many: call it before the first of them.
// Left to itself glibc gives each thread a heap of its own, up to eight for each processor, and
// what is freed in one is no use to the others: a gateway grew by a third in a thousand loads of
// models, of which none was left. Does nothing with another C library.
void share_few_heaps();

}  // namespace aioss::os
