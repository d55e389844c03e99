// Finds the records of one inference in a ledger that its own process has opened, and so verified:
// reads frames by their checksums alone, newest segment first, and follows no chain. What is being
// written meanwhile ends the search of its segment; it is not durable yet. Blocks on the disk;
// memory does not grow with the ledger.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "ledger/record.h"
#include "os/file.h"

namespace aioss::ledger {

struct Inference {
  std::uint64_t index = 0;
  RecordType type{};       // INFER_REQUEST, INFER_RESULT or INFER_ABORT
  std::string request_id;  // "" in an INFER_ABORT that recovery wrote
};

// kNotFound if there is no record `index`, or it is of no inference.
Result<Inference> find_inference(os::FileSystem& fs, const std::string& directory,
                                 std::uint64_t index);
// The last record of a request: its end, if it has one. kNotFound if there is none.
Result<Inference> find_inference(os::FileSystem& fs, const std::string& directory,
                                 std::string_view request_id);

}  // namespace aioss::ledger
