// CRC-32C (Castagnoli), reflected, as iSCSI and ext4 have it. It finds accidents and never counts
// as evidence. Pure function.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace aioss::ledger {

// Of bytes that follow others whose checksum is `before`; 0 at the beginning.
std::uint32_t crc32c(ByteView bytes, std::uint32_t before = 0);
// The same on a processor without an instruction for it.
std::uint32_t crc32c_by_table(ByteView bytes, std::uint32_t before = 0);

}  // namespace aioss::ledger
