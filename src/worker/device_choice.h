// Where a model's layers go, from the names that a gateway gives to the indices that an engine
// takes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "aioss/engine.h"
#include "base/result.h"
#include "ipc/layers.h"
#include "os/sandbox.h"

namespace aioss::worker {

class DeviceChoice final {
 public:
  // Drivers open files, so those of these devices begin here, and no others: one GPU may be broken
  // while the rest are not. Call it before the sandbox's second stage. kInvalidArgument names the
  // devices that there are.
  static Result<DeviceChoice> make(const aioss_engine& engine, os::SandboxFor sandbox,
                                   const std::string& names, const ipc::Layers& layers);

  bool is_cpu() const { return indices_.empty(); }
  // Of devices with a memory of their own, in their order.
  const std::vector<std::string>& names() const { return names_; }
  std::string text() const;  // "cpu", "cuda:0,cuda:1"
  const std::vector<std::uint32_t>& indices() const { return indices_; }
  void set_layers(const ipc::Layers& layers) { layers_ = layers; }
  const ipc::Layers& layers() const { return layers_; }
  // `options` borrows: use them while this lives.
  void apply(aioss_model_options& options) const;

 private:
  std::vector<std::uint32_t> indices_;
  std::vector<std::string> names_;
  ipc::Layers layers_;
};

}  // namespace aioss::worker
