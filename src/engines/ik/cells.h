// The buffer of cells inside a llama_context. ik_llama.cpp looks for one run of free cells for each
// micro-batch and for each state that is loaded. Where sequences decode together, their cells
// interleave, and what one leaves free are single cells. Its own defragmentation moves a few dozen
// of them by a compute graph; ours moves bytes.
#pragma once

#include <cstdint>

#include "llama.h"

namespace aioss::engines::ik {

// Moves used cells from the end into the holes, until all free ones are one run behind them. Nobody
// who looks at sequences sees a difference. The context must keep values untransposed, as flash
// attention does.
void compact_cells(llama_context& context);

// Cells up to the last used one, less the used ones: attention passes over them.
std::uint32_t holes_in_cells(const llama_context& context);

}  // namespace aioss::engines::ik
