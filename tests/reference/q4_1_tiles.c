/* The tiles of third_party/patches/0002 against ggml's own dot product, bit for bit: every number
 * of columns that has a tile of its own and some that need two or three, and rows as long as real
 * models have them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ggml-cpu.h"
#include "ggml.h"

void ggml_gemm_tiles_q4_1_q8_1(int n, float* s, size_t bs, const char* x, size_t bx, const char* y,
                               size_t by, int nr, int nc);

enum { kRows = 24, kColumnsMax = 9 };

static unsigned state = 1;

static float next_value(void) {
  state = state * 1664525U + 1013904223U;
  return (float)(state >> 8) / (float)(1 << 23) - 0.9F;
}

static float* values(int count) {
  float* all = malloc(sizeof(float) * (size_t)count);
  for (int i = 0; i < count; ++i) all[i] = next_value();
  return all;
}

static int differing(int length, int columns) {
  const struct ggml_type_traits_cpu* weights = ggml_get_type_traits_cpu(GGML_TYPE_Q4_1);
  const struct ggml_type_traits_cpu* inputs = ggml_get_type_traits_cpu(GGML_TYPE_Q8_1);
  const size_t bx = ggml_row_size(GGML_TYPE_Q4_1, length);
  const size_t by = ggml_row_size(GGML_TYPE_Q8_1, length);
  float* x_values = values(length * kRows);
  float* y_values = values(length * columns);
  char* x = malloc(bx * kRows);
  char* y = malloc(by * (size_t)columns);
  weights->from_float(x_values, x, (int64_t)length * kRows);
  inputs->from_float(y_values, y, (int64_t)length * columns);

  float tiles[kColumnsMax * kRows];
  ggml_gemm_tiles_q4_1_q8_1(length, tiles, kRows, x, bx, y, by, kRows, columns);
  int different = 0;
  for (int j = 0; j < columns; ++j) {
    for (int i = 0; i < kRows; ++i) {
      float alone = NAN;
      weights->vec_dot(length, &alone, 0, x + (size_t)i * bx, 0, y + (size_t)j * by, 0, 1);
      different += memcmp(&alone, &tiles[j * kRows + i], sizeof(alone)) != 0;
    }
  }
  free(x_values);
  free(y_values);
  free(x);
  free(y);
  return different;
}

int main(void) {
  const int lengths[] = {32, 64, 576, 1536, 4096};
  int different = 0, sums = 0;
  ggml_cpu_init();
  for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); ++l) {
    for (int columns = 1; columns <= kColumnsMax; ++columns) {
      different += differing(lengths[l], columns);
      sums += columns * kRows;
    }
  }
  printf("%d sums, %d differ from ggml_vec_dot_q4_1_q8_1\n", sums, different);
  return different != 0;
}
