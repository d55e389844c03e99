// The five OpenMP functions that ik_llama.cpp's compute graphs call: one parallel region a graph, a
// barrier after each operation. GNU's own library cannot be linked into a plugin statically and is
// not on every machine; its threads also spin for long, which ruins everybody once another process
// wants the cores. Ours spin for some microseconds and then sleep on a futex.
//
// Each thread that begins regions has a team of its own, which grows to the largest region that it
// asked for and ends with it. Where no thread can be created, a region runs with fewer, as OpenMP
// allows. Regions are not nested; `single` is the first thread's. Names and signatures are
// libgomp's (gcc/libgomp/libgomp_g.h and omp.h).
#pragma once

extern "C" {
void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags);
void GOMP_barrier(void);
bool GOMP_single_start(void);
int omp_get_num_threads(void);
int omp_get_thread_num(void);
}
