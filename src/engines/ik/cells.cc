#include "engines/ik/cells.h"

#include <cstddef>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "engines/ik/context_internals.h"

namespace aioss::engines::ik {
namespace {

bool is_used(const llama_kv_cell& cell) {
  return cell.pos >= 0 && !cell.is_empty();
}

std::uint32_t end_of_used(const llama_kv_cache& cache, std::uint32_t from) {
  while (from > 0 && !is_used(cache.cells[from - 1])) --from;
  return from;
}

// Keys and values of one cell in one layer are one row.
void move_row(const ggml_tensor* tensor, std::uint32_t cells, std::uint32_t from,
              std::uint32_t to) {
  if (tensor == nullptr) return;
  const std::size_t row = ggml_nbytes(tensor) / cells;
  auto* const data = static_cast<std::uint8_t*>(tensor->data);
  std::memcpy(data + to * row, data + from * row, row);
}

}  // namespace

void compact_cells(llama_context& context) {
  llama_kv_cache& cache = context.kv_self;
  ASSERT(!cache.v_trans && !cache.recurrent);
  std::uint32_t end = end_of_used(cache, cache.size);
  for (std::uint32_t hole = 0; hole < end; ++hole) {
    if (is_used(cache.cells[hole])) continue;
    const std::uint32_t last = end - 1;
    for (const ggml_tensor* k : cache.k_l) move_row(k, cache.size, last, hole);
    for (const ggml_tensor* v : cache.v_l) move_row(v, cache.size, last, hole);
    std::swap(cache.cells[hole], cache.cells[last]);
    end = end_of_used(cache, last);
  }
  cache.head = end < cache.size ? end : 0;
}

std::uint32_t holes_in_cells(const llama_context& context) {
  const llama_kv_cache& cache = context.kv_self;
  return end_of_used(cache, cache.size) - cache.used;
}

}  // namespace aioss::engines::ik
