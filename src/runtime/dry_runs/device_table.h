// The GPUs of this machine, as the engines for them have found them at the start, and which of them
// were lost since. Thread-safe.
//
// A device that fails is taken out for as long as the gateway runs: whoever repaired it starts
// the gateway again. Unless it is proven that it was not at fault. Names of devices are books of
// the pool, too (memory/pool.h).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "ipc/devices.h"
#include "runtime/dry_runs/planner.h"

namespace aioss::runtime {

// "auto", "cpu", or names of devices with commas, as "cuda:0,cuda:1" or "metal": well-formed,
// whether or not there are such devices.
bool is_device_setting(std::string_view text);

class DeviceTable final {
 public:
  DeviceTable() = default;  // there are none
  explicit DeviceTable(std::vector<ipc::DeviceOfEngine> gpus) : gpus_(std::move(gpus)) {}

  struct Gpu {
    ipc::DeviceOfEngine facts;
    bool lost = false;
  };
  std::vector<Gpu> all() const;

  // Whether all of these, with commas, are different devices that this engine had at the start. The
  // CPU is none.
  bool knows(std::string_view engine, std::string_view names) const;

  // Where layers of a model are tried, in this order, by its setting: of "auto" each GPU of its
  // engine alone, the one with the most memory first, then all of them together, then "cpu". Of
  // names those of them that are not lost, and "cpu" if that is none. Never empty.
  std::vector<std::string> candidates(std::string_view engine, std::string_view setting) const;
  // What devices without a memory of their own would take is the host's to give.
  void count_shared(ModelPlan& plan) const;
  // A loss: which devices were lost by it that were not before, with commas, and its number.
  struct Loss {
    std::string names;
    std::uint64_t number = 0;
  };
  // These names, with commas. Those that were lost already are lost by this, from now on.
  Loss lose(std::string_view names);
  // Those of its devices that nothing else has lost since, with commas.
  std::string give_back(const Loss& loss);

 private:
  bool is_lost(std::string_view name) const;

  mutable std::mutex mutex_;
  std::vector<ipc::DeviceOfEngine> gpus_;
  std::map<std::string, std::uint64_t, std::less<>> lost_;  // name → the loss
  std::uint64_t losses_ = 0;
};

// Of "cuda:0,cuda:1"; none of "cpu".
std::vector<std::string> names_of_devices(std::string_view text);

}  // namespace aioss::runtime
