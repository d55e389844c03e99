// The allocator of this process: how it spreads over threads, and what it keeps.
#pragma once

#include <cstdint>

namespace aioss::os {

// For a process whose threads come and go and are never many: call it before the first of them.
// Left to itself glibc gives each thread a heap of its own, up to eight for each processor, and
// what is freed in one is no use to the others: a gateway grew by a third in a thousand loads of
// models, of which none was left. Does nothing with another C library.
void share_few_heaps();
// What this process has freed and its allocator still keeps goes back to the system, as far as the
// allocator knows how to. May be called confined; takes milliseconds.
void give_back_free_memory();
// What is on the heap of this process now, in bytes; 0 with another C library.
std::uint64_t heap_bytes();

}  // namespace aioss::os
