// A model of the catalogue, as it is shown. A value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "ipc/messages.h"
#include "runtime/calls/engine_order.h"
#include "runtime/calls/model_load.h"

namespace aioss::runtime {

struct ModelEntry {  // of the catalogue
  std::string name;
  std::string engine;  // "llama" or "fake": what its file is for
  std::uint64_t file_bytes = 0;
  std::int64_t modified_unix_s = 0;
  std::string state;  // "cold", "loading", "ready", "warm", "failed"
  float load_fraction = 0;
  std::optional<Error> last_error;
  std::optional<ipc::Ready> facts;  // while ready
  std::string sha256;               // hex, "" until computed
  Residence residence;
  std::vector<std::string> aliases = {};
  std::vector<std::string> adapters = {};  // that may be asked for with it
  EngineStatus engine_status = {};
};

}  // namespace aioss::runtime
